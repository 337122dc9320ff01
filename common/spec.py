"""ModelSpec: which function a model is, in the notation of EQUATIONS.md."""

# What was read from a file may be of any type, whatever is declared.
# pyright: reportUnnecessaryIsInstance=false

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from common.errors import BadInput
from common.storage.reading import is_list, is_object

Cell = Literal["rnn", "gru", "lstm"]
Reset = Literal["before", "after"]

CELLS = ("rnn", "gru", "lstm")
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
RESETS = ("before", "after")
DIRECTIONS = (1, 2)


MOST_LAYERS = 1024
"""Each has a dozen tensors with names, which are listed before any is read. The deepest recurrent
stacks that were ever published have some dozens."""


@dataclass(frozen=True)
class ModelSpec:
    """A stack of L recurrent layers of one cell, with an output layer on top.

    cell:         rnn (RNN-1), gru (GRU-1 to GRU-4) or lstm (LSTM-1 to LSTM-6)
    d, h, q, L:   inputs, hidden units in a layer, outputs, layers; each at least 1, and L at most
                  MOST_LAYERS
    activations:  φ_1 … φ_L of the vanilla RNN, one of ``ACTIVATIONS`` per layer; empty for gated
                  cells, whose activations are part of their equations
    reset:        where the GRU's reset gate acts: "before" the matrix product (GRU-3b) or "after"
                  it (GRU-3a). They are different functions, so there is no default. None elsewhere.
    directions:   1: every layer reads its inputs forward in time. 2: it reads them backward, too,
                  with parameters of its own, and hands up both H side by side (BI-1 to BI-3)
    sizes:        h_1 … h_L where the layers are of different sizes; h is the largest of them. In
                  JSON they are ``h`` itself, a list
    p:            the LSTM's H is projected to so many numbers, fewer than any layer has units
                  (LSTM-7); None: it is not
    peepholes:    whether the LSTM's gates read C as well (LSTM-8 to LSTM-10)
    gate_clip:    κ, to which the LSTM's pre-activations are clipped (LSTM-11); None: they are not.
                  It is no clip of gradients, which is the recipe's

    Raises BadInput if a field is out of range or does not belong to the cell.
    """

    cell: Cell
    d: int
    h: int
    q: int
    L: int
    activations: tuple[str, ...] = ()
    reset: Reset | None = None
    directions: int = 1
    sizes: tuple[int, ...] = ()
    p: int | None = None
    peepholes: bool = False
    gate_clip: float | None = None

    def __post_init__(self) -> None:
        # A JSON file brings lists; the spec is hashable.
        if isinstance(self.activations, list):
            object.__setattr__(self, "activations", tuple(self.activations))
        if self.cell not in CELLS:
            raise BadInput("spec", "cell", f"one of {', '.join(CELLS)}", repr(self.cell))
        for field in ("d", "h", "q", "L"):
            size = getattr(self, field)
            if type(size) is not int or size < 1:
                raise BadInput("spec", field, "a whole number of at least 1", repr(size))
        if self.L > MOST_LAYERS:
            raise BadInput("spec", "L", f"at most {MOST_LAYERS} layers", self.L)
        if type(self.directions) is not int or self.directions not in DIRECTIONS:
            raise BadInput("spec", "directions", "1 or 2", repr(self.directions))
        self._check_activations()
        self._check_reset()
        self._check_sizes()
        self._check_projection()
        self._check_peepholes_and_clip()

    def _check_activations(self) -> None:
        found = self.activations
        if not isinstance(found, tuple):
            raise BadInput("spec", "activations", "a list of names", repr(found))
        if self.cell != "rnn":
            if found:
                raise BadInput("spec", "activations", f"none for {self.cell}", list(found))
        elif len(found) != self.L:
            raise BadInput("spec", "activations", f"{self.L}, one per layer", list(found))
        for activation in found:
            if activation not in ACTIVATIONS:
                one_of = f"one of {', '.join(ACTIVATIONS)}"
                raise BadInput("spec", "activations", one_of, repr(activation))

    def _check_reset(self) -> None:
        if self.cell == "gru" and self.reset not in RESETS:
            raise BadInput("spec", "reset", f"one of {', '.join(RESETS)}", repr(self.reset))
        if self.cell != "gru" and self.reset is not None:
            raise BadInput("spec", "reset", f"none for {self.cell}", repr(self.reset))

    def _check_sizes(self) -> None:
        found = self.sizes
        if not found:
            return
        if len(found) != self.L:
            raise BadInput("spec", "h", f"one number, or {self.L}, one per layer", list(found))
        if any(type(size) is not int or size < 1 for size in found) or max(found) != self.h:
            expected = f"whole numbers of at least 1, the largest of them {self.h}"
            raise BadInput("spec", "h", expected, list(found))
        if min(found) == self.h:  # one size is said in one way
            object.__setattr__(self, "sizes", ())

    def _check_projection(self) -> None:
        if self.p is None:
            return
        if self.cell != "lstm":
            raise BadInput("spec", "p", f"none for {self.cell}: only an LSTM has one", repr(self.p))
        least = min(self.sizes or (self.h,))
        if type(self.p) is not int or not 1 <= self.p < least:
            expected = f"a whole number of at least 1 and below h, {least}"
            raise BadInput("spec", "p", expected, repr(self.p))

    def _check_peepholes_and_clip(self) -> None:
        if type(self.peepholes) is not bool:
            raise BadInput("spec", "peepholes", "true or false", repr(self.peepholes))
        for field, has in (
            ("peepholes", self.peepholes),
            ("gate_clip", self.gate_clip is not None),
        ):
            if has and self.cell != "lstm":
                expected = f"none for {self.cell}: only an LSTM has them"
                raise BadInput("spec", field, expected, repr(getattr(self, field)))
        if (clip := self.gate_clip) is None:
            return
        if type(clip) not in (int, float) or not (math.isfinite(clip) and clip > 0):
            raise BadInput("spec", "gate_clip", "a finite number above 0", repr(clip))
        object.__setattr__(self, "gate_clip", float(clip))

    @property
    def states(self) -> tuple[str, ...]:
        """The parts of a layer's state: H, and for the LSTM the memory cell C."""
        return ("H", "C") if self.cell == "lstm" else ("H",)

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether it goes backward in time, of every pass that a layer makes over a sequence."""
        return (False, True)[: self.directions]

    def units(self, layer: int) -> int:
        """h of layer 1 … L."""
        return self.sizes[layer - 1] if self.sizes else self.h

    def size_of(self, part: str, layer: int) -> int:
        """How many numbers of a part of the state one direction of layer 1 … L has."""
        return self.p if part == "H" and self.p is not None else self.units(layer)

    def most(self, part: str) -> int:
        """The same of the layer that has most: how wide the rows of a state are."""
        return max(self.size_of(part, layer) for layer in range(1, self.L + 1))

    @property
    def even(self) -> bool:
        """Whether every layer fills its row of a state."""
        return not self.sizes

    @property
    def width(self) -> int:
        """How many numbers the last layer hands up: H of each of its directions."""
        return self.directions * self.size_of("H", self.L)

    @property
    def rows(self) -> int:
        """How many rows a state has: one for every direction of every layer."""
        return self.L * self.directions

    @property
    def passes(self) -> list[tuple[int, bool]]:
        """The layer of every row of a state, and whether it is its pass backward in time."""
        return [(layer, backward) for layer in range(1, self.L + 1) for backward in self.ways]

    def row(self, layer: int, backward: bool = False) -> int:
        """Where the state of layer 1 … L lies: l1 forward, l1 backward, l2 forward, …"""
        return (layer - 1) * self.directions + backward

    def inputs_of(self, layer: int) -> int:
        """How many inputs layer 1 … L has: d, or what the layer below it hands up."""
        return self.d if layer == 1 else self.directions * self.size_of("H", layer - 1)

    def alone(self, layer: int) -> "ModelSpec":
        """Layer 1 … L as a stack of one."""
        own = {"d": self.inputs_of(layer), "h": self.units(layer), "sizes": (), "L": 1}
        return dataclasses.replace(self, **own, activations=self.activations[layer - 1 : layer])

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values; ``from_json`` reads it back.

        What a spec has not is left out: one direction, one size, no projection, no peepholes, no
        clip. So files and digests from before there were others stay valid.
        """
        values = dataclasses.asdict(self) | {"activations": list(self.activations)}
        values |= {"h": list(self.sizes)} if self.sizes else {}
        del values["sizes"]
        nothing = {"directions": 1, "p": None, "peepholes": False, "gate_clip": None}
        for field, none in nothing.items():
            if values[field] == none:
                del values[field]
        return values

    @classmethod
    def from_json(cls, value: Any, where: object = "spec") -> "ModelSpec":
        """A spec from JSON values; every error names ``where`` it came from."""
        if not is_object(value):
            raise BadInput(where, "spec", "an object", repr(value))
        names = {field.name for field in dataclasses.fields(cls)} - {"sizes"}
        if unknown := sorted(set(value) - names):
            raise BadInput(where, "spec", f"only the fields {', '.join(sorted(names))}", unknown)
        if missing := sorted({"cell", "d", "h", "q", "L"} - set(value)):
            raise BadInput(where, "spec", f"the fields {', '.join(missing)}", "none of that name")
        if is_list(h := value["h"]):
            if not h or any(type(size) is not int for size in h):
                raise BadInput(where, "h", "a whole number, or one per layer", repr(h))
            value = value | {"h": max(h), "sizes": tuple(h)}
        try:
            return cls(**value)
        except BadInput as error:
            raise BadInput(where, error.field, error.expected, error.found) from None
