"""A case evaluated under conventions, right or wrong.

The tape is the oracle's, so gradients are those of the function that a wrong choice makes.
"""

# H and K are variables of the equations, no constants.
# pyright: reportConstantRedefinition=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from common.parameters import Arrays, layer_parameters
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.oracle.conventions import TRUTH, Conventions, Parameters
from conformance.oracle.equations import State, Value, backward


@dataclass(frozen=True)
class Pass:
    """One pass over a minibatch, still on the tape. trace: by step, then layer"""

    outputs: list[Value]
    trace: list[list[State]]


Thing = TypeVar("Thing", np.ndarray, Arrays)

Begun = tuple[Pass, Arrays, np.ndarray]
"""Of a minibatch: the pass, the gradients and the loss."""

AFTER_THE_GRADIENTS = {"gradients", "carried", "detached", "accumulate", "clip", "descend"}
"""The choices that do not matter to the first minibatch's gradients."""


def cell(c: Conventions, spec: ModelSpec, layer: int, p: Parameters, X: Value, S: State) -> State:
    """One step of one layer: RNN-1, GRU-1 to GRU-4 or LSTM-1 to LSTM-6."""
    H = S["H"]

    def gate(g: str) -> Value:
        a = c.product(X, p[f"W_x{g}"]) + c.product(H, p[f"W_h{g}"]) + p[f"b_{g}"]
        return c.activate(spec, layer, g, a)

    if spec.cell == "rnn":
        return {"H": gate("h")}
    if spec.cell == "gru":
        z, r = gate("z"), gate("r")
        XW = c.product(X, p["W_xh"])
        if c.reset(spec.reset) == "after":
            HW = c.product(H, p["W_hh"])
            a = XW + p["b_xh"] + r * (HW + p["b_hh"]) if "b_hh" in p else XW + p["b_h"] + r * HW
        else:
            b = p["b_h"] if "b_h" in p else p["b_xh"] + p["b_hh"]
            a = XW + c.product(r * H, p["W_hh"]) + b
        return {"H": c.mix(z, H, c.activate(spec, layer, "h", a))}
    i, f, o, candidate = (gate(g) for g in "ifoc")
    C = c.cell_state(f * S["C"] + i * candidate)
    return {"H": o * c.cell_output(C), "C": C}


def unroll(
    c: Conventions, spec: ModelSpec, P: Parameters, inputs: list[Value], start: list[State]
) -> Pass:
    """STACK-1 and OUT-1 over T steps."""
    layers = [layer_parameters(P, layer) for layer in range(1, spec.L + 1)]
    for reading in c.read:
        layers = [reading(spec, layer, p) for layer, p in enumerate(layers, start=1)]
    output = {name: P[f"output.{name}"] for name in ("W_hq", "b_q")}
    for reading in c.read_output:
        output = reading(output)
    now, outputs = list(start), list[Value]()
    trace: list[list[State]] = []
    for X in inputs:
        before = now
        now, H = list(before), X
        for layer in c.order(spec.L):
            state = c.carry(before[layer - 1]) if trace else before[layer - 1]
            now[layer - 1] = cell(c, spec, layer, layers[layer - 1], H, state)
            H = c.passes_up(H, now[layer - 1]["H"])
        outputs.append(c.product(c.reads(before, now), output["W_hq"]) + output["b_q"])
        trace.append(now)
    return Pass(outputs, trace)


def forward(
    c: Conventions, spec: ModelSpec, params: Arrays, X: np.ndarray, state: Arrays
) -> Arrays:
    """forward/… and trace/…, as ``evaluate`` names them, without a gradient."""
    P = {name: Value(array) for name, array in _apply_to(spec, c.initialised, params).items()}
    inputs = [Value(x) for x in _apply(c.inputs, X)]
    return _outputs(c, unroll(c, spec, P, inputs, _leaves(spec, _apply(c.initial, state))))


def _outputs(c: Conventions, passed: Pass) -> Arrays:
    states = _states(c, passed)
    answers = {"forward/O": np.stack([O.data for O in passed.outputs])}
    answers |= {f"forward/{part}": array[-1] for part, array in states.items()}
    return answers | {f"trace/{part}": array for part, array in states.items()}


def evaluate(
    c: Conventions,
    case: Case,
    given: Material,
    dtype: str = "float64",
    K: int | None = None,
    begun: Begun | None = None,
) -> Arrays:
    """The answers to a case under the names of ``oracle.expected``; K: how many of its minibatches,
    all if none is said, 0 for the forward pass alone. What they do not reach is left out.

    begun: what ``begin`` made of the case in this dtype, for conventions that may share it"""
    spec, K = case.spec, case.K if K is None else K
    params = {name: array.astype(dtype) for name, array in given.params.items()}
    first = {part: array.astype(dtype) for part, array in given.state.items()}
    alone = forward(c, spec, params, given.X[0].astype(dtype), first) if K == 0 else {}
    params = _apply_to(spec, c.initialised, params)
    answers = {f"weights/{name}": array for name, array in params.items()} | alone
    generations: list[tuple[Arrays, np.ndarray]] = []
    losses: list[np.ndarray] = []
    clipped: Arrays | None = None
    state = first
    for k in range(K):
        X = _apply(c.inputs, given.X[k].astype(dtype))
        Y = _apply(c.targets, given.Y[k])
        generations.append((params, X))
        if k == 0 and begun and c.changed() <= AFTER_THE_GRADIENTS:
            passed, grads, loss = begun
        else:
            start = state if c.detached else first
            passed, grads, loss = _gradients(c, spec, generations, Y, start)
        grads = _apply_to(spec, c.gradients, grads)
        trainable = {name: grads[name] for name in params}
        norm, clipped = c.clip(c.accumulate(trainable, clipped), case.recipe.clip)
        last = {part: array[-1] for part, array in _states(c, passed).items()}
        if k == 0:
            answers |= _outputs(c, passed) | {"loss/loss": loss, "clip/norm": norm}
            answers |= {f"gradients/{name}": array for name, array in grads.items()}
            answers |= {f"clip/{name}": array for name, array in clipped.items()}
        params = c.descend(params, clipped, case.recipe)
        state = c.carried(first, last)
        losses.append(loss)
        if k == 0:
            answers |= {f"step-1/{name}": array for name, array in params.items()}
    if K < case.K:
        return answers
    answers |= {f"step-K/{name}": array for name, array in params.items()}
    return answers | {"step-K/losses": np.stack(losses)}


def begin(case: Case, given: Material, dtype: str = "float64") -> Begun:
    """The first minibatch's pass, gradients and loss under the right conventions, which is most of
    the work, and the same for all that differ in what is done with gradients."""
    params = {name: array.astype(dtype) for name, array in given.params.items()}
    state = {part: array.astype(dtype) for part, array in given.state.items()}
    generations = [(params, given.X[0].astype(dtype))]
    passed, grads, loss = _gradients(TRUTH, case.spec, generations, given.Y[0], state)
    outputs = [Value(O.data) for O in passed.outputs]  # without the tape, which is large
    trace = [[{n: Value(v.data) for n, v in s.items()} for s in now] for now in passed.trace]
    return Pass(outputs, trace), grads, loss


def _gradients(
    c: Conventions,
    spec: ModelSpec,
    generations: list[tuple[Arrays, np.ndarray]],
    Y: np.ndarray,
    state: Arrays,
) -> tuple[Pass, Arrays, np.ndarray]:
    """The last minibatch's pass, gradients and loss. Gradients that do not stop between minibatches
    go back through all of them, each with the parameters of its time."""
    leaves = start = _leaves(spec, _apply(c.initial, state))
    tapes: list[tuple[Parameters, list[Value], Pass]] = []
    for params, X in generations[-1:] if c.detached else generations:
        P = {name: Value(array) for name, array in params.items()}
        inputs = [Value(x) for x in X]
        passed = unroll(c, spec, P, inputs, start)
        start = passed.trace[-1]
        tapes.append((P, inputs, passed))
    _, inputs, passed = tapes[-1]
    dtype = inputs[0].data.dtype
    loss, count = Value(np.zeros((), dtype)), c.count(*Y.shape)
    for O, y in zip(passed.outputs, Y, strict=True):
        loss = loss + c.loss(O, y, count)
    backward(loss)
    grads = {name: np.asarray(sum(_grad(P[name]) for P, _, _ in tapes)) for name in tapes[0][0]}
    grads["X"] = np.stack([_grad(value) for value in inputs])
    for part in state:
        grads[f"{part}0"] = np.stack([_grad(layer[part]) for layer in leaves])
    return passed, grads, loss.data


def _grad(value: Value) -> np.ndarray:
    """Zero for what the loss does not depend on."""
    return np.zeros_like(value.data) if value.grad is None else value.grad


def _leaves(spec: ModelSpec, state: Arrays) -> list[State]:
    return [{part: Value(a[layer]) for part, a in state.items()} for layer in range(spec.L)]


def _states(c: Conventions, passed: Pass) -> Arrays:
    parts = passed.trace[0][0]
    found = {
        part: np.stack([np.stack([layer[part].data for layer in after]) for after in passed.trace])
        for part in parts
    }
    return _apply(c.reported, found)


def _apply(changes: tuple[Callable[[Thing], Thing], ...], value: Thing) -> Thing:
    """One change after another."""
    for change in changes:
        value = change(value)
    return value


def _apply_to(
    spec: ModelSpec, changes: tuple[Callable[[ModelSpec, Arrays], Arrays], ...], arrays: Arrays
) -> Arrays:
    """The same with changes that need to know the spec."""
    for change in changes:
        arrays = change(spec, arrays)
    return arrays
