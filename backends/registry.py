"""Backend names. A framework is imported only when its backend is asked for.

A backend may live outside this repository: an installed package that has an entry point in the
group ``deep_rnn.backends``, ``name = "package.module"``, is found under that name.
"""

import functools
import importlib
import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from backends.protocol import Backend
from common.errors import BadInput

MODULES = {
    "numpy": "backends.numpy",
    "pytorch": "backends.pytorch",
    "mxnet": "backends.mxnet",
    "tensorflow": "backends.tensorflow",
    "jax": "backends.jax",
    "onnxruntime": "backends.onnxruntime",
    "tflite": "backends.tflite",
}
ASKED_FOR = ("tflite",)
"""Those that are no part of the main job: what they cost is paid where they are asked for."""

CHEAP_MODES = {"mxnet": ("mxnet:layers-hybridised",)}
"""Modes that are a part of it: this one takes a fifth of what its backend does."""

MADE_BY = {"torch": "pytorch", "mxnet": "mxnet", "keras": "tensorflow", "flax": "jax"}
"""By the package of a model's class, the backend that captures it."""

GROUP = "deep_rnn.backends"


def modules() -> dict[str, str]:
    """Every backend that can be named here, and its module; the suite's own come first.

    Raises BadInput if two have the same name, or if a name could not be a folder's.
    """
    found = dict(MODULES)
    for entry in outside(tuple(sys.path)):
        where = f"entry point {GROUP}"
        if not entry.name.replace("_", "").isalnum():
            raise BadInput(where, entry.name, "letters, digits and _", repr(entry.name))
        if found.setdefault(entry.name, entry.value) != entry.value:
            raise BadInput(where, entry.name, f"no other than {found[entry.name]}", entry.value)
    return found


@functools.cache
def outside(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of packages on this path. To look for them reads a file of every package
    that is installed, which takes longer than many a case."""
    del path  # entry_points looks in sys.path, as which it was given
    return tuple(entry_points(group=GROUP))


def check_name(name: str) -> str:
    """The name, if a backend has it; BadInput if none has."""
    known = modules()
    if name not in known:
        raise BadInput("--backend", "", f"one of {', '.join(known)}", repr(name))
    return name


def load_part(name: str, part: str) -> Any:
    """A module of a backend beside what every backend must offer, ``gpu`` for one; None if it has
    none of that name."""
    load(name)
    where = f"{modules()[name]}.{part}"
    return importlib.import_module(where) if importlib.util.find_spec(where) else None


def of_model(model: Any) -> str:
    """The backend whose framework a model is of; TypeError if none is known."""
    for kind in type(model).__mro__:
        if name := MADE_BY.get(kind.__module__.partition(".")[0]):
            return name
    expected = f"expected a model of {', '.join(MADE_BY)}"
    raise TypeError(f"{expected}, found {type(model).__module__}.{type(model).__name__}")


def load(name: str) -> Backend:
    """Import a backend; BadInput if there is none of that name or its framework is not here."""
    module = modules()[check_name(name)]
    try:
        return cast(Backend, importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("backends", "common")):
            raise
        found = f"no module {error.name!r} in this environment"
        extra = f" (extra {name!r})" if name in MODULES else ""
        raise BadInput(f"backend {name}", "", f"its framework installed{extra}", found) from None


def find(name: str) -> Any:
    """What ``package.module:name`` is, of somebody's own; BadInput if it is not there."""
    module, sign, rest = name.partition(":")
    if not (sign and rest and all(part.isidentifier() for part in [*module.split("."), rest])):
        raise BadInput("--model", "", "package.module:function", repr(name))
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise BadInput(
            "--model", module, "a module that can be imported from here", error
        ) from None
    if not callable(found := getattr(loaded, rest, None)):
        raise BadInput("--model", name, "a function that makes a model", "none")
    return found
