# PYTHON_ARGCOMPLETE_OK
"""The command ``deep-rnn`` of the installed suite.

``common``, ``backends`` and ``conformance`` are too plain to be names of installed packages:
another package's, or a folder of the user's own, would take their place. The wheel therefore holds
them inside of one package, ``deep_rnn_reference_suite``, whose ``__init__.py`` is this file
(pyproject.toml says how), and the command puts that one folder first on the path of its own
process. Its workers are started in the folder, as they are in the repository.

In a script of somebody's own, where their own ``common`` may be, it is the other way round:

    from deep_rnn_reference_suite import capture

    capture(model, "mine.safetensors", X)
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOME = HERE if (HERE / "conformance").is_dir() else HERE.parent
"""The folder that holds the three: this one in a wheel, its parent in the repository."""


def main() -> int:
    """``deep-rnn cases | record | train | judge | …``, see --help; the exit code."""
    sys.path.insert(0, str(HOME))
    from conformance.__main__ import main as conformance
    from conformance.worker.lifetime import be_collected_seldom

    be_collected_seldom()
    return conformance()


OURS = ("common", "backends", "conformance")


def capture(model: Any, path: str | Path, *inputs: Any, **options: Any) -> Any:
    """Run ``model(*inputs)``, write what its recurrent layers did, and return its outputs: by
    capture.py of the backend whose framework has made the model.

    loss: a function of the outputs, if gradients are to be written as well

    Raises TypeError for a model of no framework that is known, and BadInput (common/errors.py) if
    no recurrent layer ran.
    """
    with alone():
        from backends import registry

        write = registry.load_part(registry.of_model(model), "capture").capture
    return write(model, path, *inputs, **options)


@contextmanager
def alone() -> Iterator[None]:
    """Import from the suite's own folders; afterwards their names are whose they were before."""

    def ours() -> dict[str, Any]:
        return {name: m for name, m in sys.modules.items() if name.partition(".")[0] in OURS}

    theirs = ours()
    for name in theirs:
        del sys.modules[name]
    sys.modules.update(KEPT)
    sys.path.insert(0, str(HOME))
    try:
        yield
    finally:
        sys.path.remove(str(HOME))
        KEPT.update(ours())
        for name in KEPT:
            del sys.modules[name]
        sys.modules.update(theirs)


KEPT: dict[str, Any] = {}
"""The suite's modules, which no other program sees."""
