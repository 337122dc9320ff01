"""What goes wrong from some magnitude on: functions, clips, the loss, small numbers, NaN.

Faults of sizes are in sizes.py. Both show in the cases of cases/regimes.py and nowhere else.
"""

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.cases.regimes import (
    GROWN,
    IN,
    LOGITS,
    NOT_A_NUMBER,
    SATURATED,
    TINY,
    UNITS,
)
from conformance.mutants.function import candidate, gates
from conformance.mutants.losses import between, capped, floored, half, loss_of, no_nan, unshifted
from conformance.mutants.mutant import Mutant, gated, has, of
from conformance.oracle.conventions import Conventions, activate
from conformance.oracle.equations import Value, clip, relu, sigmoid, tanh


def elementwise(f, slope):
    """A function of each element. slope: its derivative, from the argument and the result"""

    def function(a: Value) -> Value:
        y = f(a.data)
        d = slope(a.data, y)
        return Value(y, ((a, lambda g: g * d),))

    return function


def held(limit: float):
    """Between ±limit; NaN stays."""
    return elementwise(
        lambda a: np.clip(a, -limit, limit), lambda a, y: (np.abs(a) <= limit).astype(a.dtype)
    )


def flat(function, limit: float, low: float):
    """Beyond ±limit exactly ``low`` or 1, and no gradient."""

    def found(a: Value) -> Value:
        right, inside = function(a), np.abs(a.data) <= limit
        y = np.where(inside, right.data, np.where(a.data > 0, 1.0, low))
        return Value(y, ((a, lambda g: right.parents[0][1](g) * inside),))

    return found


def of_tanh(a: Value) -> Value:
    """(1 + tanh(a/2)) / 2: its absolute error is small, and a closed gate's is all of it."""
    y = 0.5 * (1 + np.tanh(0.5 * a.data))
    return Value(y, ((a, lambda g: g * y * (1 - y)),))


def rational(terms: int):
    """tanh by its continued fraction, held at ±1."""

    def f(a: np.ndarray) -> np.ndarray:
        x = np.clip(a, -20, 20)
        value = np.full_like(x, 2 * terms + 1)
        for k in range(2 * terms - 1, 0, -2):
            value = k + x * x / value
        return np.clip(x / value, -1, 1)

    return elementwise(f, lambda a, y: 1 - y * y)


GRID = np.linspace(-16, 16, 4097)
TABLE = 1 / (1 + np.exp(-GRID))


def table(a: Value) -> Value:
    """σ by linear interpolation between 4,097 points."""
    y = np.interp(a.data, GRID, TABLE)
    return Value(y, ((a, lambda g: g * y * (1 - y)),))


def both(change):
    """``change`` of what goes into every σ and tanh."""

    def found(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        return activate(spec, layer, gate, change(a))

    return found


def every_tanh(change):
    def found(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        if spec.cell == "rnn":
            is_tanh = spec.activations[layer - 1] == "tanh"
            return change(a) if is_tanh else activate(spec, layer, gate, a)
        return candidate(change)(spec, layer, gate, a)

    return found


def kept(change):
    """``change`` of every part of the state, from one step to the next."""
    return lambda state: {part: change(value) for part, value in state.items()}


def gradient_held(limit: float):
    return lambda a: Value(a.data, ((a, lambda g: np.clip(g, -limit, limit)),))


def flushed(below: float):
    return lambda array: np.where(np.abs(array) < below, 0 * array, array)


def each(change):
    return lambda spec, grads: {name: change(array) for name, array in grads.items()}


def norm_in(kind: str):
    def found(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
        norm, _ = clip({name: g.astype(kind) for name, g in grads.items()}, theta)
        right = clip(grads, theta)[1]
        factor = np.float64(min(1.0, theta / float(norm)))
        return np.asarray(norm, right["output.b_q"].dtype), {
            n: g * factor for n, g in grads.items()
        }

    return found


def swallowing(function):
    """``function`` of 0 where its argument is NaN."""

    def found(a: Value) -> Value:
        known = function(Value(np.nan_to_num(a.data)))
        return Value(known.data, ((a, lambda g: known.parents[0][1](g) * ~np.isnan(a.data)),))

    return found


def none_left(a: Value) -> Value:
    return Value(np.nan_to_num(a.data), ((a, lambda g: g * ~np.isnan(a.data)),))


def skipped(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    norm, clipped = clip(grads, theta)
    return (
        (norm, clipped)
        if np.isfinite(norm)
        else (norm, {n: np.zeros_like(g) for n, g in grads.items()})
    )


def finite_gradients(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    return clip({name: np.nan_to_num(g) for name, g in grads.items()}, theta)


def relu_of_nan(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
    swallow = spec.cell == "rnn" and spec.activations[layer - 1] == "relu"
    return (swallowing(relu) if swallow else lambda x: activate(spec, layer, gate, x))(a)


def _regime(
    regimes: str | tuple[str, ...], name: str, says: str, applies=None, **choices
) -> Mutant:
    """Of one choice or several."""
    found = frozenset([regimes] if isinstance(regimes, str) else regimes)
    forward = not set(choices) <= {"gradients", "loss", "clip", "descend"}
    holds = applies or (lambda spec: True)
    return Mutant(name, says, Conventions(**choices), holds, forward=forward, regimes=found)


def bounded(spec: ModelSpec) -> bool:
    """Whether a σ or a tanh is in it."""
    return gated(spec) or "tanh" in spec.activations


MAGNITUDES = [
    *(_regime(GROWN, f"cell state clipped at ±{c}", f"the cell state is clipped at ±{c}",
              of("lstm"), cell_state=held(c)) for c in (3, 10, 100)),
    *(_regime(GROWN, f"state clipped at ±{c}", f"states are clipped at ±{c} between steps",
              carry=kept(held(c))) for c in (1, 10, 100)),
    *(_regime(SATURATED, f"pre-activations clipped at ±{c}",
              f"what goes into σ and tanh is clipped at ±{c}", where, activate=both(held(c)))
      for c, where in ((5, bounded), (20, gated))),
    *(_regime(SATURATED, f"σ flat beyond ±{c}", f"σ is exactly 0 or 1 beyond ±{c}", gated,
              activate=gates(flat(sigmoid, c, 0.0))) for c in (8, 12, 20)),
    _regime(SATURATED, "output gate's σ flat beyond ±12",
            "the output gate's σ is 0 or 1 beyond ±12", of("lstm"),
            activate=gates(flat(sigmoid, 12, 0.0), "o")),
    _regime(SATURATED, "σ by tanh", "σ(a) is computed as (1 + tanh(a/2)) / 2, which loses closed "
            "gates", gated, activate=gates(of_tanh)),
    _regime(SATURATED, "σ by a table", "σ is interpolated in a table between ±16", gated,
            activate=gates(table)),
    *(_regime(SATURATED, f"tanh flat beyond ±{c}", f"tanh is exactly ±1 beyond ±{c}", bounded,
              activate=every_tanh(flat(tanh, c, -1.0))) for c in (4, 9)),
    *(_regime(SATURATED, f"tanh by {k} terms", f"tanh is a rational approximation of {k} terms",
              bounded, activate=every_tanh(rational(k))) for k in (3, 6)),
    *(_regime(LOGITS, f"gradient clipped at ±{c} at every step",
              f"the gradient by the state is clipped at ±{c} at every step",
              carry=kept(gradient_held(c))) for c in (0.1, 1)),
    _regime(LOGITS, "gradient elements clipped at ±5", "elements of gradients are clipped at ±5",
            gradients=(each(lambda g: np.clip(g, -5, 5)),)),
    _regime(LOGITS, "loss without the shift", "the loss is computed without subtracting the "
            "maximum", loss=loss_of(unshifted)),
    _regime(LOGITS, "loss of p + 1e-7", "the loss is −log(p + 1e-7)", loss=loss_of(floored(1e-7))),
    _regime(LOGITS, "probabilities clipped at 1e-7", "probabilities are clipped to 1e-7 … 1 − 1e-7",
            loss=loss_of(between(1e-7))),
    _regime(LOGITS, "loss capped at 18.42", "the loss stops at −log 1e-8 = 18.42",
            loss=loss_of(capped)),
    _regime(LOGITS, "loss in float16", "the loss is rounded to float16", loss=loss_of(half)),
    _regime(LOGITS, "norm in float16", "the clip's norm is computed in float16",
            clip=norm_in("float16")),
    _regime(UNITS, "norm in float32", "the clip's norm is computed in float32",
            clip=norm_in("float32")),
    _regime(TINY, "denormals flushed", "inputs that are denormal in float32 are 0",
            inputs=(flushed(2.0**-126),)),
    _regime(TINY, "inputs below 1e-4 flushed", "inputs below 1e-4 are 0", inputs=(flushed(1e-4),)),
    _regime(TINY, "gradients below 1e-30 flushed", "gradients below 1e-30 are 0",
            gradients=(each(flushed(1e-30)),)),
    _regime(IN["X"], "NaN in X swallowed", "a NaN in X is taken for 0", inputs=(np.nan_to_num,)),
    _regime(IN["H0"], "NaN in the initial state swallowed", "a NaN in the initial state is taken "
            "for 0", initial=(lambda s: {p: np.nan_to_num(a) for p, a in s.items()},)),
    _regime(NOT_A_NUMBER, "NaN in the state swallowed", "a NaN in the state becomes 0 between "
            "steps", carry=kept(none_left)),
    _regime(NOT_A_NUMBER, "NaN between layers swallowed", "a NaN becomes 0 on its way up",
            passes_up=lambda X, H: none_left(H)),
    _regime(NOT_A_NUMBER, "NaN swallowed by relu", "relu makes 0 of a NaN", has("relu"),
            activate=relu_of_nan),
    _regime(IN["W"], "NaN swallowed by gates", "a gate takes a NaN for 0", gated,
            activate=gates(swallowing(sigmoid))),
    _regime(NOT_A_NUMBER, "NaN swallowed by σ and tanh", "σ and tanh take a NaN for 0", bounded,
            activate=both(none_left)),
    _regime(NOT_A_NUMBER, "NaN swallowed by the output layer", "a NaN becomes 0 before the output "
            "layer", reads=lambda before, after: none_left(after[-1]["H"])),
    _regime(NOT_A_NUMBER, "NaN swallowed by the loss", "rows that are NaN do not count in the loss",
            loss=loss_of(no_nan)),
    _regime(NOT_A_NUMBER, "NaN swallowed by the clip", "gradients are 0 if their norm is NaN",
            clip=skipped),
    _regime(NOT_A_NUMBER, "NaN gradients swallowed", "a NaN in a gradient is taken for 0 by the "
            "clip", clip=finite_gradients),
]  # fmt: skip
