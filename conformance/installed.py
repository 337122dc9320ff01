# PYTHON_ARGCOMPLETE_OK
"""The command ``deep-rnn`` of the installed suite.

``common``, ``backends`` and ``conformance`` are too plain to be names of installed packages:
another package's, or a folder of the user's own, would take their place. The wheel therefore holds
them inside of one package, ``deep_rnn_reference_suite``, whose ``__init__.py`` is this file
(pyproject.toml says how), and the command puts that one folder first on the path of its own
process. Its workers are started in the folder, as they are in the repository.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = HERE if (HERE / "conformance").is_dir() else HERE.parent
"""The folder that holds the three: this one in a wheel, its parent in the repository."""


def main() -> int:
    """``deep-rnn cases | record | train | judge | …``, see --help; the exit code."""
    sys.path.insert(0, str(HOME))
    from conformance.__main__ import main as conformance

    return conformance()
