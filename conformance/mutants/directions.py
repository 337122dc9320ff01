"""Two directions that are read, joined, ordered or trained in another way (BI-1 to BI-3)."""

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.mutants.mapping import biases, gate_order, nothing, times, transposed
from conformance.mutants.mutant import (
    ONE_STEP,
    Mutant,
    Silence,
    as_wide,
    both,
    deep,
    gated,
    two_ways,
)
from conformance.mutants.training import frozen_where, norm_of, over
from conformance.oracle.conventions import Conventions, Parameters
from conformance.oracle.equations import State, Value

OTHER_ORDER = {"gru": "rzh", "lstm": "ifco"}
"""How torch, and frameworks after it, order the gates of a layer."""


def columns(a: Value, order: np.ndarray) -> Value:
    """The columns in another order."""
    return Value(a.data[:, order], ((a, lambda g: g[:, np.argsort(order)]),))


def turned_around(H: Value) -> Value:
    """The two halves exchanged."""
    return columns(H, np.roll(np.arange(H.data.shape[1]), H.data.shape[1] // 2))


def interleaved(F: Value, B: Value) -> Value:
    """f_1, b_1, f_2, b_2, …"""
    return columns(F.beside(B), np.arange(2 * F.data.shape[1]).reshape(2, -1).T.ravel())


def not_transposed(F: Value, B: Value) -> Value:
    """ONNX's Y (T, D, n, h) reshaped to (T, n, 2h) as it lies."""
    n, h = F.data.shape
    order = np.arange(2 * n * h).reshape(n, 2 * h)
    lying = np.concatenate([F.data.ravel(), B.data.ravel()])[order]

    def half(g: np.ndarray, of: int) -> np.ndarray:
        return g.ravel().reshape(2, n, h)[of]

    return Value(lying, ((F, lambda g: half(g, 0)), (B, lambda g: half(g, 1))))


def merged(F: Value, B: Value, merge) -> Value:
    """What Keras' other merge modes make, in both halves of what is read."""
    both_halves = merge(F, B)
    return both_halves.beside(both_halves)


def larger(F: Value, B: Value) -> Value:
    first = F.data >= B.data
    return Value(
        np.where(first, F.data, B.data), ((F, lambda g: g * first), (B, lambda g: g * ~first))
    )


def only(half: int, H: Value) -> Value:
    """Zeros in the place of the other half."""
    keep = np.repeat(np.arange(2) == half, H.data.shape[1] // 2)
    return Value(H.data * keep, ((H, lambda g: g * keep),))


def rows_kept(W: Value, half: int) -> Value:
    keep = np.repeat(np.arange(2) == half, W.data.shape[0] // 2)[:, None]
    return Value(W.data * keep, ((W, lambda g: g * keep),))


def separate(spec: ModelSpec, layer: int, F: Parameters, B: Parameters):
    """Each direction reads its own direction of the layer below, as in two whole stacks."""
    if layer == 1:
        return F, B
    return tuple(
        {n: rows_kept(W, half) if n.startswith("W_x") else W for n, W in p.items()}
        for half, p in enumerate((F, B))
    )


def of_the_backward(reading):
    """A reading of weights (mapping.py) for the backward direction alone."""
    return lambda spec, layer, F, B: (F, reading(spec, layer, B))


def other_gates(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    return gate_order(spec.cell, OTHER_ORDER[spec.cell])(spec, layer, p)


def as_they_are(steps: list) -> list:
    return steps


def examples_turned(steps: list[Value]) -> list[Value]:
    """The batch reversed instead of time."""
    return [Value(X.data[::-1], ((X, lambda g: g[::-1]),)) for X in steps]


def examples_turned_back(states: list[State]) -> list[State]:
    parts = states[0]
    return [dict(zip(parts, examples_turned(list(s.values())), strict=True)) for s in states]


def one_behind(states: list[State]) -> list[State]:
    """←H_{t+1} where ←H_t belongs."""
    in_time = states[::-1]
    return [*in_time[1:], in_time[-1]]


def one_ahead(states: list[State]) -> list[State]:
    in_time = states[::-1]
    return [in_time[0], *in_time[:-1]]


def without_gradient(steps: list[Value]) -> list[Value]:
    return [Value(X.data) for X in steps[::-1]]


def at_the_end(states: list[State], backward: bool) -> State:
    """The backward direction's state where the sequence ends: after its first step."""
    return states[0] if backward else states[-1]


def pairs_turned(state: Arrays) -> Arrays:
    """Forward's and backward's rows exchanged; (…, 2L, n, h)."""
    return {p: a[..., np.arange(a.shape[-3]) ^ 1, :, :] for p, a in state.items()}


def one_for_both(way: int):
    return lambda state: {p: a[np.arange(len(a)) // 2 * 2 + way] for p, a in state.items()}


def backward_zero(state: Arrays) -> Arrays:
    keep = {part: a.copy() for part, a in state.items()}
    for array in keep.values():
        array[1::2] = 0
    return keep


def by_direction(state: Arrays) -> Arrays:
    """All forward rows, then all backward ones."""
    return {
        p: np.concatenate([a[..., w::2, :, :] for w in (0, 1)], axis=-3) for p, a in state.items()
    }


def by_direction_read(state: Arrays) -> Arrays:
    """Rows that are taken to lie so."""
    order = {p: np.arange(len(a)).reshape(2, -1).T.ravel() for p, a in state.items()}
    return {part: array[order[part]] for part, array in state.items()}


def backward_kept(first: Arrays, last: Arrays) -> Arrays:
    """The backward direction starts every minibatch from the first state."""
    kept = {part: a.copy() for part, a in last.items()}
    for part, array in kept.items():
        array[1::2] = first[part][1::2]
    return kept


def is_forward(name: str) -> bool:
    return ".backward." not in name


def backward_gradients_zero(spec: ModelSpec, grads: Arrays) -> Arrays:
    return {n: a if is_forward(n) else 0 * a for n, a in grads.items()}


ONE_EXAMPLE = Silence(lambda case: case.n == 1, "of one example both lie alike")


def _both(name: str, says: str, applies=two_ways, silences=(), forward=True, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), applies, tuple(silences), forward)


def _pair(name: str, says: str, change, applies=two_ways) -> Mutant:
    return _both(name, says, applies, pair=(change,))


TWO_DEEP = both(two_ways, deep(2))

DIRECTIONS = [
    _both("backward first", "H_t is [backward, forward]", joins=lambda F, B: B.beside(F)),
    _both("backward first in the output layer", "the output layer reads [backward, forward]",
          reads=lambda before, after: turned_around(after[-1]["H"])),
    _both("backward first between layers", "a layer reads [backward, forward] of the one below",
          TWO_DEEP, passes_up=lambda X, H: turned_around(H)),
    _both("directions interleaved", "H_t holds forward and backward units in turn",
          joins=interleaved),
    _both("directions not transposed", "H (2, n, h) is reshaped to (n, 2h) as it lies (ONNX's Y)",
          silences=[ONE_EXAMPLE], joins=not_transposed),
    _both("merge by sum", "the directions are added",
          joins=lambda F, B: merged(F, B, Value.__add__)),
    _both("merge by average", "the directions are averaged",
          joins=lambda F, B: merged(F, B, lambda f, b: times(0.5, f + b))),
    _both("merge by product", "the directions are multiplied",
          joins=lambda F, B: merged(F, B, Value.__mul__)),
    _both("merge by maximum", "of both directions the larger number is read",
          joins=lambda F, B: merged(F, B, larger)),
    _both("output reads forward only", "the output layer reads the forward direction only",
          reads=lambda before, after: only(0, after[-1]["H"])),
    _both("output reads backward only", "the output layer reads the backward direction only",
          reads=lambda before, after: only(1, after[-1]["H"])),
    _both("layers read forward only", "layers above the first read the forward direction only",
          TWO_DEEP, passes_up=lambda X, H: only(0, H)),
    _both("layers read backward only", "layers above the first read the backward direction only",
          TWO_DEEP, passes_up=lambda X, H: only(1, H)),
    _pair("two separate stacks", "each direction reads its own direction of the layer below",
          separate, TWO_DEEP),
    _pair("forward's weights for both", "the backward direction has the forward one's weights",
          lambda spec, layer, F, B: (F, F)),
    _pair("backward's weights for both", "the forward direction has the backward one's weights",
          lambda spec, layer, F, B: (B, B)),
    _pair("weights of the directions exchanged", "the directions' weights are exchanged",
          lambda spec, layer, F, B: (B, F)),
    _pair("backward W_h transposed", "the backward direction's recurrent matrices are transposed",
          of_the_backward(transposed("W_h")), both(two_ways, as_wide)),
    _pair("backward biases dropped", "the backward direction's biases are left out",
          of_the_backward(biases(nothing))),
    _pair("backward gates in another order", "the backward direction's gates are read in torch's "
          "order", of_the_backward(other_gates), both(two_ways, gated)),
    _both("backward outputs not turned back", "the backward outputs stand in the order in which "
          "they were made", silences=[ONE_STEP], turned_back=as_they_are),
    _both("backward inputs not turned", "the backward direction reads forward, and its outputs are "
          "turned", silences=[ONE_STEP], turned=as_they_are),
    _both("both read forward", "both directions read forward in time", silences=[ONE_STEP],
          turned=as_they_are, turned_back=as_they_are),
    _both("batch turned instead of time", "the examples are reversed instead of the steps",
          silences=[ONE_STEP], turned=examples_turned, turned_back=examples_turned_back),
    _both("backward one step behind", "H_t holds the backward state of step t+1",
          silences=[ONE_STEP], turned_back=one_behind),
    _both("backward one step ahead", "H_t holds the backward state of step t−1",
          silences=[ONE_STEP], turned_back=one_ahead),
    _both("backward state of the last step", "the backward direction's last state is taken at step "
          "T", silences=[ONE_STEP], last=at_the_end),
    _both("directions' states given back exchanged", "the states of the directions are given back "
          "exchanged", reported=(pairs_turned,)),
    _both("states given back by direction", "all forward states are given back before all backward "
          "ones", TWO_DEEP, reported=(by_direction,)),
    _both("directions' initial states exchanged", "the initial states of the directions are "
          "exchanged", initial=(pairs_turned,)),
    _both("initial states by direction", "all forward initial states are expected before all "
          "backward ones", TWO_DEEP, initial=(by_direction_read,)),
    _both("forward's initial state for both", "both directions start from the forward initial "
          "state", initial=(one_for_both(0),)),
    _both("backward's initial state for both", "both directions start from the backward initial "
          "state", initial=(one_for_both(1),)),
    _both("backward starts from zero", "the backward direction's initial state is ignored",
          initial=(backward_zero,)),
    _both("backward state not carried", "the backward direction starts every minibatch from the "
          "first state", forward=False, carried=backward_kept),
    _both("directions' states exchanged on the way", "the next minibatch starts from the "
          "directions' states exchanged", forward=False,
          carried=lambda first, last: pairs_turned(last)),
    _both("backward weights get no gradient", "the backward direction's weights get no gradient",
          forward=False, gradients=(backward_gradients_zero,)),
    _both("no gradient through backward's inputs", "the backward direction sends no gradient down",
          forward=False, turned=without_gradient),
    _both("norm without the backward direction", "the backward direction is left out of the norm",
          forward=False, clip=norm_of(is_forward)),
    _both("clip without the backward direction", "the backward direction is left out of the clip",
          forward=False, clip=over(is_forward)),
    _both("backward direction frozen", "the backward direction is not updated", forward=False,
          descend=frozen_where(lambda name: not is_forward(name))),
]  # fmt: skip
