"""Numbers compared element by element, and what must not be a number.

A tensor is judged by its largest element, beside which a gate of 2e-9 may be lost unseen. In cases
that say so, every element is held to what its own conditioning allows instead: to the error that
oracle/rounding.py bounds, times ``units`` of bounds.toml.
"""

import dataclasses
import math

import numpy as np

from conformance.closeness.compare import (
    Bound,
    Comparison,
    agreement,
    compare,
    multiple_of_bound,
    relative_error,
)


def units_of(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """By element: the error in units of what is allowed; infinite if nothing is, NaN of a NaN."""
    difference = np.abs(np.subtract(got, wanted, dtype="float64"))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(difference == 0, 0.0, difference / allowed)


def compare_elements(
    tensor: str,
    got: np.ndarray | None,
    wanted: np.ndarray,
    allowed: np.ndarray,
    bound: Bound,
    noise: float,
    may_be_zero: bool = False,
) -> Comparison:
    """Compare every element with what it must be, by its own bound. error and bound are those of
    the worst element, relative to the tensor's largest magnitude as elsewhere.

    allowed:     what rounding may do to each element
    may_be_zero: the case declares that all of them may be less than float64 can hold; what is
                 allowed there is allowed then"""
    plain = compare(tensor, got, wanted, Bound(math.inf), noise, may_be_zero)
    vanished = may_be_zero and wanted.size > 0 and not np.any(wanted)
    if got is None or got.shape != wanted.shape or (plain.problem and not vanished):
        return plain
    units, scale = units_of(got, wanted, allowed), float(np.max(np.abs(wanted))) or 1.0
    index = tuple(int(i) for i in np.unravel_index(np.argmax(units), got.shape))
    worst = float(units[index])
    times = f"{worst:.3g} times what rounding may make of this element, above {bound.units:g}"
    return dataclasses.replace(
        plain,
        problem=None if worst <= bound.units else times,
        error=float(abs(got[index] - wanted[index])) / scale,
        ratio=math.nan,
        bound=bound.units * float(allowed[index]) / scale,
        index=index,
        got=float(got[index]),
        wanted=float(wanted[index]),
        units=worst,
    )


def compare_undefined(
    tensor: str, got: np.ndarray | None, wanted: np.ndarray, bound: Bound, noise: float
) -> Comparison:
    """Compare with an answer in which a NaN is a statement: it must be there, and nowhere else;
    an infinity must be the same one. The numbers beside them are compared as elsewhere."""
    if got is None or got.shape != wanted.shape or np.all(np.isfinite(wanted)):
        return compare(tensor, got, wanted, bound, noise, may_be_zero=not np.any(wanted))
    if wrong := _first_other(got, wanted):
        value, right = float(got[wrong]), float(wanted[wrong])
        error = 1.0 if math.isfinite(value) else value  # all of it, if a number stands in its place
        said = "is not a number" if math.isnan(right) else f"is {right:.9g}"
        problem = f"{value:.9g} where the equations say that it {said}"
        return Comparison(
            tensor, problem, got.size, error, index=wrong, got=value, wanted=right, bound=0.0
        )
    finite = np.isfinite(wanted)
    if not finite.any():
        return Comparison(tensor, None, 0, 0.0, 0.0, bound.error)
    rest = wanted[finite]
    found = compare(tensor, got[finite], rest, bound, noise, may_be_zero=not rest.any())
    at = np.argwhere(finite)[found.index[0]] if found.index else ()
    return dataclasses.replace(found, index=tuple(int(i) for i in at))


def zero_behind(found: Comparison, got: np.ndarray | None, behind: np.ndarray) -> Comparison:
    """A comparison that passed, unless something behind an example's end is not exactly 0.

    behind: (T, n); got: (T, n, …), or (T, rows, n, h) of a trace"""
    if got is None or not found.passed:
        return found
    axes = (0, 2, 1, 3) if got.ndim == 4 else (0, 1, 2)
    there = np.argwhere(behind[..., *[None] * (got.ndim - 2)] & (got.transpose(axes) != 0))
    if not len(there):
        return found
    index = tuple(int(there[0][axis]) for axis in axes)
    value = float(got[index])
    problem = f"{value:.9g} behind the end of an example, where exactly 0 is expected"
    return dataclasses.replace(found, problem=problem, index=index, got=value, wanted=0.0)


def _first_other(got: np.ndarray, wanted: np.ndarray) -> tuple[int, ...] | None:
    """The first place where only one of the two is finite, or both are not, and not the same."""
    same = np.where(np.isnan(wanted), np.isnan(got), got == wanted) | (
        np.isfinite(wanted) & np.isfinite(got)
    )
    others = np.argwhere(~same)
    return tuple(int(i) for i in others[0]) if len(others) else None


def multiple_in_regime(
    got: np.ndarray,
    wanted: np.ndarray,
    bound: Bound,
    noise: float,
    allowed: np.ndarray | None,
    undefined: bool,
) -> float:
    """``multiple_of_bound`` by the rules of such cases."""
    if got.shape != wanted.shape:
        return math.inf
    if allowed is not None:
        worst = float(np.max(units_of(got, wanted, allowed)))
        return math.inf if math.isnan(worst) else worst / bound.units
    if undefined:
        finite = np.isfinite(wanted)
        if _first_other(got, wanted):
            return math.inf
        got, wanted = got[finite], wanted[finite]
    return multiple_of_bound(got, wanted, bound, noise)


def agreement_in_regime(
    got: np.ndarray | None,
    wanted: np.ndarray,
    bound: Bound,
    noise: float,
    allowed: np.ndarray | None,
    undefined: bool,
) -> float | None:
    """``agreement`` by the rules of such cases: the relative error if it is within the bound."""
    if allowed is None and not undefined:
        return agreement(got, wanted, bound, noise)
    if got is None or got.shape != wanted.shape:
        return None
    if not multiple_in_regime(got, wanted, bound, noise, allowed, undefined) <= 1:
        return None
    finite = np.isfinite(wanted)
    return relative_error(got[finite], wanted[finite]) if np.any(wanted[finite]) else 0.0
