"""Cases that leave the comfortable middle: magnitudes, sizes, and numbers that are none.

A wrong convention is wrong everywhere; a kernel is wrong from some size or magnitude on. So these
cases are for the mutants of mutants/regimes.py, and every case says which regimes it is in. The
main job has the fewest that kill each of these mutants; ``--cases 'large-*'`` has the rest.
"""

import fnmatch
import math
from dataclasses import replace

import numpy as np

from common.parameters import Arrays
from common.recipe import Recipe
from conformance.cases.case import (
    FAMILIES,
    UNCLIPPED,
    Case,
    Magnitude,
    Material,
    Number,
    Planted,
    make_spec,
)

SATURATED, GROWN, LOGITS, TINY = "saturated", "grown states", "large logits", "denormals"
NOT_A_NUMBER, INFINITE = "NaN", "infinity"
ZEROS, AT_THETA, OVERFLOW = "exact zeros", "norm at θ", "gradients near overflow"
IN = {"X": "NaN in X", "H0": "NaN in the initial state", "W": "NaN in the weights of a gate"}
STEPS, ROWS, UNITS = "T > 64", "n > 64", "h > 256"
INPUTS, CLASSES, LAYERS = "d > 128", "q > 128", "L > 8"

BIASES = (-100.0, -30.0, -10.0, 0.0, 10.0, 30.0, 100.0)
"""One for each hidden unit; every gate has them in another order, so that all meet all."""

TURNS = {"i": 0, "f": 3, "o": 5, "c": 2, "z": 0, "r": 3, "h": 5}
GROWN_UNITS = {"lstm": (0, 1), "gru": (5, 6), "rnn": (4, 5)}
"""Units whose state is kept, and may be large: their forget or update gate is open."""

DENORMAL = 2.0**-130
"""Times numbers below 1: all are denormal in float32, whose smallest normal number is 2⁻¹²⁶."""


def turned(values: tuple[float, ...], by: int) -> tuple[float, ...]:
    return values[-by:] + values[:-by]


def grown(cell: str) -> Number:
    """Times 30 and times 300, for two units."""
    first, second = GROWN_UNITS[cell]
    factors = {first: 30.0, second: 300.0}
    return tuple(factors.get(unit, 1.0) for unit in range(len(BIASES)))


def saturated(family: str, name: str = "saturated", L: int = 1, T: int = 6) -> Case:
    """Gates and candidates with pre-activations of ±10, ±30 and ±100, open beside closed."""
    spec = make_spec(family, 5, 7, 4, L)
    found = [Magnitude(f"layer*.b_*{g}", offset=turned(BIASES, by)) for g, by in TURNS.items()]
    part = "C0" if spec.cell == "lstm" else "H0"
    found.append(Magnitude(part, grown(spec.cell)))
    kept = (GROWN,) if spec.cell != "rnn" else ()
    return Case(
        f"{name}-{family}",
        spec,
        T=T,
        K=1,
        regimes=(SATURATED, *kept),
        conventions=False,
        magnitudes=tuple(found),
        elementwise=True,
    )


def logits(family: str, factor: float = 1e4, name: str = "logits") -> Case:
    """Outputs of ±10³ to ±10⁴, the gradient's norm far above θ, and inputs that are denormal."""
    return Case(
        f"{name}-{family}",
        make_spec(family, 5, 7, 4, 1),
        K=1,
        regimes=(LOGITS, TINY),
        conventions=False,
        magnitudes=(Magnitude("output.W_hq", factor), Magnitude("X", DENORMAL)),
        elementwise=True,
    )


def steps(family: str, T: int = 66, name: str = "steps") -> Case:
    spec = make_spec(family, 3, 5, 4, 1)
    return Case(f"{name}-{family}", spec, 2, T, 1, regimes=(STEPS,), conventions=False)


def sizes(name: str, family: str, n: int, d: int, h: int, q: int, L: int = 1, T: int = 3) -> Case:
    """More rows, inputs, units or classes than there are in a block of a kernel."""
    own = {ROWS: n > 64, INPUTS: d > 128, UNITS: h > 256, CLASSES: q > 128}
    found = tuple(regime for regime, there in own.items() if there)
    spec = make_spec(family, d, h, q, L)
    return Case(
        f"{name}-{family}", spec, n, T, 1, regimes=found, conventions=False, recipe=UNCLIPPED
    )


def planted(family: str, tensor: str, index: tuple[int, ...], name: str) -> Case:
    """One NaN at one place. What must be NaN follows from the equations: every gradient by a
    parameter is, so that it does not matter what a clip makes of a norm that is none, which the
    equations leave open. An infinity would make some of them NaN and some not: it is not asked."""
    return Case(
        f"{name}-{family}",
        make_spec(family, 5, 7, 4, 2),
        K=1,
        regimes=(NOT_A_NUMBER, IN.get(tensor, IN["W"])),
        conventions=False,
        planted=(Planted(tensor, index, math.nan),),
    )


def infinite(family: str, tensor: str, index: tuple[int, ...], name: str) -> Case:
    """One infinity at one place, only where the equations say what every number is: either all
    gradients by parameters are NaN, or a gate is shut or open for good and none of them is. (With
    an infinite weight under a relu, a unit that is off meets a gradient that is NaN: PyTorch makes
    0 of it, NumPy NaN, and either is right.)"""
    regime, place = (INFINITE,), (Planted(tensor, index, math.inf),)
    spec = make_spec(family, 5, 7, 4, 2)
    return Case(f"{name}-{family}", spec, K=1, regimes=regime, conventions=False, planted=place)


def zeros(family: str) -> Case:
    """X, the biases and the initial state are 0, and so is H: relu stands at its corner, and what
    a gradient is multiplied with is exactly 0."""
    return Case(
        f"large-zeros-{family}",
        make_spec(family, 5, 7, 4, 2),
        zero_state=True,
        regimes=(ZEROS,),
        conventions=False,
        magnitudes=(Magnitude("X", 0.0), Magnitude("layer*.b_*", 0.0)),
        vanishing=True,
    )


def near_overflow(family: str) -> Case:
    """Gradients of 10¹⁷, whose squares are near float32's largest number, 3.4 · 10³⁸."""
    return Case(
        f"large-near-overflow-{family}",
        make_spec(family, 5, 7, 4, 1),
        K=1,
        regimes=(OVERFLOW,),
        conventions=False,
        magnitudes=(Magnitude("output.W_hq", 1e17),),
        elementwise=True,
    )


def at_theta(family: str, norm: float) -> Case:
    """The gradient's norm is θ, to the last bit of float64: neither side of CLIP-2 may move it."""
    recipe = Recipe(learning_rate=0.5, clip=norm)
    spec = make_spec(family, 5, 7, 4, 2)
    name, about = f"large-norm-at-theta-{family}", (AT_THETA,)
    return Case(name, spec, regimes=about, conventions=False, recipe=recipe)


IN_X, IN_H, IN_W = (0, 2, 1, 3), (0, 1, 2), (2, 4)

REGIMES = [
    *(saturated(family) for family in ("rnn-tanh", "gru-before", "gru-after", "lstm")),
    *(logits(family) for family in ("rnn-tanh", "gru-after", "lstm")),
    steps("lstm"),
    sizes("sizes", "lstm", n=67, d=131, h=259, q=137),
    planted("rnn-relu", "X", IN_X, "nan-in-X"),
    planted("gru-after", "H0", IN_H, "nan-in-H"),
    planted("lstm", "X", IN_X, "nan-in-X"),
    planted("lstm", "layer1.W_xf", IN_W, "nan-in-W"),
]
"""Of the main job. Most have the sizes of other cases there, for which the frameworks have compiled
already."""

LARGE = [
    *(saturated(family, "large-saturated", L=2, T=12) for family in FAMILIES),
    saturated("lstm", "large-deep-saturated", L=4),
    *(logits(family, 1e5, "large-logits") for family in ("rnn-relu", "gru-before")),
    *(steps(family, 100, "large-steps-100") for family in ("rnn-tanh", "gru-before")),
    steps("gru-after", 1000, "large-steps-1000"),
    sizes("large-sizes", "rnn-tanh", n=65, d=129, h=257, q=130),
    sizes("large-sizes", "gru-after", n=66, d=130, h=258, q=129),
    sizes("large-255-units", "lstm", n=257, d=9, h=255, q=5),
    sizes("large-513-units", "gru-before", n=4, d=1030, h=513, q=7),
    sizes("large-1024-units", "gru-after", n=8, d=6, h=1024, q=9),
    sizes("large-vocabulary", "lstm", n=5, d=8, h=64, q=10_000),
    sizes("large-depth", "rnn-tanh", n=65, d=7, h=260, q=10, L=4, T=5),
    *(planted(family, "X", IN_X, "large-nan-in-X") for family in ("rnn-tanh", "gru-before")),
    *(planted(f, "H0", IN_H, "large-nan-in-H") for f in ("rnn-relu", "rnn-tanh", "lstm")),
    planted("gru-before", "layer1.W_xz", IN_W, "large-nan-in-W"),
    planted("rnn-relu", "layer1.W_xh", IN_W, "large-nan-in-W"),
    planted("gru-after", "layer1.W_xz", IN_W, "large-nan-in-W"),
    infinite("rnn-relu", "X", IN_X, "large-inf-in-X"),
    infinite("gru-after", "H0", IN_H, "large-inf-in-H"),
    infinite("rnn-tanh", "layer1.W_xh", IN_W, "large-inf-in-W"),
    *(infinite(f, "layer1.W_xz", IN_W, "large-inf-in-W") for f in ("gru-before", "gru-after")),
    infinite("lstm", "layer1.W_xf", IN_W, "large-inf-in-W"),
    *(zeros(family) for family in ("rnn-tanh", "rnn-relu", "gru-before", "gru-after", "lstm")),
    at_theta("lstm", 0.16500841298230137),
    at_theta("gru-after", 0.2731701774315973),
    *(near_overflow(family) for family in ("rnn-tanh", "gru-after", "lstm")),
]
"""Of ``--cases 'large-*'`` alone."""


def in_its_regime(case: Case, drawn: Material) -> Material:
    """The numbers of a case with its magnitudes, and with what is planted in it."""
    if not case.magnitudes and not case.planted:
        return drawn
    arrays: Arrays = {**drawn.params, "X": drawn.X}
    arrays |= {f"{part}0": array for part, array in drawn.state.items()}
    for change in case.magnitudes:
        for name in fnmatch.filter(arrays, change.tensors):
            changed = np.multiply(arrays[name], change.factor) + np.asarray(change.offset)
            arrays[name] = changed.astype("float32").astype("float64")
    for place in case.planted:
        arrays[place.tensor] = arrays[place.tensor].copy()
        arrays[place.tensor][place.index] = place.value
    return replace(
        drawn,
        params={name: arrays[name] for name in drawn.params},
        X=arrays["X"],
        state={part: arrays[f"{part}0"] for part in drawn.state},
    )
