"""Examples of different length in one minibatch (EQUATIONS.md, LEN-1)."""

from typing import Any

import numpy as np

from common.errors import BadInput


def check_lengths(lengths: Any, n: int, T: int, where: object = "lengths") -> np.ndarray:
    """T_1 … T_n as int64, (n,); BadInput unless they are n whole numbers from 1 to T."""
    found = np.asarray(lengths)
    if found.shape != (n,):
        expected, shape = f"{n}, one for each example", f"shape {found.shape}"
        raise BadInput(where, "lengths", expected, len(found) if found.ndim == 1 else shape)
    if found.dtype.kind not in "iu":
        raise BadInput(where, "lengths", "whole numbers", found.tolist())
    if found.min() < 1 or found.max() > T:
        raise BadInput(where, "lengths", f"1 to {T}, the steps that there are", found.tolist())
    return found.astype("int64")


def steps_within(lengths: Any, n: int, T: int) -> np.ndarray:
    """m, (T, n): whether step t is one of example k's own, t ≤ T_k   (LEN-1)"""
    return np.arange(T)[:, None] < check_lengths(lengths, n, T)
