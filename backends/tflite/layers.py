"""Keras' SimpleRNN, GRU and LSTM as the converter is given them, and how their weights map to the
canonical ones.

A layer becomes a loop (WHILE) over the operators of one step, which the converter can write for a
fixed n alone; T stays open. Source: Keras 3.15, ``layers.rnn``, and TensorFlow 2.21, ``lite``.
"""

from collections.abc import Sequence

import keras
import numpy as np

from backends.keras_layers import GATE_ORDER, make_layer, native, unsupported
from backends.tflite.runtime import Session
from common.parameters import Arrays, layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec

__all__ = ["canonical", "make_layers", "make_stack", "make_steps", "unsupported"]

KINDS = ("kernel", "recurrent_kernel", "bias")
"""The weights of a Keras layer, by direction."""


def to_native(spec: ModelSpec, p: Arrays) -> list[np.ndarray]:
    """One direction of one layer, canonical → Keras: stacked; the reset-after GRU's b in the input
    bias, 0 in the recurrent one, but for the candidate's b_hh."""
    return native(spec, p, np)


def to_canonical(spec: ModelSpec, weights: Sequence[np.ndarray]) -> Arrays:
    """One direction of one layer, Keras → canonical."""
    gates, p = GATE_ORDER[spec.cell], dict[str, np.ndarray]()
    blocks = [np.split(array, len(gates), axis=-1) for array in weights]
    for gate, W_x, W_h, b in zip(gates, *blocks, strict=True):
        p[f"W_x{gate}"], p[f"W_h{gate}"] = W_x, W_h
        p[f"b_{gate}"] = b[0] if spec.reset == "after" else b
        if spec.reset == "after" and gate == "h":
            p["b_hh"] = b[1]
    if spec.reset == "after":
        p["b_xh"] = p.pop("b_h")
    return p


def make_layers(spec: ModelSpec, params: Arrays) -> list[keras.Layer]:
    """The stack's layers and its output layer (OUT-1), loaded."""
    made = []
    for layer in range(1, spec.L + 1):
        made.append(make_layer(spec, layer, "float32"))
        halves = [to_native(spec, layer_parameters(params, layer, b)) for b in spec.ways]
        load(made[-1], [weight for half in halves for weight in half])
    made.append(keras.layers.Dense(spec.q, dtype="float32"))
    made[-1].build((None, None, spec.width))
    load(made[-1], [params["output.W_hq"], params["output.b_q"]])
    return made


def load(layer: keras.Layer, weights: Sequence[np.ndarray]) -> None:
    for variable, array in zip(layer.trainable_variables, weights, strict=True):
        variable.assign(array)


def make_steps(spec: ModelSpec, layers: Sequence[keras.Layer], n: int) -> Session:
    """One step of every direction of every layer, side by side; a step goes nowhere, forward or
    backward.

    xr (n, 1, in), Hr0 and Cr0 (n, h) → Hr and Cr (n, h), by row r of the state"""
    given, made, names = [], [], list[str]()
    for row, (layer, backward) in enumerate(spec.passes):
        one = layers[layer - 1]
        if spec.directions == 2:
            one = one.backward_layer if backward else one.forward_layer
        x = keras.Input((1, spec.inputs_of(layer)), batch_size=n, name=f"x{row}")
        start = starts(spec, [row], n)
        given, made = [*given, x, *start], [*made, *one(x, initial_state=start)[1:]]
        names += [f"{part}{row}" for part in spec.states]
    return Session(keras.Model(given, made), names)


def make_stack(
    spec: ModelSpec, layers: Sequence[keras.Layer], n: int, ragged: bool, dropped: bool
) -> Session:
    """The stack with its output layer.

    X (n, T, d), Hr0 and Cr0 (n, h) by row r of the state, within (n, T) where ragged, whether a
    step is the example's own, and where something is dropped keptl (n, T, D·h) of layer l
    → O (n, T, q), Yl (n, T, D·h), the outputs of layer l, belowl, what layer l is given of the one
    below it where something is dropped, and the last state, Hr and Cr (n, h)"""
    H = keras.Input((None, spec.d), batch_size=n, name="X")
    given, made, names, options = [H], [], list[str](), {}
    if ragged:
        given.append(keras.Input((None,), batch_size=n, dtype="bool", name="within"))
        options = {"mask": given[-1]}
    for layer in range(1, spec.L + 1):
        rows = [spec.row(layer, backward) for backward in spec.ways]
        start = starts(spec, rows, n)
        H, *last = layers[layer - 1](H, initial_state=start, **options)
        given, made = [*given, *start], [*made, H, *last]
        names += [f"Y{layer}", *(f"{part}{row}" for row in rows for part in spec.states)]
        if dropped and layer < spec.L:
            given.append(keras.Input((None, H.shape[-1]), batch_size=n, name=f"kept{layer}"))
            H = H * given[-1]
            made, names = [*made, H], [*names, f"below{layer + 1}"]
    return Session(keras.Model(given, [*made, layers[-1](H)]), [*names, "O"])


def starts(spec: ModelSpec, rows: Sequence[int], n: int) -> list[keras.KerasTensor]:
    """What the initial state of some rows is given as."""
    return [
        keras.Input((spec.units(spec.passes[row][0]),), batch_size=n, name=f"{part}{row}0")
        for row in rows
        for part in spec.states
    ]


def canonical(spec: ModelSpec, layers: Sequence[keras.Layer]) -> Arrays:
    """Every parameter, out of the layers that the converter is given."""
    *stack, output = [[v.numpy() for v in layer.trainable_variables] for layer in layers]
    found = dict(zip(("output.W_hq", "output.b_q"), output, strict=True))
    for layer, backward in spec.passes:
        first = len(KINDS) * backward
        own = stack[layer - 1][first : first + len(KINDS)]
        for name, array in to_canonical(spec, own).items():
            found[f"{prefix(layer, backward)}{name}"] = array
    return {name: found[name].copy() for name in parameter_shapes(spec)}
