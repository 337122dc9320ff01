"""Dropout between layers, with masks that are given (EQUATIONS.md, DROP-1)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import BadInput
from common.spec import ModelSpec


@dataclass(frozen=True, eq=False)
class Dropout:
    """What is dropped in one minibatch.

    rate:  r, from 0 to less than 1
    masks: M^(1) … M^(L−1), (L−1, T, n, D·h), 0 where a number is dropped, 1 where it is kept. Of
           layers that differ in size, as wide as the widest needs; what stands behind a smaller
           layer's own is not read
    """

    rate: float
    masks: np.ndarray

    def by_layer(self, spec: ModelSpec) -> Iterator[np.ndarray]:
        """The mask of every layer but the last, (T, n, D·h_l) each."""
        for layer, mask in enumerate(self.masks, start=1):
            yield mask[..., : spec.inputs_of(layer + 1)]


def mask_shape(spec: ModelSpec, n: int, T: int) -> tuple[int, int, int, int]:
    """(L−1, T, n, D·h), h of the widest layer"""
    return spec.L - 1, T, n, spec.directions * spec.most("H")


def check_dropout(
    given: Any, spec: ModelSpec, n: int, T: int, where: object = "dropout"
) -> Dropout:
    """A rate and masks of floats; BadInput unless the rate is below 1 and the masks fit."""
    rate, masks = given.rate, np.asarray(given.masks)
    real = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not (real and math.isfinite(rate) and 0 <= rate < 1):
        raise BadInput(where, "rate", "a number from 0 to less than 1", repr(rate))
    if masks.shape != (shape := mask_shape(spec, n, T)):
        raise BadInput(where, "masks", f"shape {shape}", f"shape {masks.shape}")
    if masks.dtype.kind not in "biuf":
        raise BadInput(where, "masks", "0 and 1 alone", masks.dtype)
    if (odd := masks[(masks != 0) & (masks != 1)]).size:
        raise BadInput(where, "masks", "0 and 1 alone", odd[0])
    return Dropout(float(rate), masks.astype("float64"))


def as_few(lengths: np.ndarray | None, dropout: Dropout | None) -> tuple[Any, ...]:
    """Lengths and dropout as further arguments, as few as say it: nothing, lengths, or both.
    Backends of somebody's own may know neither."""
    if dropout is not None:
        return lengths, dropout
    return () if lengths is None else (lengths,)


def as_two(more: Sequence[Any]) -> tuple[Any, Any]:
    """Lengths and dropout out of ``as_few``; None is what was not said."""
    lengths, dropout = (*more, None, None)[:2]
    return lengths, dropout


def needs(lengths: bool, dropout: bool) -> tuple[bool, ...]:
    """What an implementation must know beside the spec, in as few words."""
    if dropout:
        return lengths, True
    return (True,) if lengths else ()
