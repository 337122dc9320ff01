"""What conventions drop of a minibatch, and where (DROP-1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.dropout import Dropout
from common.spec import ModelSpec
from conformance.oracle.conventions import Conventions
from conformance.oracle.equations import State, Value


@dataclass(frozen=True)
class Drops:
    """The masks of a minibatch, (L−1, T, n, D·h), and the scale of what is kept, as they are
    understood."""

    c: Conventions
    masks: np.ndarray
    scale: float

    def at(self, place: str, layer: int, steps: list[Value]) -> list[Value]:
        """By step, what is left of values (n, k) at a place: ``between`` layers; or wrongly, of the
        ``inputs``, or of what the ``top`` layer hands to the output."""
        if place not in self.c.dropped:
            return steps
        return [
            self.c.drop(value, self.of(layer, t, value), self.scale)
            for t, value in enumerate(steps)
        ]

    def held(self, layer: int, backward: bool, t: int, state: State) -> State:
        """What the next step of a direction starts from, of the state after step t."""
        return self.c.held(state, self.scale * self.of(layer, t, state["H"], int(backward)))

    def last(self, layer: int, backward: bool, state: State) -> State:
        """A direction's last state, as it is given back."""
        if "last" not in self.c.dropped:
            return state
        mask = self.of(layer, 0 if backward else -1, state["H"], int(backward))
        return state | {"H": state["H"].times(self.scale * mask)}

    def of(self, layer: int, t: int, value: Value, half: int = 0) -> np.ndarray:
        """(n, k): a layer's mask of a step. The top layer has none: it takes the one below it; and
        columns that no mask has are those of a mask that begins again."""
        mask, k = self.masks[min(layer, len(self.masks)) - 1, t], value.data.shape[-1]
        return mask[:, (half * k + np.arange(k)) % mask.shape[-1]]


def drops_of(c: Conventions, spec: ModelSpec, dropout: Dropout | None) -> Drops | None:
    """None if nothing is dropped, or if there is nothing between layers."""
    if dropout is None or spec.L == 1:
        return None
    masks = dropout.masks
    for change in c.masks:
        masks = change(spec, masks)
    return Drops(c, masks, c.scale(dropout.rate))
