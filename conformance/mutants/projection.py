"""The projection of the LSTM's H at another place, by another matrix, or left out (LSTM-7)."""

from collections.abc import Callable

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.mutants.directions import columns
from conformance.mutants.mapping import as_it_lies, times
from conformance.mutants.mutant import ONE_STEP, Mutant, both, deep, projected
from conformance.mutants.training import frozen_where, norm_of, over
from conformance.oracle.conventions import Conventions, Parameters
from conformance.oracle.equations import Value, sigmoid, tanh

Product = Callable[[Value, Value], Value]


class Both(Value):
    """A projected H beside as many of the numbers that it was made of."""

    def __init__(self, H: Value, whole: Value) -> None:
        super().__init__(H.data, H.parents)
        self.whole = whole


def narrow(H: Value, p: Parameters) -> Value:
    """The first p of the h units."""
    return H.first(p["W_hp"].data.shape[1])


def known(product: Product, o: Value, S: Value, p: Parameters) -> Value:
    """Right, and the unprojected numbers beside it."""
    H = o * S
    return Both(product(H, p["W_hp"]), narrow(H, p))


def by(change: Callable[[Value], Value]):
    """A projection by another matrix than W_hp."""
    return lambda product, o, S, p: product(o * S, change(p["W_hp"]))


def reversed_columns(W: Value) -> Value:
    return columns(W, np.arange(W.data.shape[1])[::-1])


def reversed_rows(W: Value) -> Value:
    return Value(W.data[::-1], ((W, lambda g: g[::-1]),))


def unprojected(H: Value) -> Value:
    return H.whole if isinstance(H, Both) else H


def with_bias(product: Product, o: Value, S: Value, p: Parameters) -> Value:
    """A bias of its own, which starts where the others do: here it is the first part of b_o."""
    return product(o * S, p["W_hp"]) + bias(p)


def bias(p: Parameters) -> Value:
    b, size = p["b_o"], p["W_hp"].data.shape[1]
    return Value(b.data[:size], ((b, lambda g: np.concatenate([g, np.zeros_like(b.data[size:])])),))


def is_projection(name: str) -> bool:
    return name.endswith("W_hp")


def is_other(name: str) -> bool:
    return not is_projection(name)


def without_gradient(spec: ModelSpec, grads: Arrays) -> Arrays:
    return {n: 0 * a if is_projection(n) else a for n, a in grads.items()}


def side_by_side(F: Value, B: Value) -> Value:
    """Both directions' H, and beside them what they were made of."""
    return Both(F.beside(B), unprojected(F).beside(unprojected(B)))


def _made(name: str, says: str, change, applies=projected, silences=(), **choices) -> Mutant:
    return Mutant(name, says, Conventions(project=change, **choices), applies, tuple(silences))


def _train(name: str, says: str, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), projected, forward=False)


PROJECTION = [
    _made("projection left out", "H is not projected: its first p units are taken",
          lambda product, o, S, p: narrow(o * S, p)),
    _made("last units instead of the projection", "H is not projected: its last p units are taken",
          lambda product, o, S, p: narrow(reversed_columns(o * S), p)),
    _made("projection read as it lies", "W_hp is reshaped instead of transposed (memory order "
          "kept)", by(as_it_lies)),
    _made("projection's columns reversed", "the projected units are in reverse order",
          by(reversed_columns)),
    _made("projection's rows reversed", "the units are in reverse order as they are projected",
          by(reversed_rows)),
    _made("projection doubled", "the projection is added twice", by(lambda W: times(2, W))),
    _made("projection negated", "the projection is subtracted", by(lambda W: times(-1, W))),
    _made("projection with a bias", "a bias is added to the projection", with_bias),
    _made("projection before the output gate", "tanh(C) is projected, and the output gate's first "
          "p units act on that", lambda product, o, S, p: narrow(o, p) * product(S, p["W_hp"])),
    _made("output gate projected, too", "output gate and tanh(C) are both projected, and then "
          "multiplied", lambda product, o, S, p: product(o, p["W_hp"]) * product(S, p["W_hp"])),
    _made("projection without the output gate", "tanh(C) is projected, without the output gate",
          lambda product, o, S, p: product(S, p["W_hp"])),
    _made("tanh after the projection", "tanh is applied to the projected H, too",
          lambda product, o, S, p: tanh(product(o * S, p["W_hp"]))),
    _made("sigmoid after the projection", "σ is applied to the projected H",
          lambda product, o, S, p: sigmoid(product(o * S, p["W_hp"]))),
    _made("tanh after the projection alone", "C is projected, and tanh is applied to what comes "
          "out of it", lambda product, o, S, p: tanh(product(o * S, p["W_hp"])),
          cell_output=lambda C: C),
    _made("projection of the output alone", "the output layer and the layer above read the "
          "projected H, the next step the first p units of the other", known, silences=[ONE_STEP],
          carry=lambda state: state | {"H": unprojected(state["H"])}),
    _made("projection of the state alone", "the next step reads the projected H, the output layer "
          "the first p units of the other", known, joins=side_by_side,
          reads=lambda before, after: unprojected(after[-1]["H"])),
    _made("projection not between layers", "the layer above reads the first p units of H before "
          "the projection", known, both(projected, deep(2)), joins=side_by_side,
          passes_up=lambda X, H: unprojected(H)),
    _train("projection gets no gradient", "W_hp gets no gradient", gradients=(without_gradient,)),
    _train("norm without the projection", "W_hp is left out of the norm", clip=norm_of(is_other)),
    _train("clip without the projection", "W_hp is left out of the clip", clip=over(is_other)),
    _train("projection frozen", "W_hp is not updated", descend=frozen_where(is_projection)),
]  # fmt: skip
