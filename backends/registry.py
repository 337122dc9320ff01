"""Backend names. A framework is imported only when its backend is asked for."""

import importlib

from backends.protocol import Backend
from common.errors import BadInput

MODULES = {
    "numpy": "backends.numpy",
    "pytorch": "backends.pytorch",
    "mxnet": "backends.mxnet",
    "tensorflow": "backends.tensorflow",
    "jax": "backends.jax",
}


def check_name(name: str) -> str:
    """The name, if a backend has it; BadInput if none has."""
    if name not in MODULES:
        raise BadInput("--backend", "", f"one of {', '.join(MODULES)}", repr(name))
    return name


def load(name: str) -> Backend:
    """Import a backend; BadInput if there is none of that name or its framework is not here."""
    try:
        return importlib.import_module(MODULES[check_name(name)])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("backends", "common")):
            raise
        found = f"no module {error.name!r} in this environment"
        raise BadInput(f"backend {name}", "", "its framework installed", found) from None
