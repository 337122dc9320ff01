"""What the main job asks of one backend: its record and, in the same worker, its training runs.

    on the lattice   every cell, with every implementation: held against the stored witnesses
                     (a cheap mode is one of them)
    in float32       every cell, with the framework's own layers: held against the ensembles

The quick main job trains one cell, on the lattice and with those layers alone. Either trains wider
stacks as well, on the lattice, where recipes of these are named.
"""

from collections.abc import Sequence
from pathlib import Path

from common.spec import CELLS, RESETS
from conformance.cases.quick import CELL
from conformance.run.child import Child
from conformance.run.ladder import Request


def trainings(
    implementations: Sequence[str], quick: bool, recipes: Sequence[str] = ()
) -> list[list[str]]:
    """The options of ``train`` that say it, for a backend that has these implementations."""
    lattice = ["--numerics", "lattice", "--implementation", *implementations]
    wider = [["--recipe", recipe, *lattice] for recipe in recipes]
    if quick:
        return [["--cell", CELL, "--numerics", "lattice"], *wider]
    cells = ["--cell", *CELLS, "--reset", *RESETS]
    return [[*cells, *lattice], [*cells, "--numerics", "float32"], *wider]


def where(request: Request) -> list[str]:
    """The options that record and train have in common."""
    options = {"backend": request.backend, "device": request.device, "threads": request.threads}
    options |= {"out": request.out}
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def go_on_to_train(child: Child, folder: Path) -> None:
    """Let the worker of a record train: if it has to be started again, it is without the record's
    files, which have been moved, and writes its log beside the runs."""
    folder.mkdir(parents=True, exist_ok=True)
    child.given, child.log = None, folder / "worker.log"
