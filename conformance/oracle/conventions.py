"""The equations again, with every choice of an implementation as a value that can be wrong.

``Conventions()`` is what EQUATIONS.md says, and then evaluation.py gives the oracle's answers bit
for bit. A wrong convention (mutants/) replaces one of the choices; two of them can be combined if
they replace different ones, or ones that are applied one after another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from common.parameters import GATES, Arrays
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.oracle.equations import (
    PHI,
    State,
    Value,
    clamped,
    clip,
    cross_entropy,
    descend,
    ended,
    sigmoid,
    tanh,
)

Parameters = dict[str, Value]
Reading = Callable[[ModelSpec, int, Parameters], Parameters]
Pairing = Callable[[ModelSpec, int, Parameters, Parameters], tuple[Parameters, Parameters]]


def activate(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
    """σ for gates, tanh for candidates, φ_l for the vanilla RNN."""
    if spec.cell == "rnn":
        return PHI[spec.activations[layer - 1]](a)
    return tanh(a) if gate == GATES[spec.cell][-1] else sigmoid(a)


def top_layer(before: list[State], after: list[State]) -> Value:
    """O_t is read from H_t^(L)   (OUT-1)"""
    return after[-1]["H"]


def kept(after: State, before: State, live: np.ndarray, backward: bool) -> State:
    """Where no step is made, the state stays   (LEN-2)"""
    return {part: value.where(live, before[part]) for part, value in after.items()}


def peep(gate: str, p: Parameters, before: Value, after: Value | None) -> Value:
    """P_i ⊙ C_{t−1}, P_f ⊙ C_{t−1} and P_o ⊙ C_t   (LSTM-8 to LSTM-10)"""
    return (before if after is None else after) * p[f"P_{gate}"]


def project(product: Callable[[Value, Value], Value], o: Value, S: Value, p: Parameters) -> Value:
    """H_t = (o_t ⊙ tanh(C_t)) W_hp   (LSTM-7)   S: tanh(C_t)"""
    return product(o * S, p["W_hp"])


def drop(H: Value, mask: np.ndarray, scale: float) -> Value:
    """M_t ⊙ H_t / (1 − r)   (DROP-1)   scale: 1 / (1 − r)"""
    return H.times(scale * mask)


@dataclass(frozen=True)
class Conventions:
    """Tuples are applied one after another; every other field is one choice.

    initialised:  what the parameters are before training, from those that were given
    read:         the parameters that a layer computes with, from those it was given
    read_output:  the same for the output layer
    inputs, targets:  X (T, n, d) and Y (T, n), as they are understood
    initial:      the state that the first step starts from; reported: the one that is given back
    reset:        where the GRU's reset gate acts, from where it should
    activate, cell_output, product:  gate(pre-activation), the tanh of LSTM-6, matrix products
    cell_state:   what is kept as C_t, from LSTM-5
    project:      LSTM-7, from the product, o, tanh(C) and a layer's parameters
    peep:         what a gate sees of C through its peephole, from its letter, a layer's parameters,
                  C_{t−1}, and for the output gate C_t   (LSTM-8 to LSTM-10)
    again:        whether i and f are made once more, of the C_t that they have made
    bound:        what is before a σ or tanh, clipped to κ   (LSTM-11); bounded: where that is done
    mix:          GRU-4 out of z, H_{t−1} and the candidate
    order:        the layers as they are stacked
    pair:         the parameters of a layer's forward and backward direction, from those given
    turned:       the steps as the backward direction reads them, from those in the order of time;
                  turned_back: its states in the order of time, from those in the order of reading
    joins:        a layer's H, from those of both directions   (BI-3)
    last:         a direction's last state, from all in the order of reading, and which one it is
    passes_up:    what a layer hands up, from its input and its H
    reads:        what the output layer reads, from all layers' states before and after the step,
                  both directions side by side
    carry:        the state from one step to the next
    within:       which steps are an example's own, from where they are, (T, n)   (LEN-1)
    padding:      X as the first layer reads it, from what was given and from there
    ends:         the state after a step, from that which the cell makes, the one before, (n,) of
                  ``within``, and whether it goes backward   (LEN-2)
    behind:       what a layer hands up and what its trace shows, from its states   (LEN-3)
    blank:        the same of O
    starts_as, ends_as, outputs_as:  the examples whose initial state, last state, and outputs each
                  example gets, from ``within``
    masks:        the masks of a minibatch, from those given, (L−1, T, n, D·h)   (DROP-1)
    scale:        of what is kept, from the rate; dropped: where it is; drop: what is left of an H
    held:         the state that a direction's next step starts from, from that after a step and the
                  layer's mask there, scaled
    weighs:       of every prediction in the loss, from ``within``   (LEN-4)
    count:        what the summed loss is divided by, from T, n and how many predictions there are
    loss:         of a step, from its O, its Y, that count and those weights
    gradients:    what is given back as gradients
    carried:      the next minibatch's state, from the first and the last of this one
    detached:     whether gradients stop between minibatches
    accumulate:   the gradient of a step, from the one just computed and the last clipped one
    clip, descend:  CLIP-1, CLIP-2 and SGD-1
    """

    initialised: tuple[Callable[[ModelSpec, Arrays], Arrays], ...] = ()
    read: tuple[Reading, ...] = ()
    read_output: tuple[Callable[[Parameters], Parameters], ...] = ()
    inputs: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    targets: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    initial: tuple[Callable[[Arrays], Arrays], ...] = ()
    reported: tuple[Callable[[Arrays], Arrays], ...] = ()
    reset: Callable[[str | None], str | None] = lambda reset: reset
    activate: Callable[[ModelSpec, int, str, Value], Value] = activate
    cell_state: Callable[[Value], Value] = lambda C: C
    cell_output: Callable[[Value], Value] = tanh
    product: Callable[[Value, Value], Value] = Value.__matmul__
    project: Callable[[Callable[[Value, Value], Value], Value, Value, Parameters], Value] = project
    peep: Callable[[str, Parameters, Value, Value | None], Value] = peep
    again: bool = False
    bound: Callable[[Value, float], Value] = clamped
    bounded: frozenset[str] = frozenset("ifoc")
    mix: Callable[[Value, Value, Value], Value] = lambda z, H, new: z * H + z.one_minus() * new
    order: Callable[[int], list[int]] = lambda L: list(range(1, L + 1))
    pair: tuple[Pairing, ...] = ()
    turned: Callable[[list[Value]], list[Value]] = lambda steps: steps[::-1]
    turned_back: Callable[[list[State]], list[State]] = lambda states: states[::-1]
    joins: Callable[[Value, Value], Value] = Value.beside
    last: Callable[[list[State], bool], State] = lambda states, backward: states[-1]
    passes_up: Callable[[Value, Value], Value] = lambda X, H: H
    reads: Callable[[list[State], list[State]], Value] = top_layer
    carry: Callable[[State], State] = lambda state: state
    within: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    padding: Callable[[list[Value], np.ndarray], list[Value]] = ended
    ends: Callable[[State, State, np.ndarray, bool], State] = kept
    behind: Callable[[list[Value], np.ndarray], list[Value]] = ended
    blank: Callable[[list[Value], np.ndarray], list[Value]] = ended
    starts_as: Callable[[np.ndarray], np.ndarray] | None = None
    ends_as: Callable[[np.ndarray], np.ndarray] | None = None
    outputs_as: Callable[[np.ndarray], np.ndarray] | None = None
    masks: tuple[Callable[[ModelSpec, np.ndarray], np.ndarray], ...] = ()
    scale: Callable[[float], float] = lambda rate: 1 / (1 - rate)
    dropped: frozenset[str] = frozenset(["between"])
    drop: Callable[[Value, np.ndarray, float], Value] = drop
    held: Callable[[State, np.ndarray], State] = lambda state, mask: state
    weighs: Callable[[np.ndarray], np.ndarray] = lambda within: within
    count: Callable[[int, int, int], int] = lambda T, n, predictions: predictions
    loss: Callable[[Value, np.ndarray, int, np.ndarray | None], Value] = cross_entropy
    gradients: tuple[Callable[[ModelSpec, Arrays], Arrays], ...] = ()
    carried: Callable[[Arrays, Arrays], Arrays] = lambda first, last: last
    detached: bool = True
    accumulate: Callable[[Arrays, Arrays | None], Arrays] = lambda grads, last: grads
    clip: Callable[[Arrays, float], tuple[np.ndarray, Arrays]] = clip
    descend: Callable[[Arrays, Arrays, Recipe], Arrays] = descend

    def changed(self) -> set[str]:
        """The choices that differ from EQUATIONS.md's."""
        return {f.name for f in fields(self) if getattr(self, f.name) != getattr(TRUTH, f.name)}

    def with_also(self, other: Conventions) -> Conventions | None:
        """Both together; None if they disagree about the same choice."""
        chosen: dict[str, Any] = {}
        for name in other.changed():
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, tuple):
                chosen[name] = mine + theirs
            elif name in self.changed():
                return None
            else:
                chosen[name] = theirs
        return replace(self, **chosen)


TRUTH = Conventions()
