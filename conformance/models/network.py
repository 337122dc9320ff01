"""Somebody's network as the evaluator takes it, and every choice of how it is computed.

A layer's matrices hold its gates side by side in the order of ``common.parameters.GATES``, so an
LSTM's are i, f, o, c. Layers may be of different sizes, have one direction or two, and may hold
what the suite's own spec leaves out: a projection, peepholes, layer normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

from common.parameters import GATES

State = dict[str, list[np.ndarray]]
"""H, and C of an LSTM: per layer and direction (l1 forward, l1 backward, l2 …) an array (n, p)."""


@dataclass(frozen=True)
class Direction:
    """One direction of one layer.

    W: (in, G·h)     U: (p, G·h), where p is h without a projection     b_x, b_h: (G·h,)
    peephole: (3, h), of i, f and o, or None     project: (h, p) or None
    gain, shift: (G·h,) of a layer normalisation of the pre-activations, or None
    """

    W: np.ndarray
    U: np.ndarray
    b_x: np.ndarray
    b_h: np.ndarray
    peephole: np.ndarray | None = None
    project: np.ndarray | None = None
    gain: np.ndarray | None = None
    shift: np.ndarray | None = None

    @property
    def d(self) -> int:
        return self.W.shape[0]

    @property
    def p(self) -> int:
        """The size of what it hands up."""
        return self.U.shape[0]

    def astype(self, dtype: str) -> Direction:
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: a.astype(dtype) for k, a in arrays.items() if a is not None})


@dataclass(frozen=True)
class Network:
    """layers: of each, its one direction or its two; output: W (p, q) and b (q,), or None
    biases:  how many the file holds for each gate
    """

    cell: str
    layers: tuple[tuple[Direction, ...], ...]
    output: tuple[np.ndarray, np.ndarray] | None = None
    biases: int = 2

    @property
    def L(self) -> int:
        return len(self.layers)

    @property
    def directions(self) -> int:
        return len(self.layers[0])

    @property
    def d(self) -> int:
        return self.layers[0][0].d

    @property
    def gates(self) -> str:
        return GATES[self.cell]

    def h(self, layer: int = 0) -> int:
        return self.layers[layer][0].W.shape[1] // len(self.gates)

    @property
    def sizes(self) -> list[int]:
        return [self.h(layer) for layer in range(self.L)]

    @property
    def parts(self) -> tuple[str, ...]:
        return ("H", "C") if self.cell == "lstm" else ("H",)

    @property
    def halves(self) -> Iterator[Direction]:
        return (half for layer in self.layers for half in layer)

    def each(self, change) -> Network:
        """change(half, layer number from 0) of every direction of every layer."""
        layers = tuple(
            tuple(change(half, number) for half in layer)
            for number, layer in enumerate(self.layers)
        )
        return replace(self, layers=layers)

    def astype(self, dtype: str) -> Network:
        output = self.output and tuple(array.astype(dtype) for array in self.output)
        return replace(self.each(lambda half, _: half.astype(dtype)), output=output)

    def state_shapes(self, n: int) -> dict[str, list[tuple[int, int]]]:
        h = [half.W.shape[1] // len(self.gates) for half in self.halves]
        shapes = {"H": [(n, half.p) for half in self.halves], "C": [(n, size) for size in h]}
        return {part: shapes[part] for part in self.parts}


@dataclass(frozen=True)
class Choices:
    """How a network is computed; what is not said is as in common/EQUATIONS.md.

    activations: by gate, as names of evaluator.ACTIVATIONS; ``out`` is LSTM-6's tanh of C
    per_layer:   of a vanilla RNN, one activation for each layer, or nothing
    reset:       where the GRU's reset gate acts
    forget_bias: added to f's pre-activation; forget_after: added to f itself
    clip:        of every pre-activation; cell_clip: of C; project_clip: of the projected H
    coupled:     f is 1 − i
    normalise:   "" or over what a layer normalisation goes: ``all`` gates together, each ``gate``
    merge:       what is made of the two directions; below: the same between layers
    turned:      whether the backward direction's outputs are put back into the order of time
    backward:    which of two directions reads from the last step to the first, 1, 0 or -1: none
    lengths:     (n,) or None; after_end: ``zero``, ``carry`` the last output, or compute ``on``
    reads:       what the outputs are read from: H, C, ``before`` (H of the step before), or layer k
    order:       the layers as they are stacked, from 0; None: as they are numbered
    residual:    which layers add their input to their output: those ``between`` the first and the
                 last, or ``all`` above the first
    carry:       the state from step to step: ``both``, or which of H and C is lost
    warm:        the state of an earlier call on the same input is kept
    rounding:    of every number on its way, as names of rounding.ROUNDINGS
    """

    activations: Mapping[str, str] = field(default_factory=dict)
    out: str = "tanh"
    per_layer: tuple[str, ...] = ()
    reset: str = "after"
    forget_bias: float = 0.0
    forget_after: float = 0.0
    clip: float | None = None
    cell_clip: float | None = None
    project_clip: float | None = None
    coupled: bool = False
    late_peephole: bool = True
    normalise: str = ""
    epsilon: float = 1e-5
    merge: str = "concat"
    turned: bool = True
    backward: int = 1
    lengths: np.ndarray | None = None
    after_end: str = "zero"
    reads: str = "H"
    order: tuple[int, ...] | None = None
    residual: str = ""
    warm: bool = False
    rounding: str = ""

    def with_(self, **changes) -> Choices:
        """Some of them changed; activations are changed gate by gate."""
        if "activations" in changes:
            changes["activations"] = {**self.activations, **changes["activations"]}
        return replace(self, **changes)
