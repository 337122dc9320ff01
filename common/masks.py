"""Masks over steps, as Keras has them: a step that is masked changes no state, and its output is
that of the step before, or zero in a Bidirectional. So a sequence with gaps is the sequence without
the masked steps, which is shorter; only the places of its outputs differ.
"""

import numpy as np

from common.capture import same


def lengths_of(mask: np.ndarray) -> np.ndarray:
    """How many steps of each example count. mask: (n, T), returns (n,)"""
    return mask.sum(1).astype("int64")


def has_gaps(mask: np.ndarray) -> bool:
    """Whether it leaves out steps that are not at the end. mask: (n, T)"""
    number = np.indices(mask.shape)[1]
    return bool(np.any(mask != (number < lengths_of(mask)[:, None])))


def places(mask: np.ndarray) -> np.ndarray:
    """(n, T): of each example the steps that count, in order, and then its last one again and
    again, as a framework repeats it behind an end; the masked ones, if none counts."""
    order = np.argsort(~mask, axis=1, kind="stable")
    number = np.indices(mask.shape)[1]
    length = lengths_of(mask)[:, None]
    last = np.take_along_axis(order, np.maximum(length - 1, 0), axis=1)
    return np.where((number < length) | (length == 0), order, last)


def without_gaps(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The steps that count, at the front. array: (n, T, k)"""
    return np.take_along_axis(array, places(mask)[..., None], axis=1)


def zero_at(outputs: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the outputs at masked steps are zero. outputs: (n, T, k)"""
    return not np.any(outputs[~mask])


def with_zeros(array: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Zeros behind every example's end. array: (n, T, k)   lengths: (n,)"""
    live = np.indices(array.shape[:2])[1] < lengths[:, None]
    return np.where(live[..., None], array, 0).astype(array.dtype)


def repeats(outputs: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the outputs at masked steps are those of the step before, and zero before the first
    that counts. outputs: (n, T, k)"""
    number = np.indices(mask.shape)[1]
    before = np.maximum.accumulate(np.where(mask, number, -1), axis=1)
    wanted = np.take_along_axis(outputs, np.maximum(before, 0)[..., None], axis=1)
    return same(outputs, np.where(before[..., None] < 0, 0, wanted).astype(outputs.dtype))
