"""A Jupyter kernel of this very environment, which runs notebooks."""

import sys
import tempfile
from pathlib import Path
from typing import Any

TIMEOUT = 600
"""Seconds that one cell may take on a busy machine."""


class Kernel:
    """One kernel for many notebooks, so that a framework is imported once. Each of them finds the
    names of none before it."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import KernelManager

        self.folder = folder
        self.manager = KernelManager(kernel_name="python3", transport="ipc")
        self.sockets = tempfile.TemporaryDirectory()  # a path of a socket has to be short
        self.manager.ip = f"{self.sockets.name}/kernel"
        self.manager.kernel_spec.argv[0] = sys.executable
        self.manager.start_kernel(cwd=str(folder))

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.shutdown_kernel(now=True)
        self.sockets.cleanup()

    def run(self, made: dict[str, Any]) -> list[dict[str, Any]]:
        """The code cells after all of them have run; CellExecutionError if one fails."""
        import nbformat
        from nbclient import NotebookClient

        whole = nbformat.from_dict(made)
        whole.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
        where = {"metadata": {"path": str(self.folder)}}
        client = NotebookClient(whole, km=self.manager, timeout=TIMEOUT, resources=where)
        try:
            client.execute()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
        return [cell for cell in whole.cells[1:] if cell.cell_type == "code"]


def printed(cell: dict[str, Any]) -> str:
    """What a cell wrote to standard output."""
    return "".join(o.text for o in cell["outputs"] if o.get("name") == "stdout")
