"""Numbers that a training run claims, against those that follow from what else is known of it."""

import numpy as np

from conformance.closeness.compare import relative_error

ROUNDING = 1e-11
"""What two orders of summation may make of a loss or a norm in float64. On the lattice, where both
begin every step with the same numbers, frameworks were found within 4e-16 of the oracle."""

SLACK = {"lattice": 1e-11, "float64": 1e-11, "float32": 1e-3, "tf32": 0.05, "mixed": 0.05}
"""By numerics: how close to the likeliest character another may be that was chosen, as a share of
the largest output. The oracle computes in float64 what the run did not."""


def same_numbers(got: list[float], wanted: list[float]) -> bool:
    """Whether two lists of losses or norms are the same to rounding; a NaN never is."""
    a, b = np.asarray(got, "float64"), np.asarray(wanted, "float64")
    return a.shape == b.shape and bool(relative_error(a, b) <= ROUNDING)


def likeliest(outputs: np.ndarray, chosen: np.ndarray, numerics: str) -> np.ndarray:
    """(T,): whether the character that was chosen at each step is the likeliest, or as good as it.

    outputs: (T, q)   chosen: (T,), numbers of characters
    """
    own = np.take_along_axis(outputs, chosen[:, None], axis=1)[:, 0]
    largest = np.abs(outputs).max(axis=1)
    return own >= outputs.max(axis=1) - SLACK[numerics] * largest
