"""What is right: the equations of common/EQUATIONS.md read literally, differentiated by a tape.

Nothing is stacked, hoisted or fused, no gradient is derived by hand, and no code is shared with
what it judges, the NumPy reference included. It runs in any NumPy float type: float64 is the
oracle, float32 gives the noise floor. It runs as well in numbers of any precision (precise.py), and
in numbers that know how far rounding may have moved them (rounding.py).
"""

# H and K are variables of the equations, no constants.
# pyright: reportConstantRedefinition=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.dropout import Dropout
from common.parameters import Arrays, layer_parameters
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.oracle.tape import Value, differentiate, widened


def tanh(a: Value) -> Value:
    y = np.tanh(a.data)
    return Value(y, ((a, lambda g: g * (1 - y * y)),))


def sigmoid(a: Value) -> Value:
    with np.errstate(over="ignore"):  # e^−a = ∞ gives σ = 0, which is right
        y = 1 / (1 + np.exp(-a.data))
    return Value(y, ((a, lambda g: g * y * (1 - y)),))


def relu(a: Value) -> Value:
    return Value(np.maximum(a.data, 0), ((a, lambda g: g * (a.data > 0)),))


def clamped(a: Value, kappa: float) -> Value:
    """min(max(a, −κ), κ); the gradient by what was outside is 0   (LSTM-11)"""
    edge = 0 * a.data + kappa  # numbers of a's kind
    bounded = -np.maximum(-np.maximum(a.data, -edge), -edge)
    return Value(bounded, ((a, lambda g: g * (a.data >= -edge) * (edge >= a.data)),))


State = dict[str, Value]
Function = Callable[[Value], Value]
PHI: dict[str, Function] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "identity": lambda a: a,
}


def cross_entropy(O: Value, Y: np.ndarray, count: int, weights: np.ndarray | None = None) -> Value:
    """−1/count Σ_i log softmax(O_i)[Y_i]   (LOSS-1)   O: (n, q)   Y: (n,)

    weights: (n,), of every row in the sum, 1 each if none are given; 0 leaves it out   (LEN-4)
    """
    rows = np.arange(len(Y))
    shifted = O.data - O.data.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    softmax = np.exp(shifted - log_total)
    chosen = np.zeros_like(softmax)
    chosen[rows, Y] = 1
    count = softmax.dtype.type(count)
    losses, slope = log_total[:, 0] - shifted[rows, Y], softmax - chosen
    if weights is not None:
        weights = weights.astype(softmax.dtype)
        losses, slope = weights * losses, weights[:, None] * slope
    return Value(losses.sum() / count, ((O, lambda g: g * slope / count),))


def step(spec: ModelSpec, layer: int, p: dict[str, Value], X: Value, S: State) -> State:
    """One step of one layer: RNN-1, GRU-1 to GRU-4 or LSTM-1 to LSTM-11."""
    H = S["H"]
    if spec.cell == "rnn":
        phi = PHI[spec.activations[layer - 1]]
        return {"H": phi(X @ p["W_xh"] + H @ p["W_hh"] + p["b_h"])}
    if spec.cell == "gru":
        z = sigmoid(X @ p["W_xz"] + H @ p["W_hz"] + p["b_z"])
        r = sigmoid(X @ p["W_xr"] + H @ p["W_hr"] + p["b_r"])
        if spec.reset == "after":
            candidate = tanh(X @ p["W_xh"] + p["b_xh"] + r * (H @ p["W_hh"] + p["b_hh"]))
        else:
            candidate = tanh(X @ p["W_xh"] + (r * H) @ p["W_hh"] + p["b_h"])
        return {"H": z * H + z.one_minus() * candidate}

    def within(a: Value) -> Value:
        return a if spec.gate_clip is None else clamped(a, spec.gate_clip)

    def seen(gate: str, C: Value) -> Value:
        return C * p[f"P_{gate}"] + p[f"b_{gate}"] if spec.peepholes else p[f"b_{gate}"]

    i = sigmoid(within(X @ p["W_xi"] + H @ p["W_hi"] + seen("i", S["C"])))
    f = sigmoid(within(X @ p["W_xf"] + H @ p["W_hf"] + seen("f", S["C"])))
    candidate = tanh(within(X @ p["W_xc"] + H @ p["W_hc"] + p["b_c"]))
    C = f * S["C"] + i * candidate
    o = sigmoid(within(X @ p["W_xo"] + H @ p["W_ho"] + seen("o", C)))
    H = o * tanh(C)
    return {"H": H if spec.p is None else H @ p["W_hp"], "C": C}


def layer_over_time(
    spec: ModelSpec,
    layer: int,
    P: dict[str, Value],
    backward: bool,
    below: list[Value],
    start: State,
    within: np.ndarray | None = None,
) -> list[State]:
    """The states of one direction of a layer, by t: read forward (BI-1) or backward (BI-2).

    within: (T, n), where a step is the example's own; elsewhere the state stays   (LEN-2)"""
    p, states = layer_parameters(P, layer, backward), list[State]()
    times = range(len(below))
    for t in reversed(times) if backward else times:
        before = states[-1] if states else start
        after = step(spec, layer, p, below[t], before)
        if within is not None:
            after = {part: value.where(within[t], before[part]) for part, value in after.items()}
        states.append(after)
    return states[::-1] if backward else states


def ended(steps: list[Value], within: np.ndarray | None) -> list[Value]:
    """Zeros in the place of what is behind an example's end   (LEN-3)"""
    if within is None:
        return steps
    # Step 1 is everybody's own. Made of it, zeros are numbers of its kind, balls among balls.
    zeros = Value(0 * steps[0].data + 0)
    return [value.where(live, zeros) for value, live in zip(steps, within, strict=True)]


def dropped(steps: list[Value], mask: np.ndarray, scale: float) -> list[Value]:
    """What the layer above receives: M_t ⊙ H_t / (1 − r)   (DROP-1)   mask: (T, n, D·h)"""
    return [value.times(scale * kept) for value, kept in zip(steps, mask, strict=True)]


@dataclass
class Run:
    """One pass over a minibatch: outputs, states, loss and every gradient. state: of every
    direction of every layer after the last step that it reads"""

    O: np.ndarray
    state: Arrays
    trace: Arrays
    loss: np.ndarray
    gradients: Arrays


def run(
    spec: ModelSpec,
    params: Arrays,
    X: np.ndarray,
    Y: np.ndarray,
    state: Arrays,
    lengths: np.ndarray | None = None,
    dropout: Dropout | None = None,
) -> Run:
    """STACK-1, OUT-1 and LOSS-1 over T steps, and the tape back.

    X: (T, n, d)   Y: (T, n)   state: (L, n, h) each; all floats in one dtype
    lengths: (n,), if not all examples have T steps   (LEN-1 to LEN-4)
    dropout: what is dropped between layers, if anything is   (DROP-1)
    """
    masks = [] if dropout is None else list(dropout.by_layer(spec))
    scale = 1.0 if dropout is None else 1 / (1 - dropout.rate)
    P = {name: Value(array) for name, array in params.items()}
    inputs = [Value(x) for x in X]
    start = [{part: Value(a[row]) for part, a in state.items()} for row in range(spec.rows)]
    within = None if lengths is None else np.arange(len(X))[:, None] < lengths
    below, rows = ended(inputs, within), list[list[State]]()
    for layer in range(1, spec.L + 1):
        for backward in spec.ways:
            given = start[spec.row(layer, backward)]
            first = {part: a.first(spec.size_of(part, layer)) for part, a in given.items()}
            rows.append(layer_over_time(spec, layer, P, backward, below, first, within))
        below = [after["H"] for after in rows[-spec.directions]]
        if spec.directions == 2:  # BI-3
            below = [H.beside(after["H"]) for H, after in zip(below, rows[-1], strict=True)]
        below = ended(below, within)
        below = dropped(below, masks[layer - 1], scale) if layer <= len(masks) else below
    outputs = ended([H @ P["output.W_hq"] + P["output.b_q"] for H in below], within)
    loss = Value(np.zeros((), X.dtype))
    count = Y.size if within is None else int(within.sum())
    for t, O in enumerate(outputs):
        loss = loss + cross_entropy(O, Y[t], count, None if within is None else within[t])
    differentiate(loss)
    gradients = {name: value.gradient() for name, value in P.items()}
    gradients["X"] = np.stack([value.gradient() for value in inputs])
    for part in state:
        gradients[f"{part}0"] = np.stack([row[part].gradient() for row in start])
    ends = [0 if backward else -1 for backward in spec.ways] * spec.L
    trace = {p: [ended([after[p] for after in row], within) for row in rows] for p in state}

    def wide(part: str, value: Value) -> np.ndarray:
        return value.data if spec.even else widened(value.data, state[part][0])

    return Run(
        np.stack([value.data for value in outputs]),
        {
            p: np.stack([wide(p, row[t][p]) for row, t in zip(rows, ends, strict=True)])
            for p in state
        },
        {
            p: np.stack([np.stack([wide(p, row[t]) for row in trace[p]]) for t in range(len(X))])
            for p in state
        },
        loss.data,
        gradients,
    )


def clip(grads: Arrays, theta: float) -> tuple[np.ndarray, Arrays]:
    """CLIP-1 and CLIP-2: the global norm, and the gradients scaled by θ/‖g‖ if ‖g‖ > θ."""
    squares = np.stack([(g * g).sum() for g in grads.values()])
    norm, number = np.sqrt(squares.sum()), squares.dtype.type
    scale = min(number(1), number(theta) / norm)
    return norm, {name: g * scale for name, g in grads.items()}


def expected(case: Case, given: Material, dtype: str = "float64") -> Arrays:
    """Everything that a record of this case must hold, under the names that it holds it."""
    return answers_in(case, given, lambda array: array.astype(dtype))


def answers_in(case: Case, given: Material, numbers: Callable[[np.ndarray], Any]) -> Arrays:
    """The same in any numbers that compute as arrays do: precise.py and rounding.py have others.

    numbers: makes them of float64"""
    params = {name: numbers(array) for name, array in given.params.items()}
    state = {part: numbers(array) for part, array in given.state.items()}
    answers = {f"weights/{name}": array for name, array in params.items()}
    losses: list[np.ndarray] = []
    for k in range(case.K):
        question = numbers(given.X[k]), given.Y[k], state, given.lengths_of(k), given.dropout_of(k)
        got = run(case.spec, params, *question)
        norm, clipped = clip({name: got.gradients[name] for name in params}, case.recipe.clip)
        if k == 0:
            answers |= {"forward/O": got.O, "loss/loss": got.loss, "clip/norm": norm}
            answers |= {f"forward/{part}": array for part, array in got.state.items()}
            answers |= {f"trace/{part}": array for part, array in got.trace.items()}
            answers |= {f"gradients/{name}": array for name, array in got.gradients.items()}
            answers |= {f"clip/{name}": array for name, array in clipped.items()}
        params = descend(params, clipped, case.recipe)
        state = got.state
        losses.append(got.loss)
        if k == 0:
            answers |= {f"step-1/{name}": array for name, array in params.items()}
    answers |= {f"step-K/{name}": array for name, array in params.items()}
    return answers | {"step-K/losses": np.stack(losses)}


def descend(params: Arrays, grads: Arrays, recipe: Recipe) -> Arrays:
    """w ← w − η g   (SGD-1)"""
    eta = {name: array.dtype.type(recipe.learning_rate) for name, array in params.items()}
    return {name: array - eta[name] * grads[name] for name, array in params.items()}
