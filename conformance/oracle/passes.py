"""One pass over a minibatch under conventions, right or wrong, on the tape."""

# H and K are variables of the equations, no constants.
# pyright: reportConstantRedefinition=false

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from common.parameters import layer_parameters
from common.spec import ModelSpec
from conformance.oracle.conventions import Conventions, Parameters
from conformance.oracle.drops import Drops
from conformance.oracle.equations import State, Value


@dataclass(frozen=True)
class Pass:
    """One pass over a minibatch, still on the tape. A row is a direction of a layer.

    trace: by step, then row     last: by row, the state after the last step that it reads"""

    outputs: list[Value]
    trace: list[list[State]]
    last: list[State]


def cell(c: Conventions, spec: ModelSpec, layer: int, p: Parameters, X: Value, S: State) -> State:
    """One step of one layer: RNN-1, GRU-1 to GRU-4 or LSTM-1 to LSTM-11."""
    H = S["H"]

    def bounded(g: str, a: Value) -> Value:
        return c.bound(a, spec.gate_clip) if spec.gate_clip and g in c.bounded else a

    def gate(g: str, C: Value | None = None) -> Value:
        b = p[f"b_{g}"]
        if spec.peepholes and g in "ifo":
            b = c.peep(g, p, S["C"], C) + b
        products = c.product(X, p[f"W_x{g}"]) + c.product(H, p[f"W_h{g}"])
        a = bounded(f"products {g}", products) + b
        return bounded(f"σ{g}", c.activate(spec, layer, g, bounded(g, a)))

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
    i, f, candidate = (gate(g) for g in "ifc")
    C = c.cell_state(bounded("C", f * S["C"] + i * candidate))
    if c.again:
        i, f = gate("i", C), gate("f", C)
        C = c.cell_state(bounded("C", f * S["C"] + i * candidate))
    o = gate("o", C)
    if spec.p is None:
        return {"H": o * c.cell_output(C), "C": C}
    return {"H": c.project(c.product, o, c.cell_output(C), p), "C": C}


def unroll(
    c: Conventions,
    spec: ModelSpec,
    P: Parameters,
    inputs: list[Value],
    start: list[State],
    within: np.ndarray | None = None,
    drops: Drops | None = None,
) -> Pass:
    """STACK-1, BI-1 to BI-3, DROP-1 and OUT-1 over T steps, all or those within the examples'
    lengths."""
    output = {name: P[f"output.{name}"] for name in ("W_hq", "b_q")}
    for reading in c.read_output:
        output = reading(output)
    start = [
        {part: a.first(spec.size_of(part, layer)) for part, a in state.items()}
        for state, (layer, _) in zip(start, spec.passes, strict=True)
    ]
    # A layer that is left out stays where it starts.
    rows, last = [[state] * len(inputs) for state in start], list(start)
    below = inputs if within is None else c.padding(inputs, within)
    below = drops.at("inputs", 1, below) if drops else below
    for layer in c.order(spec.L):
        for backward, p in zip(spec.ways, read_layer(c, spec, P, layer), strict=True):
            row = spec.row(layer, backward)
            read = c.turned(below) if backward else below
            made = over_time(c, spec, layer, p, read, start[row], within, backward, drops)
            rows[row] = _behind(c, c.turned_back(made) if backward else made, within)
            last[row] = c.last(made, backward)
            last[row] = drops.last(layer, backward, last[row]) if drops else last[row]
        handed = [whole["H"] for whole in by_layer(c, spec, rows, layer)]
        below = [c.passes_up(X, H) for X, H in zip(below, handed, strict=True)]
        below = drops.at("between", layer, below) if drops else below
    layers = [
        by_layer(c, spec, [[first, *row] for first, row in zip(start, rows, strict=True)], layer)
        for layer in range(1, spec.L + 1)
    ]
    steps = list(zip(*layers, strict=True))  # by step from 0, then layer
    tops = [c.reads(list(before), list(after)) for before, after in itertools.pairwise(steps)]
    tops = drops.at("top", spec.L, tops) if drops else tops
    outputs = [c.product(top, output["W_hq"]) + output["b_q"] for top in tops]
    if within is not None:
        outputs = c.blank(outputs, within)
    return Pass(outputs, [list(step) for step in zip(*rows, strict=True)], last)


def _behind(c: Conventions, states: list[State], within: np.ndarray | None) -> list[State]:
    """By step, what is shown of a direction's states."""
    if within is None:
        return states
    parts = {part: c.behind([state[part] for state in states], within) for part in states[0]}
    return [dict(zip(parts, values, strict=True)) for values in zip(*parts.values(), strict=True)]


def read_layer(c: Conventions, spec: ModelSpec, P: Parameters, layer: int) -> list[Parameters]:
    """The parameters that the directions of a layer compute with."""
    halves = [layer_parameters(P, layer, backward) for backward in spec.ways]
    for reading in c.read:
        halves = [reading(spec, layer, p) for p in halves]
    for change in c.pair if spec.directions == 2 else ():
        halves = list(change(spec, layer, *halves))
    return halves


def over_time(
    c: Conventions,
    spec: ModelSpec,
    layer: int,
    p: Parameters,
    steps: list[Value],
    start: State,
    within: np.ndarray | None = None,
    backward: bool = False,
    drops: Drops | None = None,
) -> list[State]:
    """The states of one direction of a layer, in the order in which it reads the steps."""
    states = list[State]()
    lives = within[::-1] if backward and within is not None else within
    for t, X in enumerate(steps):
        before = c.carry(states[-1]) if states else start
        if drops and states:
            read_last = len(steps) - t if backward else t - 1
            before = drops.held(layer, backward, read_last, before)
        after = cell(c, spec, layer, p, X, before)
        states.append(after if lives is None else c.ends(after, before, lives[t], backward))
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


def own_steps(c: Conventions, lengths: np.ndarray | None, X: np.ndarray) -> np.ndarray | None:
    """(T, n): which steps are an example's own, as it is understood; None if all are."""
    if lengths is None:
        return None
    within = np.arange(len(X))[:, None] < lengths
    for change in c.within:
        within = change(within)
    return within


def sorted_as(
    c: Conventions,
    spec: ModelSpec,
    P: Parameters,
    inputs: list[Value],
    start: list[State],
    within: np.ndarray | None,
    drops: Drops | None,
) -> Pass:
    """``unroll``, with the examples sorted by length where they are, and not sorted back."""
    if within is None or not (c.starts_as or c.ends_as or c.outputs_as):
        return unroll(c, spec, P, inputs, start, within, drops)
    if c.starts_as:
        start = [_picked(state, c.starts_as(within)) for state in start]
    passed = unroll(c, spec, P, inputs, start, within, drops)
    outputs, last = passed.outputs, passed.last
    if c.outputs_as:
        outputs = [O.rows(c.outputs_as(within)) for O in outputs]
    if c.ends_as:
        last = [_picked(state, c.ends_as(within)) for state in last]
    return Pass(outputs, passed.trace, last)


def _picked(state: State, order: np.ndarray) -> State:
    return {part: value.rows(order) for part, value in state.items()}
