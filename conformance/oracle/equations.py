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
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.parameters import Arrays, layer_parameters
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.table import Case, Material


@dataclass(eq=False)
class Value:
    """An array that knows how a gradient by it reaches the values it was made of."""

    data: np.ndarray
    parents: tuple[tuple[Value, Callable[[np.ndarray], np.ndarray]], ...] = ()
    grad: np.ndarray | None = field(default=None, repr=False)

    def __add__(self, other: Value) -> Value:
        # A bias (h,) is added to every row of (n, h): its gradient is the sum over the rows.
        return Value(
            self.data + other.data,
            (
                (self, lambda g: g),
                (other, lambda g: g.sum(0) if np.ndim(other.data) < np.ndim(g) else g),
            ),
        )

    def __mul__(self, other: Value) -> Value:
        a, b = self.data, other.data
        return Value(a * b, ((self, lambda g: g * b), (other, lambda g: g * a)))

    def __matmul__(self, other: Value) -> Value:
        a, b = self.data, other.data
        return Value(a @ b, ((self, lambda g: g @ b.T), (other, lambda g: a.T @ g)))

    def beside(self, other: Value) -> Value:
        """Both side by side: (n, h) and (n, h) make (n, 2h)."""
        h = self.data.shape[-1]
        return Value(
            np.concatenate([self.data, other.data], axis=-1),
            ((self, lambda g: g[..., :h]), (other, lambda g: g[..., h:])),
        )

    def gradient(self) -> np.ndarray:
        """By the loss, after ``differentiate``; every value that the loss was made of has one."""
        if self.grad is None:
            raise ValueError("the loss does not depend on this value")
        return self.grad

    def one_minus(self) -> Value:
        return Value(1 - self.data, ((self, lambda g: -g),))


def tanh(a: Value) -> Value:
    y = np.tanh(a.data)
    return Value(y, ((a, lambda g: g * (1 - y * y)),))


def sigmoid(a: Value) -> Value:
    with np.errstate(over="ignore"):  # e^−a = ∞ gives σ = 0, which is right
        y = 1 / (1 + np.exp(-a.data))
    return Value(y, ((a, lambda g: g * y * (1 - y)),))


def relu(a: Value) -> Value:
    return Value(np.maximum(a.data, 0), ((a, lambda g: g * (a.data > 0)),))


State = dict[str, Value]
Function = Callable[[Value], Value]
PHI: dict[str, Function] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "identity": lambda a: a,
}


def cross_entropy(O: Value, Y: np.ndarray, count: int) -> Value:
    """−1/count Σ_i log softmax(O_i)[Y_i]   (LOSS-1)   O: (n, q)   Y: (n,)"""
    rows = np.arange(len(Y))
    shifted = O.data - O.data.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    softmax = np.exp(shifted - log_total)
    chosen = np.zeros_like(softmax)
    chosen[rows, Y] = 1
    count = softmax.dtype.type(count)
    loss = (log_total[:, 0] - shifted[rows, Y]).sum() / count
    return Value(loss, ((O, lambda g: g * (softmax - chosen) / count),))


def differentiate(loss: Value) -> None:
    """Fill ``grad`` of everything that the loss was made of, in reverse topological order."""
    order: list[Value] = []
    seen: set[int] = set()
    pending = [(loss, False)]
    while pending:
        value, done = pending.pop()
        if done:
            order.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            pending.append((value, True))
            pending += [(parent, False) for parent, _ in value.parents]
    loss.grad = np.ones_like(loss.data)
    for value in reversed(order):
        for parent, pull in value.parents:
            flow = pull(value.gradient())
            parent.grad = flow if parent.grad is None else parent.grad + flow


def step(spec: ModelSpec, layer: int, p: dict[str, Value], X: Value, S: State) -> State:
    """One step of one layer: RNN-1, GRU-1 to GRU-4 or LSTM-1 to LSTM-6."""
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
    i = sigmoid(X @ p["W_xi"] + H @ p["W_hi"] + p["b_i"])
    f = sigmoid(X @ p["W_xf"] + H @ p["W_hf"] + p["b_f"])
    o = sigmoid(X @ p["W_xo"] + H @ p["W_ho"] + p["b_o"])
    candidate = tanh(X @ p["W_xc"] + H @ p["W_hc"] + p["b_c"])
    C = f * S["C"] + i * candidate
    return {"H": o * tanh(C), "C": C}


def layer_over_time(
    spec: ModelSpec,
    layer: int,
    P: dict[str, Value],
    backward: bool,
    below: list[Value],
    start: State,
) -> list[State]:
    """The states of one direction of a layer, by t: read forward (BI-1) or backward (BI-2)."""
    p, states = layer_parameters(P, layer, backward), list[State]()
    for X in below[::-1] if backward else below:
        states.append(step(spec, layer, p, X, states[-1] if states else start))
    return states[::-1] if backward else states


@dataclass
class Run:
    """One pass over a minibatch: outputs, states, loss and every gradient. state: of every
    direction of every layer after the last step that it reads"""

    O: np.ndarray
    state: Arrays
    trace: Arrays
    loss: np.ndarray
    gradients: Arrays


def run(spec: ModelSpec, params: Arrays, X: np.ndarray, Y: np.ndarray, state: Arrays) -> Run:
    """STACK-1, OUT-1 and LOSS-1 over T steps, and the tape back.

    X: (T, n, d)   Y: (T, n)   state: (L, n, h) each; all floats in one dtype
    """
    P = {name: Value(array) for name, array in params.items()}
    inputs = [Value(x) for x in X]
    start = [{part: Value(a[row]) for part, a in state.items()} for row in range(spec.rows)]
    below, rows = inputs, list[list[State]]()
    for layer in range(1, spec.L + 1):
        for backward in spec.ways:
            first = start[spec.row(layer, backward)]
            rows.append(layer_over_time(spec, layer, P, backward, below, first))
        below = [after["H"] for after in rows[-spec.directions]]
        if spec.directions == 2:  # BI-3
            below = [H.beside(after["H"]) for H, after in zip(below, rows[-1], strict=True)]
    outputs = [H @ P["output.W_hq"] + P["output.b_q"] for H in below]
    loss = Value(np.zeros((), X.dtype))
    for t, O in enumerate(outputs):
        loss = loss + cross_entropy(O, Y[t], Y.size)
    differentiate(loss)
    gradients = {name: value.gradient() for name, value in P.items()}
    gradients["X"] = np.stack([value.gradient() for value in inputs])
    for part in state:
        gradients[f"{part}0"] = np.stack([row[part].gradient() for row in start])
    ends = [0 if backward else -1 for backward in spec.ways] * spec.L
    return Run(
        np.stack([value.data for value in outputs]),
        {p: np.stack([row[t][p].data for row, t in zip(rows, ends, strict=True)]) for p in state},
        {
            p: np.stack([np.stack([row[t][p].data for row in rows]) for t in range(len(X))])
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
        got = run(case.spec, params, numbers(given.X[k]), given.Y[k], state)
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
