"""An atlas of the scalar functions: tanh, σ, exp and log-softmax over all numbers that there are.

Bit patterns, evenly spaced, are all magnitudes alike: as many numbers between 2⁻¹⁰⁰ and 2⁻⁹⁹ as
between 1 and 2. An error is counted in units in the last place of the right answer, which is known
to a small part of one: float32's out of float64, float64's out of FLINT's balls where a series of
two terms does not tell it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flint import arb, ctx

from common.storage.reading import LARGEST_JSON, parse_toml, read_text
from common.storage.shape import check_shape

BOUNDS = Path(__file__).with_name("atlas.toml")
SMALL, GREAT = 2.0**-60, 800.0
"""Below, a series of two terms is right to 120 bits; beyond, everything is a limit in float64."""

BITS = 256
WIDTHS = {"float32": 32, "float64": 64}
FINE = {"float32": 22, "float64": 20}
"""So many bits of the pattern change, from one number to the next."""

ORDINARY = 2.0**-13, 1.0
"""|x| where the mean and the bias are taken: most of what a cell computes lies there."""

CURVED = range(-28, 10)
"""Half octaves, 2^(k/2) ≤ |x| < 2^((k+1)/2), of a curve."""

LIMITS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "exp": (0.0, math.inf)}
LIMITS |= {"log_softmax": (-math.inf, 0.0)}
"""What a function comes near to, and never passes. All of them rise throughout."""

Two = tuple[np.ndarray, np.ndarray]
"""A number in two parts, high + low."""

IN_FLOAT64: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
    "log_softmax": lambda x: np.where(x > 0, 0.0, x) - np.log1p(np.exp(-np.abs(x))),
}
IN_BALLS: dict[str, Callable[[arb], arb]] = {
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "exp": lambda x: x.exp(),
    "log_softmax": lambda x: -(-x).exp().log1p(),
}
NEAR_0: dict[str, Callable[[np.ndarray], Two]] = {
    "tanh": lambda x: (x, np.zeros_like(x)),
    "sigmoid": lambda x: (np.full_like(x, 0.5), x / 4),
    "exp": lambda x: (np.ones_like(x), x),
    "log_softmax": lambda x: (np.full_like(x, -LOG_2), x / 2 - LOG_2_LOW),
}
LOG_2, LOG_2_LOW = 0.6931471805599453, 2.3190468138462996e-17


@dataclass(frozen=True)
class Finding:
    """What is known of one function in one dtype. Errors are in units in the last place.

    largest, at: the largest error of a result that is normal, and the x that has it
    mean, bias:  over ``ORDINARY``: of |error|, and of the error away from 0, negative towards it
    flat:        from this x on, up, it is its upper limit; NaN if it has none, or never is
    vanishes:    from this x on, down (log-softmax: up), it is 0; NaN if it never is
    beyond:      the share of results that are outside of the function's range
    falls:       at how many places it falls, as x rises
    wrong:       how many of NaN, −∞ and ∞ it takes for something else; of NaN, log-softmax
    """

    function: str
    dtype: str
    largest: float
    at: float
    mean: float
    bias: float
    flat: float
    vanishes: float
    beyond: float
    falls: int
    wrong: int

    def to_json(self) -> dict[str, Any]:
        """With four digits, and null for a NaN."""
        found = asdict(self)
        return {k: _rounded(v) if isinstance(v, float) else v for k, v in found.items()}


def numbers(dtype: str, bits: int) -> np.ndarray:
    """2^bits bit patterns, evenly spaced, as finite numbers in rising order."""
    width = WIDTHS[dtype]
    patterns = np.arange(2**bits, dtype=f"uint{width}") << np.array(width - bits, f"uint{width}")
    found = patterns.view(dtype)
    return np.sort(found[np.isfinite(found)])


def right(function: str, x: np.ndarray) -> Two:
    """The right answers, in two parts of float64."""
    wide = x.astype("float64")
    with np.errstate(all="ignore"):
        high = IN_FLOAT64[function](wide)
    low = np.zeros_like(high)
    if x.dtype == np.float32:
        return high, low
    near, between = np.abs(wide) < SMALL, (np.abs(wide) >= SMALL) & (np.abs(wide) <= GREAT)
    high[near], low[near] = NEAR_0[function](wide[near])
    with ctx.workprec(BITS):
        for index in np.flatnonzero(between):
            ball = IN_BALLS[function](arb(float(wide[index]))).mid()
            high[index] = float(ball)
            low[index] = float(ball - arb(high[index]))
    return high, low


def units(function: str, got: np.ndarray, exact: Two) -> np.ndarray:
    """By element, how far ``got`` is from the right answer. log-softmax is a difference of numbers
    of which one is at least 1, or x: it is counted in units of 1 where it is smaller."""
    high, low = exact
    info = np.finfo(got.dtype)
    size = np.maximum(np.abs(high), 1.0) if function == "log_softmax" else np.abs(high)
    exponent = np.frexp(np.maximum(size, float(info.smallest_subnormal)))[1]
    unit = np.maximum(np.ldexp(1.0, exponent - info.nmant - 1), float(info.smallest_subnormal))
    with np.errstate(invalid="ignore"):
        same = got == high  # infinities
        return np.where(same, -low / unit, ((got.astype("float64") - high) - low) / unit)


def survey(
    name: str, computed: Callable[[np.ndarray], np.ndarray], dtype: str, bits: int
) -> tuple[Finding, list[dict[str, Any]]]:
    """What is known of a function, and the curve of its error by half octaves.

    name: of the function; ``net_`` before it for one that a backend's nets have instead"""
    function, x = name.removeprefix("net_"), numbers(dtype, bits)
    got, exact = computed(x), right(function, x)
    info = np.finfo(got.dtype)
    size = np.abs(exact[0])
    held = size <= float(info.max)
    normal = held & (size >= float(info.smallest_normal))
    error = units(function, got, exact)
    outward = error * np.sign(exact[0])
    magnitude = np.abs(x)
    ordinary = normal & (magnitude > ORDINARY[0]) & (magnitude < ORDINARY[1])
    worst = int(np.argmax(np.where(normal, np.abs(error), 0.0)))
    lower, upper = LIMITS[function]
    edges = computed(np.array([math.nan, -math.inf, math.inf], dtype))
    wanted = np.array([math.nan, lower, upper])
    if function == "log_softmax":  # ∞ − ∞, in every framework
        edges, wanted = edges[:1], wanted[:1]
    finding = Finding(
        function=name,
        dtype=dtype,
        largest=float(np.abs(error[worst])),
        at=float(x[worst]),
        mean=float(np.abs(error[ordinary]).mean()),
        bias=float(outward[ordinary].mean()),
        flat=_from(x, got == upper) if math.isfinite(upper) and upper else math.nan,
        vanishes=_vanishes(function, x, got),
        beyond=float(np.mean(~((got >= lower) & (got <= upper)))),
        falls=int(np.sum(got[1:] < got[:-1])),
        wrong=int(np.sum(~((edges == wanted) | (np.isnan(edges) & np.isnan(wanted))))),
    )
    return finding, list(_curve(name, dtype, x, outward, normal))


def _curve(
    name: str, dtype: str, x: np.ndarray, outward: np.ndarray, normal: np.ndarray
) -> "list[dict[str, Any]]":
    found: list[dict[str, Any]] = []
    for k in CURVED:
        for sign in (-1, 1):
            low, high = 2.0 ** (k / 2), 2.0 ** ((k + 1) / 2)
            there = outward[normal & (sign * x >= low) & (sign * x < high)]
            if there.size:
                least, mean, most = (_rounded(float(f(there))) for f in (np.min, np.mean, np.max))
                about = {"function": name, "dtype": dtype, "x": _rounded(sign * (low + high) / 2)}
                found.append(about | {"least": least, "mean": mean, "most": most})
    return found


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _from(x: np.ndarray, reached: np.ndarray) -> float:
    """The x from which on, up, something holds; NaN if it does not hold at the end."""
    if not reached[-1]:
        return math.nan
    return float(x[len(x) - int(np.argmin(reached[::-1]))]) if not reached.all() else float(x[0])


def _vanishes(function: str, x: np.ndarray, got: np.ndarray) -> float:
    """Where it becomes 0 on its way down, or log-softmax on its way up."""
    if function == "tanh":
        return math.nan
    if function == "log_softmax":
        return _from(x, got == 0)
    return -_from(-x[::-1], got[::-1] == 0)


def load_bounds(path: Path = BOUNDS) -> dict[str, Any]:
    """atlas.toml; BadInput if it is not whole."""
    found = parse_toml(read_text(path, "a TOML file", LARGEST_JSON), path)
    bound = dict.fromkeys(FIELDS, float)
    known = {"backend": str, "device": str, "dtype": str, "function": str, "field": str}
    known |= {"bound": float, "deviation": str}
    check_shape(found, {"bounds": bound, "exception": [known]}, path, exactly=True)
    return found


FIELDS = ("largest", "bias", "beyond", "wrong")


def problems(
    rows: list[dict[str, Any]], backend: str, device: str, bounds: dict[str, Any]
) -> list[str]:
    """What is above its bound, and every exception that is not needed.

    rows: findings of a backend on a device, as JSON"""
    found: list[str] = []
    known = [
        one for one in bounds["exception"] if (one["backend"], one["device"]) == (backend, device)
    ]
    for row in rows:
        for field in FIELDS:
            where, value = f"{backend} {row['function']} {row['dtype']}: {field}", row[field]
            mine = [e for e in known if e["field"] == field and all(e[k] == row[k] for k in ROW)]
            bound = mine[0]["bound"] if mine else bounds["bounds"][field]
            if mine and _within(value, bounds["bounds"][field]):
                found.append(f"{where} is {value}, and needs no exception")
            elif not _within(value, bound):
                found.append(f"{where} is {value}, above {bound:g}")
    return found


ROW = ("function", "dtype")


def _within(value: float | None, bound: float) -> bool:
    return value is not None and abs(value) <= bound
