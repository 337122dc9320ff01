"""Your framework's own layers, and how their weights map to the canonical ones.

Say here how it stacks the gates, how many biases it has, whether it is time-major, and where its
source says so. If it has no recurrent layers, drop this file and "layers" from IMPLEMENTATIONS.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from backends.template.equations import State, Tensor

from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "", "lstm": ""}
"""Your framework's order of the gates, in canonical letters: z, r, h and i, f, o, c."""


def unsupported(spec: ModelSpec) -> str | None:
    """What the framework's layers cannot express: a reason in a sentence, or None."""
    raise NotImplementedError("layers.py: unsupported is not written yet")


def to_native(spec: ModelSpec, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, canonical → native. If it has two biases, b goes into one and 0 into the other.

    Only the reset-after GRU's candidate has a second bias of its own, b_hh.
    """
    raise NotImplementedError("layers.py: to_native is not written yet")


def to_canonical(spec: ModelSpec, native: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, native → canonical. Holds for gradients too: the bias that carries b has b's."""
    raise NotImplementedError("layers.py: to_canonical is not written yet")


def make_blocks(spec: ModelSpec, **options) -> list[Any]:
    """The framework's recurrent layers for the whole stack."""
    raise NotImplementedError("layers.py: make_blocks is not written yet")


class Layers:
    """The framework's layers with its output layer on top, loaded with canonical parameters."""

    def __init__(self, spec: ModelSpec, params: State) -> None:
        raise NotImplementedError("layers.py: Layers.__init__ is not written yet")

    def native_layers(self) -> list[dict[str, Tensor]]:
        """The native tensors of each layer, from the bottom up."""
        raise NotImplementedError("layers.py: Layers.native_layers is not written yet")

    def freeze(self, bias_hh: Tensor) -> None:
        """Two trainable biases would move twice as fast as the equations' one, and count twice in
        the norm; so the second one stays 0, but for the reset-after candidate's b_hh."""
        raise NotImplementedError("layers.py: Layers.freeze is not written yet")

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state

        If the layers draw their masks themselves, every layer is one alone where some are given."""
        raise NotImplementedError("layers.py: Layers.__call__ is not written yet")

    def start(self, block: Any, state: State, first: int, rows: int) -> list[Tensor]:
        """What a layer starts from: its rows of the state, and of those its own numbers."""
        raise NotImplementedError("layers.py: Layers.start is not written yet")

    def over(
        self, block: Any, X: Tensor, start: tuple[Tensor, ...], within: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...] | Tensor]:
        """The outputs and the last state of one of the framework's layers, of examples of different
        length, too. If it has no such thing, ``unsupported`` says so."""
        raise NotImplementedError("layers.py: Layers.over is not written yet")

    def trace(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> list[State]:
        """The state after every step. If the layers do not show it, make each step a call."""
        raise NotImplementedError("layers.py: Layers.trace is not written yet")

    def trace_both(
        self, X: Tensor, state: State, within: Tensor | None, kept: Sequence[Tensor]
    ) -> list[State]:
        """The same of two directions: a step of a layer needs all steps of the one below, so every
        layer is taken alone. If the layers have no second direction, ``unsupported`` says so."""
        raise NotImplementedError("layers.py: Layers.trace_both is not written yet")

    def alone(self, layer: int) -> Any:
        """Layer 1 … L by itself, with the same weights."""
        raise NotImplementedError("layers.py: Layers.alone is not written yet")

    def canonical(self, read: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        raise NotImplementedError("layers.py: Layers.canonical is not written yet")
