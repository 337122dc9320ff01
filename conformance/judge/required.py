"""The matrix: what every implementation must answer, and what it may say that it cannot.

required/<backend>.json is written from what the backend itself says of every cell, reset variant
and activation (``check-backend NAME --claims FILE``), and the tests in every backend's environment
hold the two against each other. Whatever a record leaves out beyond that, or claims to be
unsupported or inapplicable beyond that, fails: a claim costs nothing, so it is not believed.

A backend that has no such file is judged all the same, and the verdict says that it is not in the
matrix: its claims are its own. ``judge --claims FILE`` brings the file of such a backend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.spec import ACTIVATIONS, CELLS, DIRECTIONS, RESETS, ModelSpec
from common.storage.files import read_json
from common.storage.reading import is_list, is_object
from conformance.cases.halves import HALVES
from conformance.cases.table import DTYPES
from conformance.closeness.rungs import WHOLE
from conformance.records.schema import DEVICES, PART, Kind, check_fields, is_name, one_of

FOLDER = Path(__file__).with_name("required")
FORMAT = "deep-rnn-required-1"

NOT_A_GPU_S = ("tf32", "mixed")
"""Numerics that a CPU's environment cannot be asked about: what a backend says of them is believed,
and named."""


@dataclass(frozen=True)
class Expresses:
    """Which cells, resets of the GRU, activations of the RNN and numbers of directions an
    implementation can express, and what of ``WIDER``, in every combination; and whether examples
    of different length, and given masks of dropout, too."""

    cells: frozenset[str]
    resets: frozenset[str]
    activations: frozenset[str]
    directions: frozenset[int] = frozenset([1])
    lengths: bool = False
    wider: frozenset[str] = frozenset()
    dropout: bool = False

    def can(self, spec: ModelSpec, lengths: bool = False, dropout: bool = False) -> bool:
        return (
            (self.lengths or not lengths)
            and (self.dropout or not dropout)
            and spec.cell in self.cells
            and (spec.reset is None or spec.reset in self.resets)
            and set(spec.activations) <= self.activations
            and spec.directions in self.directions
            and {name for name, has in WIDER.items() if has(spec)} <= self.wider
        )


@dataclass(frozen=True)
class Required:
    """What is known of a backend.

    framework, fields: what its passport names, and which fields it has
    implementations:   what each of them expresses
    modes:             the same of those that are there when they are asked for
    top, dtypes:       the highest rung that it answers and the dtypes it computes in; of most, all
    halves:            the tiers of half precision that it computes in on a CPU; of most, none
    """

    backend: str
    path: Path
    devices: frozenset[str]
    framework: str
    fields: frozenset[str]
    implementations: dict[str, Expresses]
    modes: dict[str, Expresses]
    top: str = WHOLE
    dtypes: tuple[str, ...] = DTYPES
    halves: tuple[str, ...] = ()

    def knows(self, implementation: str) -> bool:
        return implementation in self.implementations or implementation in self.modes

    def can(self, implementation: str, spec: ModelSpec, *needs: bool) -> bool:
        """Whether an implementation must answer questions about a spec."""
        known = self.implementations.get(implementation, self.modes.get(implementation))
        return known is not None and known.can(spec, *needs)


Matrix = dict[str, Required]
"""By backend."""


def load_matrix(more: tuple[Path, ...] = ()) -> Matrix:
    """The suite's own backends, and those of further files; BadInput if one is not whole, or if two
    are about the same backend."""
    found: Matrix = {}
    for path in [*sorted(FOLDER.glob("*.json")), *more]:
        required = load_required(path, follow=path in more)
        if required.backend in found:
            expected = f"another backend than {found[required.backend].path.name}"
            raise BadInput(path, "backend", expected, required.backend)
        found[required.backend] = required
    return found


def load_required(path: Path, follow: bool = False) -> Required:
    """Read one file.     follow: whether it may be a link, because a user has named it"""
    data = read_json(path, follow)
    check_fields(path, "", data, FIELDS, FREE)
    made: dict[str, Any] = {kind: expressed(path, data.get(kind, {})) for kind in KINDS}
    devices, fields = frozenset(data["devices"]), frozenset(data["passport"])
    part = data.get("part", {"rung": WHOLE, "dtypes": DTYPES})
    made |= {"top": part["rung"], "dtypes": tuple(part["dtypes"])}
    made |= {"halves": tuple(data.get("halves", ()))}
    return Required(data["backend"], path, devices, data["framework"], fields, **made)


def expressed(path: Path, implementations: dict[str, Any]) -> dict[str, Expresses]:
    """What each of them expresses."""
    made: dict[str, Expresses] = {}
    for name, known in implementations.items():
        if not is_name(name):
            raise BadInput(path, "implementations", "names", repr(name))
        check_fields(path, name, known, KNOWN, SINCE)
        more: dict[str, Any] = {
            field: MEANS[field](known[field]) for field in SINCE if field in known
        }
        cells, resets, activations = (frozenset(known[field]) for field in KNOWN)
        made[name] = Expresses(cells, resets, activations, **more)
    return made


def _subset(*values: str) -> Kind:
    return Kind(
        f"a list out of {', '.join(values)}",
        lambda v: is_list(v) and all(isinstance(x, str) and x in values for x in v),
    )


_WORDS = Kind("a list of words", lambda v: is_list(v) and all(type(x) is str for x in v))

KINDS = ("implementations", "modes")

FIELDS = {
    "format": one_of(FORMAT),
    "backend": Kind("a name", is_name),
    "devices": _subset(*DEVICES),
    "framework": Kind("a str", lambda v: isinstance(v, str)),
    "passport": _WORDS,
    "implementations": Kind("an object", lambda v: is_object(v) and bool(v)),
}
FREE = {"modes": FIELDS["implementations"], "part": PART, "halves": _subset(*HALVES)}
KNOWN = {
    "cells": _subset(*CELLS),
    "resets": _subset(*RESETS),
    "activations": _subset(*ACTIVATIONS),
}
WIDER: dict[str, Callable[[ModelSpec], bool]] = {
    "sizes": lambda spec: not spec.even,
    "projection": lambda spec: spec.p is not None,
    "peepholes": lambda spec: spec.peepholes,
    "gate clip": lambda spec: spec.gate_clip is not None,
}
"""What not every stack has, and how a spec says that it has it."""

SINCE = {
    "directions": Kind(
        "a list out of 1, 2",
        lambda v: is_list(v) and all(type(x) is int and x in (1, 2) for x in v),
    ),
    "lengths": Kind("true or false", lambda v: type(v) is bool),
    "wider": _subset(*WIDER),
    "dropout": Kind("true or false", lambda v: type(v) is bool),
}
"""What older files do not say: they mean one direction, no lengths, nothing of ``WIDER`` and no
dropout."""
MEANS: dict[str, Any] = {
    "directions": frozenset,
    "lengths": bool,
    "wider": frozenset,
    "dropout": bool,
}

EACH: tuple[dict[str, Any], ...] = (
    {"cell": "lstm"},
    *({"cell": "gru", "reset": reset} for reset in RESETS),
    *({"cell": "rnn", "activations": (activation,)} for activation in ACTIVATIONS),
)
"""Every cell of one layer."""

WITH: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("sizes", {"L": 2, "sizes": (4, 3), **cell}) for cell in EACH if cell["cell"] != "rnn"),
    ("projection", {"p": 2, "cell": "lstm"}),
    ("peepholes", {"peepholes": True, "cell": "lstm"}),
    ("gate clip", {"gate_clip": 1.0, "cell": "lstm"}),
)
"""Stacks that have something of ``WIDER``."""


def describe(
    backend: str,
    devices: list[str],
    passport: dict[str, Any],
    implementations: dict[str, Any],
    modes: dict[str, Any],
    part: dict[str, Any] | None = None,
    halves: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What a file holds, out of a backend's passport and of its implementations and modes, each of
    which has ``unsupported``, of the part of the ladder that it answers, and of its tiers of half
    precision."""

    def can(made: Any, *needs: bool, **options: Any) -> bool:
        sizes: dict[str, Any] = {"d": 3, "h": 4, "q": 2, "L": 1}
        return made.unsupported(ModelSpec(**(sizes | options)), *needs) is None

    def expresses(made: Any) -> dict[str, Any]:
        ways = [D for D in DIRECTIONS if any(can(made, directions=D, **cell) for cell in EACH)]
        resets = [r for r in RESETS if can(made, cell="gru", reset=r)]
        activations = [a for a in ACTIVATIONS if can(made, cell="rnn", activations=(a,))]
        lstm = ["lstm"] if can(made, cell="lstm") else []
        cells = [*(["rnn"] if activations else []), *(["gru"] if resets else []), *lstm]
        known = {"cells": cells, "resets": resets, "activations": activations}
        ragged = any(can(made, True, **cell) for cell in EACH)
        wider = list(dict.fromkeys(name for name, options in WITH if can(made, **options)))
        dropped = any(can(made, False, True, **cell) for cell in EACH)
        known |= {"directions": ways, "lengths": ragged, "wider": wider}
        return known | {"dropout": dropped}

    found = {
        "format": FORMAT,
        "backend": backend,
        "devices": devices,
        "framework": passport["framework"],
        "passport": sorted(passport),
        "implementations": {name: expresses(made) for name, made in implementations.items()},
    }
    found |= {"modes": {n: expresses(m) for n, m in modes.items()}} if modes else {}
    found |= {"halves": [*halves]} if halves else {}
    return found | ({"part": part} if part else {})
