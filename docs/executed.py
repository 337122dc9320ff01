"""What the cells of every notebook print, stored: the site's notebooks come with their outputs.

    python -m docs.executed --backend NAME

in the environment of that framework runs its notebooks with a Jupyter kernel, one after another,
and writes docs/results/notebooks/NAME.json: for every chapter what each code cell printed, by the
cell's digest. So an output goes with the very cell that has printed it, or not at all.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.storage.files import write_json
from docs._ext.sources import ROOT
from docs.notebooks import OUTPUTS, TITLES, chapters, digest, notebook

TIMEOUT = 600
"""Seconds that one cell may take on a busy machine."""


class Kernel:
    """One kernel for many notebooks, so that a framework is imported once. Each of them finds the
    names of none before it."""

    def __init__(self, folder: Path = ROOT) -> None:
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


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.executed")
    parser.add_argument("--backend", choices=list(TITLES), default="numpy")
    options = parser.parse_args(words)
    found = {}
    with Kernel() as kernel:
        for chapter in chapters():
            cells = kernel.run(notebook(chapter, options.backend))
            found[chapter] = {digest(c.source): text for c in cells if (text := printed(c))}
            print(chapter, file=sys.stderr)
    OUTPUTS.mkdir(exist_ok=True)
    write_json(OUTPUTS / f"{options.backend}.json", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
