"""Where numbers are compared, tensor by tensor; nothing outside of this room compares any.

A comparison passes only if something was compared and ``error <= bound`` holds: a NaN fails.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.storage.reading import LARGEST_JSON, parse_toml, read_text
from common.storage.shape import check_shape
from conformance.closeness.rungs import RUNGS, rung_of

UNIT_ROUNDOFF = 2.0**-24
"""The largest relative error of rounding to float32: no noise floor is below it."""

FLOAT64_SCALE = 2.0**-29
"""Rounding errors of float64 are as much smaller than those of float32."""

BOUNDS = Path(__file__).with_name("bounds.toml")
GRID_BITS = 20


@dataclass(frozen=True)
class Bound:
    """A line of bounds.toml."""

    error: float
    ratio: float = math.inf
    grid: bool = False
    units: float = math.inf
    apart: float = 100.0


@dataclass(frozen=True)
class Comparison:
    """What came of comparing one tensor.

    error:     largest |got − expected| / largest |expected|; NaN if either holds one
    ratio:     error / noise floor
    index:     where the error is largest; got and wanted: the values there
    elements:  how many were compared; differing: how many differ on the grid; straddles: how many
               of these lie within rounding of a boundary between two grid points
    units:     the worst element's error in units of its own bound (elements.py), NaN elsewhere
    problem:   why it failed, None if it passed
    """

    tensor: str
    problem: str | None = None
    elements: int = 0
    error: float = math.nan
    ratio: float = math.nan
    bound: float = math.nan
    index: tuple[int, ...] = ()
    got: float = math.nan
    wanted: float = math.nan
    differing: int = 0
    straddles: int = 0
    units: float = math.nan

    @property
    def passed(self) -> bool:
        return self.problem is None

    @property
    def rung(self) -> str:
        return rung_of(self.tensor)


def load_bounds(path: Path = BOUNDS) -> dict[str, Any]:
    """bounds.toml as Bound by device, dtype and rung; BadInput if it is not whole."""
    return _bounds(read_text(path, "a TOML file", LARGEST_JSON), path)


@functools.lru_cache(4)
def _bounds(text: str, path: Path) -> dict[str, Any]:
    """Of a text, which many ask for and nobody changes."""
    tables = parse_toml(text, path)
    bound = {"error": float, "ratio?": float, "grid?": bool, "units?": float, "apart?": float}
    check_shape(tables, {str: {str: dict.fromkeys(RUNGS, bound)}}, path, exactly=True)
    return {
        device: {
            dtype: {rung: Bound(**values) for rung, values in rungs.items()}
            for dtype, rungs in dtypes.items()
        }
        for device, dtypes in tables.items()
    }


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """max |got − wanted| / max |wanted|, in float64; 0 if both are zero throughout."""
    worst = float(np.abs(np.subtract(got, wanted, dtype="float64")).max())
    return 0.0 if worst == 0 else worst / float(np.abs(wanted).max())


def identical(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers; a NaN is not one."""
    return np.array_equal(got, wanted)


def multiple_of_bound(got: np.ndarray, wanted: np.ndarray, bound: Bound, noise: float) -> float:
    """How many times the bound an error is; infinite if it is not a number, or if the bound is 0 or
    ``wanted`` is zero throughout and ``got`` is something else."""
    if got.shape != wanted.shape:
        return math.inf
    if (got == wanted).all():
        return 0.0
    least = min(bound.error, bound.ratio * noise)
    if not least or not np.any(wanted):
        return math.inf
    error = relative_error(got, wanted)
    return math.inf if math.isnan(error) else error / least


def agreement(
    got: np.ndarray | None, wanted: np.ndarray, bound: Bound, noise: float
) -> float | None:
    """The relative error if it is within the bound, None if it is not, or cannot be."""
    if got is None or got.shape != wanted.shape:
        return None
    if multiple_of_bound(got, wanted, bound, noise) <= 1:
        return relative_error(got, wanted)
    return None


def step_errors(got: np.ndarray, right: np.ndarray, T: int) -> np.ndarray:
    """(T,): the largest error of each of T steps, relative to the largest magnitude of all, and NaN
    for a step that holds one. got, right: (T·n, h)"""
    finite = np.abs(right[np.isfinite(right)])
    scale = float(finite.max(initial=0.0)) or 1.0
    return np.abs(got - right).reshape(T, -1).max(axis=1) / scale


def error_map(got: np.ndarray, right: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The largest error along some axes, relative to the largest magnitude of the whole tensor, and
    NaN where there is one."""
    scale = float(np.max(np.abs(right))) or 1.0
    return np.abs(np.subtract(got, right, dtype="float64")).max(axis=axes) / scale


def growth(new: float, old: float) -> float:
    """By how much an error grew from one run to another, both in noise floors. Below one noise
    floor there is nothing but rounding, which moves with every release."""
    return max(new, 1.0) / max(old, 1.0)


def within(got: np.ndarray, right: np.ndarray, bound: float) -> bool:
    """Whether the relative error is no more than the bound; never if there is a NaN."""
    return bool(relative_error(got, right) <= bound)


def noise_floor(
    wanted: np.ndarray, evaluations: list[np.ndarray], least: float = UNIT_ROUNDOFF
) -> float:
    """The largest error of evaluations of what is finite, or one rounding: NumPy's in float32, or
    those in a format of which ``least`` is the unit roundoff."""
    finite = np.isfinite(wanted)
    wanted, evaluations = wanted[finite], [found[finite] for found in evaluations]
    if not np.any(wanted):
        return least
    return max([least, *(relative_error(found, wanted) for found in evaluations)])


def compare(
    tensor: str,
    got: np.ndarray | None,
    wanted: np.ndarray,
    bound: Bound,
    noise: float,
    may_be_zero: bool = False,
) -> Comparison:
    """Compare one tensor with what it must be: presence, shape, dtype, then values.

    wanted:      in the dtype that ``got`` must have, or float64 for the oracle's answer to a
                 float32 question; ``got`` is never rounded
    may_be_zero: the case declares that this tensor is zero; then ``got`` must be exactly zero
    """
    if got is None:
        return Comparison(tensor, "missing")
    if got.shape != wanted.shape:
        return Comparison(tensor, f"shape {got.shape}, expected {wanted.shape}")
    if wanted.size == 0:
        return Comparison(tensor, "nothing to compare: the expected tensor is empty")
    scale = float(np.max(np.abs(wanted)))
    if not math.isfinite(scale):
        return Comparison(tensor, "nothing to compare: the expected tensor is not finite")
    if scale == 0 and not may_be_zero:
        return Comparison(tensor, "nothing to compare: the expected tensor is zero throughout")
    difference = np.abs(np.subtract(got, wanted, dtype="float64"))
    index = tuple(int(i) for i in np.unravel_index(np.argmax(difference), got.shape))
    worst = float(difference[index])  # argmax finds a NaN first
    error = worst / scale if scale else worst
    ratio, value = error / noise, float(got[index])
    differing, straddles = _off_the_grid(got, wanted, scale) if bound.grid and scale else (0, 0)
    genuine = differing - straddles
    return Comparison(
        tensor,
        problem=_problem(error, ratio, bound, genuine) if scale else _problem_at_zero(error, value),
        elements=got.size,
        error=error,
        ratio=ratio,
        bound=min(bound.error, bound.ratio * noise),
        index=index,
        got=value,
        wanted=float(wanted[index]),
        differing=differing,
        straddles=straddles,
    )


def _problem(error: float, ratio: float, bound: Bound, differing: int) -> str | None:
    if math.isnan(error):
        return "not a number"
    if not error <= bound.error:
        return f"error {error:.3g} above the bound {bound.error:g}"
    if not ratio <= bound.ratio:
        times = f"{ratio:.3g} times the noise floor"
        return f"error {error:.3g} is {times}, above {bound.ratio:g}"
    if differing:
        return f"{differing} elements differ after rounding to 2^-{GRID_BITS}"
    return None


def _problem_at_zero(error: float, value: float) -> str | None:
    if math.isnan(error):
        return "not a number"
    return None if error == 0 else f"{value:.9g} where exactly 0 is expected"


def _off_the_grid(got: np.ndarray, wanted: np.ndarray, scale: float) -> tuple[int, int]:
    """Count the elements that differ once rounded to 2⁻²⁰ of the tensor's exponent, and those of
    them that a few float64 roundings, 16 · 2⁻⁵² of it, explain: a straddle."""
    exponent = 2.0 ** math.ceil(math.log2(scale))
    unit = exponent * 2.0**-GRID_BITS
    differ = np.rint(got / unit) != np.rint(wanted / unit)
    differing = int(np.count_nonzero(differ))
    if not differing:
        return 0, 0
    near = np.abs(got[differ] - wanted[differ]) <= 16 * 2.0**-52 * exponent
    return differing, int(np.count_nonzero(near))


def compare_on_lattice(
    got: np.ndarray, right: np.ndarray, exact: np.ndarray
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The indices at which values on the lattice differ, and those of them that rounding does not
    explain.

    exact: what ``right`` was before it was rounded. A straddle is one lattice unit away, on the
    other side of a middle that ``exact`` is within 16 · 2⁻⁵² of the tensor's exponent of.
    """
    scale = 2.0 ** math.ceil(math.log2(max(float(np.max(np.abs(exact))), 1e-300)))
    one_unit = np.abs(got - right) == 2.0**-GRID_BITS
    near = np.abs((got + right) / 2 - exact) <= 16 * 2.0**-52 * scale
    differ = ~(got == right)
    places = [tuple(map(int, index)) for index in np.argwhere(differ)]
    return places, [p for p in places if not (one_unit[p] and near[p])]


def must_differ(
    tensor: str, got: np.ndarray | None, own: np.ndarray, bound: Bound, noise: float
) -> Comparison:
    """An answer to a changed question must differ from the first answer by many times the bound."""
    if got is None:
        return Comparison(tensor, "missing")
    if got.shape != own.shape:
        return Comparison(tensor, f"shape {got.shape}, expected {own.shape}")
    error = relative_error(got, own) if got.size and np.any(own) else math.nan
    least = bound.apart * min(bound.error, bound.ratio * noise)
    problem = None
    if not math.isfinite(error):
        problem = "not a number" if math.isnan(error) else "infinite"
    elif not error >= least:
        problem = f"changed by {error:.3g} only, less than {least:g}"
    return Comparison(tensor, problem, got.size, error, bound=least)


def first_divergence(got: np.ndarray, wanted: np.ndarray, bound: float) -> tuple[int, int] | None:
    """The first (step, layer), both from 1, at which a trace (T, L, n, h) leaves the right one.

    Steps come first: what feeds the place that is named, the layer below at this step and this
    layer one step earlier, is still right.
    """
    scale = np.max(np.abs(wanted))
    difference = np.abs(np.subtract(got, wanted, dtype="float64")).max(axis=(2, 3))
    for t, l in np.argwhere(~(difference <= bound * scale)):
        return int(t) + 1, int(l) + 1
    return None
