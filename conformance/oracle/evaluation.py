"""A case evaluated under conventions, right or wrong.

The tape is the oracle's, so gradients are those of the function that a wrong choice makes.
"""

# H and K are variables of the equations, no constants.
# pyright: reportConstantRedefinition=false

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from common.parameters import Arrays, layer_parameters
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.oracle.conventions import TRUTH, Conventions, Parameters
from conformance.oracle.equations import State, Value, differentiate


@dataclass(frozen=True)
class Pass:
    """One pass over a minibatch, still on the tape. A row is a direction of a layer.

    trace: by step, then row     last: by row, the state after the last step that it reads"""

    outputs: list[Value]
    trace: list[list[State]]
    last: list[State]


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
    """STACK-1, BI-1 to BI-3 and OUT-1 over T steps."""
    output = {name: P[f"output.{name}"] for name in ("W_hq", "b_q")}
    for reading in c.read_output:
        output = reading(output)
    # A layer that is left out stays where it starts.
    rows, last = [[state] * len(inputs) for state in start], list(start)
    below = inputs
    for layer in c.order(spec.L):
        for backward, p in zip(spec.ways, read_layer(c, spec, P, layer), strict=True):
            row = spec.row(layer, backward)
            made = over_time(c, spec, layer, p, c.turned(below) if backward else below, start[row])
            rows[row] = c.turned_back(made) if backward else made
            last[row] = c.last(made, backward)
        handed = [whole["H"] for whole in by_layer(c, spec, rows, layer)]
        below = [c.passes_up(X, H) for X, H in zip(below, handed, strict=True)]
    layers = [
        by_layer(c, spec, [[first, *row] for first, row in zip(start, rows, strict=True)], layer)
        for layer in range(1, spec.L + 1)
    ]
    steps = list(zip(*layers, strict=True))  # by step from 0, then layer
    outputs = [
        c.product(c.reads(list(before), list(after)), output["W_hq"]) + output["b_q"]
        for before, after in itertools.pairwise(steps)
    ]
    return Pass(outputs, [list(step) for step in zip(*rows, strict=True)], last)


def read_layer(c: Conventions, spec: ModelSpec, P: Parameters, layer: int) -> list[Parameters]:
    """The parameters that the directions of a layer compute with."""
    halves = [layer_parameters(P, layer, backward) for backward in spec.ways]
    for reading in c.read:
        halves = [reading(spec, layer, p) for p in halves]
    for change in c.pair if spec.directions == 2 else ():
        halves = list(change(spec, layer, *halves))
    return halves


def over_time(
    c: Conventions, spec: ModelSpec, layer: int, p: Parameters, steps: list[Value], start: State
) -> list[State]:
    """The states of one direction of a layer, in the order in which it reads the steps."""
    states = list[State]()
    for X in steps:
        before = c.carry(states[-1]) if states else start
        states.append(cell(c, spec, layer, p, X, before))
    return states


def by_layer(c: Conventions, spec: ModelSpec, rows: list[list[State]], layer: int) -> list[State]:
    """By step, the state of a layer, with both of its directions in one."""
    forward = rows[spec.row(layer)]
    if spec.directions == 1:
        return forward
    joins = {"H": c.joins, "C": Value.beside}
    return [
        {part: joins[part](ahead[part], back[part]) for part in ahead}
        for ahead, back in zip(forward, rows[spec.row(layer, True)], strict=True)
    ]


def forward(
    c: Conventions, spec: ModelSpec, params: Arrays, X: np.ndarray, state: Arrays
) -> Arrays:
    """forward/… and trace/…, as ``evaluate`` names them, without a gradient."""
    P = {name: Value(array) for name, array in _apply_to(spec, c.initialised, params).items()}
    inputs = [Value(x) for x in _apply(c.inputs, X)]
    return _outputs(c, unroll(c, spec, P, inputs, _leaves(spec, _apply(c.initial, state))))


def _outputs(c: Conventions, passed: Pass) -> Arrays:
    answers = {"forward/O": np.stack([O.data for O in passed.outputs])}
    answers |= {f"forward/{part}": array for part, array in _last(c, passed).items()}
    trace = _states(c, passed.trace)
    return answers | {f"trace/{part}": array for part, array in trace.items()}


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
        last = _last(c, passed)
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
    *trace, last = [
        [{part: Value(value.data) for part, value in state.items()} for state in rows]
        for rows in (*passed.trace, passed.last)
    ]
    return Pass(outputs, trace, last), grads, loss


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
        start = passed.last
        tapes.append((P, inputs, passed))
    _, inputs, passed = tapes[-1]
    dtype = inputs[0].data.dtype
    loss, count = Value(np.zeros((), dtype)), c.count(*Y.shape)
    for O, y in zip(passed.outputs, Y, strict=True):
        loss = loss + c.loss(O, y, count)
    differentiate(loss)
    grads = {name: np.asarray(sum(_grad(P[name]) for P, _, _ in tapes)) for name in tapes[0][0]}
    grads["X"] = np.stack([_grad(value) for value in inputs])
    for part in state:
        grads[f"{part}0"] = np.stack([_grad(layer[part]) for layer in leaves])
    return passed, grads, loss.data


def _grad(value: Value) -> np.ndarray:
    """Zero for what the loss does not depend on."""
    return np.zeros_like(value.data) if value.grad is None else value.grad


def _leaves(spec: ModelSpec, state: Arrays) -> list[State]:
    return [{part: Value(a[row]) for part, a in state.items()} for row in range(spec.rows)]


def _last(c: Conventions, passed: Pass) -> Arrays:
    return {part: array[0] for part, array in _states(c, [passed.last]).items()}


def _states(c: Conventions, steps: list[list[State]]) -> Arrays:
    """By part, (steps, rows, n, h)."""
    found = {
        part: np.stack([np.stack([row[part].data for row in rows]) for rows in steps])
        for part in steps[0][0]
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
