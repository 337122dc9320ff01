"""The faults of live sabotage: what is handed in or back wrongly, or patched. They know no
framework, save the names in ``SIGMOID``."""

import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.dropout import Dropout
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

Change = Callable[[Arrays], Arrays]
SIGMOID = {
    "numpy": ("backends.numpy.equations", "sigmoid", "numpy", "tanh"),
    "pytorch": ("torch", "sigmoid", "torch", "tanh"),
    "tensorflow": ("tensorflow", "sigmoid", "tensorflow", "tanh"),
}
"""By backend, where its equations find σ (module, name), and where tanh, if not in themselves."""

LOSS = {"numpy": "backends.numpy.backward"}
"""Where the loss is looked up; elsewhere in ``training``."""


def same(arrays: Arrays) -> Arrays:
    return arrays


def plain(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return not (lengths or dropout or spec.sizes or spec.p or spec.peepholes or spec.gate_clip)


def ragged(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return lengths


def dropped(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return dropout


def uneven(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return bool(spec.sizes)


def projected(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return spec.p is not None


def peeping(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return spec.peepholes


def clipped(spec: ModelSpec, lengths: bool, dropout: bool) -> bool:
    return spec.gate_clip is not None


@dataclass(frozen=True)
class Fault:
    """What is done to one implementation. Every field but ``applies`` and ``among`` is a place to
    put a fault in.

    among:      the cases that it is put into, by the spec and by what is given: lengths, dropout
    into, back: canonical parameters on their way in, and on their way back
    pull:       parameters' gradients on the way back; as ``back`` if it is None
    start, X, Y: what each call is handed   spec: the spec that is really built
    lengths:    what it is handed as lengths, from those and T
    dropout:    what it is handed as dropout
    recipe:     the recipe that is trained with
    gradients:  of loss_and_gradients, on the way back
    carried:    whether the state is carried between training steps
    compute:    the dtype that is really computed in
    patches:    module, name and replacement, from the backend's name
    """

    applies: Callable[[str, ModelSpec], bool] = lambda implementation, spec: True
    into: Change = same
    back: Change = same
    pull: Change | None = None
    start: Change = same
    X: Callable[[np.ndarray], np.ndarray] = lambda X: X
    Y: Callable[[np.ndarray], np.ndarray] = lambda Y: Y
    lengths: Callable[[np.ndarray, int], np.ndarray] = lambda lengths, T: lengths
    dropout: Callable[[Dropout], Dropout | None] = lambda dropout: dropout
    spec: Callable[[ModelSpec], ModelSpec] = lambda spec: spec
    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    gradients: Callable[[ModelSpec, Arrays], Arrays] = lambda spec, grads: grads
    among: Callable[[ModelSpec, bool, bool], bool] = plain
    carried: bool = True
    compute: str = "float64"
    patches: Callable[[str], list[tuple[str, str, Callable]]] = lambda backend: []


def of(*cells: str):
    return lambda implementation, spec: spec.cell in cells


def equations_of(*cells: str):
    return lambda implementation, spec: implementation == "equations" and spec.cell in cells


def renamed(kinds: tuple[str, ...] = ("W_x", "W_h", "b_"), **names: str) -> Change:
    """``renamed(i="f", f="i")`` exchanges the tensors of two gates, those of ``kinds``."""

    def change(arrays: Arrays) -> Arrays:
        def source(name: str) -> str:
            kind, gate = name[:-1], name[-1]
            is_gate = name.startswith("layer") and kind.endswith(kinds)
            return kind + names.get(gate, gate) if is_gate else name

        return {name: arrays[source(name)] for name in arrays}

    return change


def each(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """``change`` the layers' tensors whose names hold ``part``."""
    return lambda arrays: {
        n: change(a) if part in n and n.startswith("layer") else a for n, a in arrays.items()
    }


def zeros(arrays: Arrays) -> Arrays:
    return {name: np.zeros_like(array) for name, array in arrays.items()}


def turned(array: np.ndarray) -> np.ndarray:
    return array.T.copy()


def reset_after(spec: ModelSpec) -> ModelSpec:
    return dataclasses.replace(spec, reset="after")


def two_biases(params: Arrays) -> Arrays:
    found = {}
    for name, array in params.items():
        found |= {name.replace(".b_h", ".b_xh"): array}
        if name.endswith(".b_h"):
            found[name.replace(".b_h", ".b_hh")] = np.zeros_like(array)
    return found


def one_bias(params: Arrays) -> Arrays:
    kept = {n: a for n, a in params.items() if not n.endswith(".b_hh")}
    return {n.replace(".b_xh", ".b_h"): a for n, a in kept.items()}


def batch_first(X: np.ndarray) -> np.ndarray:
    T, n = X.shape[:2]
    return np.ascontiguousarray(X.reshape(n, T, *X.shape[2:]).swapaxes(0, 1))


def late(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X[:1], X[:-1]])


def as_it_lies(W: np.ndarray) -> np.ndarray:
    """Reshaped where it should be transposed."""
    return W.T.reshape(W.shape)


def as_columns_lie(W: np.ndarray) -> np.ndarray:
    """The way back."""
    return W.reshape(W.shape[::-1]).T


def projecting(into: Callable[[np.ndarray], np.ndarray], back: Callable[[np.ndarray], np.ndarray]):
    return Fault(into=each(".W_hp", into), back=each(".W_hp", back), among=projected)


def from_the_end(state: Arrays) -> Arrays:
    """The last numbers of a smaller layer's row stand where its first are read."""

    def turned(row: np.ndarray) -> np.ndarray:
        own = 1 + int(np.flatnonzero(row.any(axis=0))[-1])
        return np.roll(row, own - row.shape[-1], axis=-1)

    return {part: np.stack([turned(row) for row in a]) for part, a in state.items()}


def smaller_zero(spec: ModelSpec, grads: Arrays) -> Arrays:
    smaller = tuple(f"layer{k}." for k in range(1, spec.L + 1) if spec.units(k) < spec.h)
    return {n: np.zeros_like(a) if n.startswith(smaller) else a for n, a in grads.items()}


def lower_zero(spec: ModelSpec, grads: Arrays) -> Arrays:
    top = (f"layer{spec.L}.", "output.", "X", "H", "C")
    return {n: a if n.startswith(top) else 0 * a for n, a in grads.items()}


def clipping_at(kappa: float | None):
    return Fault(spec=lambda spec: dataclasses.replace(spec, gate_clip=kappa), among=clipped)


def clipped_at(factor: float):
    """θ is another one: 1e9 times as large is no clip."""

    def patches(backend: str) -> list[tuple[str, str, Callable]]:
        module = f"backends.{backend}.training"
        clip = importlib.import_module(module).clip
        return [(module, "clip", lambda grads, theta: clip(grads, factor * theta))]

    return patches


def padding_in_the_loss(backend: str) -> list[tuple[str, str, Callable]]:
    module = LOSS.get(backend, f"backends.{backend}.training")
    mean = importlib.import_module(module).cross_entropy
    return [(module, "cross_entropy", lambda O, Y, *within: mean(O, Y))]


def of_lengths(change: Callable[[np.ndarray, int], np.ndarray]) -> Fault:
    return Fault(lengths=change, among=ragged)


def of_dropout(change: Callable[[Dropout], Dropout | None]) -> Fault:
    return Fault(dropout=change, among=dropped)


def with_masks(change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    return of_dropout(lambda dropout: dataclasses.replace(dropout, masks=change(dropout.masks)))


def loss_summed(backend: str) -> list[tuple[str, str, Callable]]:
    module = LOSS.get(backend, f"backends.{backend}.training")
    mean = importlib.import_module(module).cross_entropy

    def total(O: Any, Y: Any, *within: Any) -> Any:
        count = float(np.prod([int(size) for size in Y.shape]))
        found = mean(O, Y, *within)
        return tuple(part * count for part in found) if isinstance(found, tuple) else found * count

    return [(module, "cross_entropy", total)]


def activations_of(backend: str) -> tuple[str, str, str, str]:
    own = f"backends.{backend}.equations"
    return SIGMOID.get(backend, (own, "sigmoid", own, "tanh"))


def sigmoid_of_half(backend: str) -> list[tuple[str, str, Callable]]:
    module, name, *_ = activations_of(backend)
    right = getattr(importlib.import_module(module), name)
    return [(module, name, lambda a: right(0.5 * a))]


def tanh_of_half(backend: str) -> list[tuple[str, str, Callable]]:
    *_, module, name = activations_of(backend)
    right = getattr(importlib.import_module(module), name)
    return [(module, name, lambda a: right(0.5 * a))]


FAULTS = {
    "forget-and-input-exchanged": Fault(
        of("lstm"), renamed(i="f", f="i"), renamed(i="f", f="i")),
    "gates-i-f-g-o": Fault(of("lstm"), renamed(o="c", c="o"), renamed(o="c", c="o")),
    "gates-r-z-n": Fault(of("gru"), renamed(z="r", r="z"), renamed(z="r", r="z")),
    "recurrent-matrices-transposed": Fault(
        into=each(".W_h", turned), back=each(".W_h", turned)),
    "biases-doubled": Fault(into=each(".b_", lambda b: 2 * b), back=each(".b_", lambda b: b / 2),
                            pull=each(".b_", lambda g: 2 * g)),
    "forget-bias-of-one": Fault(
        of("lstm"), each(".b_f", lambda b: b + 1), each(".b_f", lambda b: b - 1),
        same),
    "weights-lose-bits": Fault(into=each("W_h", lambda W: W.astype("float16").astype(W.dtype))),
    "other-reset": Fault(lambda implementation, spec: spec.reset == "before", two_biases, one_bias,
                         spec=reset_after),
    "initial-state-ignored": Fault(start=zeros, carried=False),
    "batch-first": Fault(X=batch_first),
    "input-one-step-late": Fault(X=late),
    "targets-one-step-late": Fault(Y=late),
    "float32-under-a-float64-label": Fault(compute="float32"),
    "lower-layers-get-no-gradient": Fault(gradients=lower_zero),
    "no-gradient-of-the-state": Fault(
        gradients=lambda spec, grads: grads | zeros({n: grads[n] for n in grads if n == "H0"})),
    "rate-too-high": Fault(
        recipe=lambda r: dataclasses.replace(r, learning_rate=1.05 * r.learning_rate)),
    "state-not-carried": Fault(carried=False),
    "no-clip": Fault(patches=clipped_at(1e9)),
    "clip-at-half": Fault(patches=clipped_at(0.5)),
    "loss-summed": Fault(patches=loss_summed),
    "sigmoid-of-half": Fault(equations_of("gru", "lstm"), patches=sigmoid_of_half),
    "tanh-of-half": Fault(equations_of("gru", "lstm"), patches=tanh_of_half),
    "lengths-ignored": of_lengths(lambda lengths, T: np.full_like(lengths, T)),
    "lengths-one-short": of_lengths(lambda lengths, T: np.maximum(lengths - 1, 1)),
    "lengths-sorted": of_lengths(lambda lengths, T: -np.sort(-lengths)),
    "padding-in-the-loss": Fault(patches=padding_in_the_loss, among=ragged),
    "projection-read-as-it-lies": projecting(as_it_lies, as_columns_lie),
    "projection-reversed": projecting(lambda W: W[:, ::-1].copy(), lambda W: W[:, ::-1].copy()),
    "projection-gets-no-gradient": Fault(
        gradients=lambda spec, grads: each(".W_hp", np.zeros_like)(grads), among=projected),
    "smaller-states-from-the-end": Fault(start=from_the_end, carried=False, among=uneven),
    "smaller-layers-get-no-gradient": Fault(gradients=smaller_zero, among=uneven),
    "dropout-ignored": of_dropout(lambda dropout: None),
    "dropout-not-scaled": of_dropout(lambda dropout: dataclasses.replace(dropout, rate=0.0)),
    "mask-inverted": with_masks(lambda masks: 1 - masks),
    "one-mask-for-all-steps": with_masks(lambda masks: np.broadcast_to(masks[:, :1], masks.shape)),
    "peepholes-as-they-lie-in-onnx": Fault(
        into=renamed(("P_",), f="o", o="f"), back=renamed(("P_",), f="o", o="f"), among=peeping),
    "peepholes-ignored": Fault(into=each(".P_", np.zeros_like), among=peeping),
    "peepholes-get-no-gradient": Fault(
        gradients=lambda spec, grads: each(".P_", np.zeros_like)(grads), among=peeping),
    "gates-not-clipped": clipping_at(None),
    "gates-clipped-at-twice": clipping_at(0.75),
    "masks-batch-major": with_masks(lambda masks: masks.reshape(
        len(masks), masks.shape[2], masks.shape[1], -1).swapaxes(1, 2)),
}  # fmt: skip

KINDS = [("rnn", None), ("gru", "before"), ("gru", "after"), ("lstm", None)]
"""Cells and resets, each with a case."""


def fits_all(fault: Fault) -> bool:
    specs = [
        ModelSpec(cell, 2, 2, 2, 1, ("tanh",) if cell == "rnn" else (), reset)
        for cell, reset in KINDS
    ]
    return fault.among is plain and all(fault.applies("layers", spec) for spec in specs)


def in_turn(place: int) -> Callable[[str, ModelSpec], bool]:
    return lambda implementation, spec: (KINDS.index((spec.cell, spec.reset)) + place) % 2 == 0


def taking_turns(faults: dict[str, Fault]) -> dict[str, Fault]:
    """The same faults, but those that can be put into everything are put into half of the cells."""
    return {
        name: dataclasses.replace(fault, applies=in_turn(place)) if fits_all(fault) else fault
        for place, (name, fault) in enumerate(faults.items())
    }
