"""Faults that are put into what TFLite's converter is given."""

from dataclasses import replace
from typing import Any

import numpy as np

import backends.tflite as backend
from backends import keras_layers
from backends.tflite import layers
from common.parameters import state_of
from tests.backends.part_faults import Change, Fault

_native, _canonical = layers.to_native, layers.to_canonical
_layer, _stack = layers.make_layer, layers.make_stack

GRU = ("gru",)
EVERY = ("rnn", "gru", "lstm")


def ordered(**gates: str) -> list[Change]:
    """The gates in another order, on the way in and back."""
    order = keras_layers.GATE_ORDER | gates
    return [(module, "GATE_ORDER", order) for module in (keras_layers, layers)]


def transposed(weights: Any) -> list[np.ndarray]:
    """Every recurrent matrix, gate by gate."""
    kernel, recurrent, bias = weights
    blocks = np.split(recurrent, recurrent.shape[1] // len(recurrent), axis=1)
    return [kernel, np.concatenate([block.T for block in blocks], axis=1), bias]


def reversed_in_time(spec, layer, dtype):
    made = _layer(spec, layer, dtype)
    made.go_backwards = True
    return made


def after(spec):
    return replace(spec, reset="after")


def reset_after(spec, p):
    """The weights of a GRU that resets before, as one has them that resets after."""
    return _native(after(spec), p | {"b_hh": np.zeros_like(p["b_h"])})


def without_lengths(spec, made, n, ragged, dropped):
    return _stack(spec, made, n, False, dropped)


def from_zero(*given):
    return {part: 0 * array for part, array in state_of(*given).items()}


FAULTS: dict[str, Fault] = {
    "gates-i-f-o-c": (("lstm",), ordered(lstm="ifoc")),
    "gates-r-z-h": (GRU, ordered(gru="rzh")),
    "transposed": (
        EVERY,
        [
            (layers, "to_native", lambda spec, p: transposed(_native(spec, p))),
            (layers, "to_canonical", lambda spec, own: _canonical(spec, transposed(own))),
        ],
    ),
    "reversed": (EVERY, [(layers, "make_layer", reversed_in_time)]),
    "reset-after": (
        GRU,
        [
            (layers, "make_layer", lambda spec, layer, dtype: _layer(after(spec), layer, dtype)),
            (layers, "to_native", reset_after),
            (layers, "to_canonical", lambda spec, own: _canonical(spec, [*own[:2], own[2][0]])),
        ],
    ),
    "lengths-ignored": (EVERY, [(backend, "make_stack", without_lengths)]),
    "state-ignored": (EVERY, [(backend, "state_of", from_zero)]),
}
