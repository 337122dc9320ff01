"""Layers of different sizes whose states, weights or units are taken for those of another size.

A row of a state is as wide as the widest layer; a smaller layer's own numbers stand first in it,
and zeros behind them.
"""

from collections.abc import Callable

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.mutants.mapping import as_it_lies
from conformance.mutants.mutant import Mutant, as_wide, both, uneven
from conformance.oracle.conventions import Conventions, Parameters
from conformance.oracle.equations import Value


def own(row: np.ndarray) -> int:
    """How many numbers of a row (…, k) are a layer's own: up to the last that is not 0."""
    there = np.flatnonzero(row.reshape(-1, row.shape[-1]).any(axis=0))
    return int(there[-1]) + 1 if there.size else row.shape[-1]


def rows(change: Callable[[np.ndarray, int], np.ndarray]) -> Callable[[Arrays], Arrays]:
    """change(row (…, n, k), size) of every row of a state, (L, n, k) or (T, L, n, k)."""

    def found(state: Arrays) -> Arrays:
        return {
            part: np.stack(
                [change(a[..., k, :, :], own(a[..., k, :, :])) for k in range(a.shape[-3])], axis=-3
            )
            for part, a in state.items()
        }

    return found


def from_the_end(row: np.ndarray, size: int) -> np.ndarray:
    """The last numbers of a row stand where the first are read."""
    return np.roll(row, size - row.shape[-1], axis=-1)


def at_the_end(row: np.ndarray, size: int) -> np.ndarray:
    return np.roll(row, row.shape[-1] - size, axis=-1)


def repeated(row: np.ndarray, size: int) -> np.ndarray:
    """The last number again and again instead of zeros."""
    return row[..., np.minimum(np.arange(row.shape[-1]), size - 1)]


def ignored(row: np.ndarray, size: int) -> np.ndarray:
    return row if size == row.shape[-1] else 0 * row


def packed(state: Arrays) -> Arrays:
    """The layers' own numbers one after another in memory, without gaps, and zeros at the end."""
    found = {}
    for part, a in state.items():
        pieces = [a[..., k, :, : own(a[..., k, :, :])] for k in range(a.shape[-3])]
        lead = a.shape[:-3]
        flat = np.concatenate([piece.reshape(*lead, -1) for piece in pieces], axis=-1)
        missing = int(np.prod(a.shape[-3:])) - flat.shape[-1]
        filled = np.concatenate([flat, np.zeros((*lead, missing), a.dtype)], axis=-1)
        found[part] = filled.reshape(a.shape)
    return found


def from_packed(state: Arrays) -> Arrays:
    """What is read where rows are taken to lie so."""
    found = {}
    for part, a in state.items():
        flat, first, found[part] = a.ravel(), 0, np.zeros_like(a)
        for k in range(len(a)):
            n, size = a.shape[1], own(a[k])
            found[part][k, :, :size] = flat[first : first + n * size].reshape(n, size)
            first += n * size
    return found


def rows_kept(W: Value, many: int) -> Value:
    keep = (np.arange(W.data.shape[0]) < many)[:, None]
    return Value(W.data * keep, ((W, lambda g: g * keep),))


def smallest_for_all(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    """Of every H only as many units are read as the smallest layer has."""
    least = min(spec.sizes)
    above = ("W_h",) if layer == 1 or spec.directions == 2 else ("W_h", "W_x")
    return {n: rows_kept(W, least) if n.startswith(above) else W for n, W in p.items()}


def lying(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    """W_x above the first layer."""
    return {n: as_it_lies(W) if layer > 1 and n.startswith("W_x") else W for n, W in p.items()}


def of_the_state(change: Callable[[ModelSpec, Arrays], Arrays]):
    """A change of the gradients by the initial state."""

    def found(spec: ModelSpec, grads: Arrays) -> Arrays:
        state = {part: grads[f"{part}0"] for part in spec.states}
        return grads | {f"{part}0": a for part, a in change(spec, state).items()}

    return found


def smaller_zero(spec: ModelSpec, grads: Arrays) -> Arrays:
    smaller = tuple(
        f"layer{layer}." for layer in range(1, spec.L + 1) if spec.units(layer) < spec.h
    )
    return {n: 0 * a if n.startswith(smaller) else a for n, a in grads.items()}


def _uneven(name: str, says: str, applies=uneven, forward=True, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), applies, forward=forward)


UNEVEN = [
    _uneven("smaller initial states from the end", "a smaller layer starts from the last numbers "
            "of its row", initial=(rows(from_the_end),)),
    _uneven("smaller states given back at the end", "a smaller layer's state is given back at the "
            "end of its row", reported=(rows(at_the_end),)),
    _uneven("initial states packed", "the layers' initial states are expected one after another, "
            "without gaps", initial=(from_packed,)),
    _uneven("states given back packed", "the layers' states are given back one after another, "
            "without gaps", reported=(packed,)),
    _uneven("smaller states filled up", "a smaller layer's last unit is repeated to the end of its "
            "row", reported=(rows(repeated),)),
    _uneven("smaller initial states ignored", "smaller layers start from zeros",
            initial=(rows(ignored),)),
    _uneven("smallest size for all", "of every layer as many units are read as the smallest has",
            both(uneven, as_wide), read=(smallest_for_all,)),
    _uneven("W_x above read as it lies", "input matrices above the first layer are reshaped "
            "instead of transposed (memory order kept)", read=(lying,)),
    _uneven("gradients of smaller states at the end", "the gradient by a smaller layer's initial "
            "state is given back at the end of its row", forward=False,
            gradients=(of_the_state(lambda spec, state: rows(at_the_end)(state)),)),
    _uneven("smaller layers get no gradient", "layers that are smaller than the widest get no "
            "gradient", forward=False, gradients=(smaller_zero,)),
]  # fmt: skip
