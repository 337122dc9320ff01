"""A case evaluated under conventions, right or wrong.

The tape is the oracle's, so gradients are those of the function that a wrong choice makes.
"""

# H and K are variables of the equations, no constants.
# pyright: reportConstantRedefinition=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from common.dropout import Dropout
from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.oracle.conventions import TRUTH, Conventions, Parameters
from conformance.oracle.drops import Drops, drops_of
from conformance.oracle.equations import State, Value
from conformance.oracle.passes import Pass, own_steps, sorted_as
from conformance.oracle.tape import differentiate, widened, without_tape

Thing = TypeVar("Thing", np.ndarray, Arrays)

Generation = tuple[Arrays, np.ndarray, np.ndarray | None, Drops | None]
"""Of a minibatch: the parameters, X, which steps are an example's own, and what is dropped."""

Begun = tuple[Pass, Arrays, np.ndarray]
"""Of a minibatch: the pass, the gradients and the loss."""

AFTER_THE_GRADIENTS = {"gradients", "carried", "detached", "accumulate", "clip", "descend"}
"""The choices that do not matter to the first minibatch's gradients."""


def forward(
    c: Conventions,
    spec: ModelSpec,
    params: Arrays,
    X: np.ndarray,
    state: Arrays,
    lengths: np.ndarray | None = None,
    dropout: Dropout | None = None,
) -> Arrays:
    """forward/… and trace/…, as ``evaluate`` names them, without a gradient."""
    P = {name: Value(array) for name, array in _apply_to(spec, c.initialised, params).items()}
    inputs, within = [Value(x) for x in _apply(c.inputs, X)], own_steps(c, lengths, X)
    leaves = _leaves(spec, _apply(c.initial, state))
    drops = drops_of(c, spec, dropout)
    with without_tape():
        return _outputs(c, sorted_as(c, spec, P, inputs, leaves, within, drops))


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
    if K == 0:
        params, state = _in(dtype, given.params), _in(dtype, given.state)
        question = given.X[0].astype(dtype), state, *given.more_of(0)
        weights = _apply_to(case.spec, c.initialised, params)
        made = {f"weights/{name}": array for name, array in weights.items()}
        return made | forward(c, case.spec, params, *question)
    made = stages(c, case, given, dtype, begun)
    first = next(made)
    return first if K is not None and K < case.K else first | next(made)


def stages(
    c: Conventions,
    case: Case,
    given: Material,
    dtype: str = "float64",
    begun: Begun | None = None,
) -> Iterator[Arrays]:
    """What the first minibatch answers, and then, if it is asked for, what all of them add."""
    spec = case.spec
    first = _in(dtype, given.state)
    params = _apply_to(spec, c.initialised, _in(dtype, given.params))
    answers = {f"weights/{name}": array for name, array in params.items()}
    generations: list[Generation] = []
    losses: list[np.ndarray] = []
    clipped: Arrays | None = None
    state = first
    for k in range(case.K):
        X = _apply(c.inputs, given.X[k].astype(dtype))
        Y = _apply(c.targets, given.Y[k])
        within = own_steps(c, given.lengths_of(k), X)
        generations.append((params, X, within, drops_of(c, spec, given.dropout_of(k))))
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
            yield answers | {f"step-1/{name}": array for name, array in params.items()}
    answers = {f"step-K/{name}": array for name, array in params.items()}
    yield answers | {"step-K/losses": np.stack(losses)}


def begin(case: Case, given: Material, dtype: str = "float64") -> Begun:
    """The first minibatch's pass, gradients and loss under the right conventions, which is most of
    the work, and the same for all that differ in what is done with gradients."""
    params, state = _in(dtype, given.params), _in(dtype, given.state)
    X = given.X[0].astype(dtype)
    within = own_steps(TRUTH, given.lengths_of(0), X)
    generations = [(params, X, within, drops_of(TRUTH, case.spec, given.dropout_of(0)))]
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
    generations: list[Generation],
    Y: np.ndarray,
    state: Arrays,
) -> tuple[Pass, Arrays, np.ndarray]:
    """The last minibatch's pass, gradients and loss. Gradients that do not stop between minibatches
    go back through all of them, each with the parameters of its time."""
    leaves = start = _leaves(spec, _apply(c.initial, state))
    tapes: list[tuple[Parameters, list[Value], Pass]] = []
    for params, X, within, drops in generations[-1:] if c.detached else generations:
        P = {name: Value(array) for name, array in params.items()}
        inputs = [Value(x) for x in X]
        passed = sorted_as(c, spec, P, inputs, start, within, drops)
        start = passed.last
        tapes.append((P, inputs, passed))
    _, inputs, passed = tapes[-1]
    dtype = inputs[0].data.dtype
    within = generations[-1][2]
    (T, n), predictions = Y.shape, Y.size if within is None else int(within.sum())
    count = c.count(T, n, predictions)
    weights = [None] * T if within is None else list(c.weighs(within))
    loss = Value(np.zeros((), dtype))
    for O, y, of_step in zip(passed.outputs, Y, weights, strict=True):
        loss = loss + c.loss(O, y, count, of_step)
    differentiate(loss)
    grads = {name: np.asarray(sum(_grad(P[name]) for P, _, _ in tapes)) for name in tapes[0][0]}
    grads["X"] = np.stack([_grad(value) for value in inputs])
    for part in state:
        grads[f"{part}0"] = np.stack([_grad(layer[part]) for layer in leaves])
    return passed, grads, loss.data


def _in(dtype: str, arrays: Arrays) -> Arrays:
    return {name: array.astype(dtype) for name, array in arrays.items()}


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
        part: np.stack([np.stack(_even([row[part].data for row in rows])) for rows in steps])
        for part in steps[0][0]
    }
    return _apply(c.reported, found)


def _even(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Rows as wide as the widest of them."""
    widest = max(rows, key=lambda row: row.shape[-1])
    return [row if row.shape == widest.shape else widened(row, widest) for row in rows]


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
