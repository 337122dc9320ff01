"""Capture a live model: its Keras layers SimpleRNN, GRU and LSTM, RNN over their cells, these cells
in a loop, and Bidirectional, which are watched in one eager run.

    from backends.tensorflow.capture import capture

    capture(model, "mine.safetensors", X)

It sees layers inside of layers and models, functional and sequential ones, masks, and layers that
keep their state.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.tensorflow.watching import (
    CELLS,
    Found,
    Live,
    cells,
    directions,
    is_whole,
    to_array,
    watching,
)
from common.capture import Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

KINDS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}


def capture(
    model: Any,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients are written as well

    Raises BadInput if no recurrent layer ran.
    """
    found = find(model)
    tape = tf.GradientTape(persistent=False) if loss is not None else None
    with watching(found, tape) as live, tape or nullcontext():
        outputs = model(*inputs, **options)
        value = None if loss is None else loss(outputs)
    for layer, module in found:
        if layer.calls:
            describe(layer, module)
    if tape is not None:
        differentiate(found, live, tape, value)
    number = None if value is None else float(value)
    made = tf.nest.flatten(outputs)[0]
    device = str(getattr(made, "device", "")).rpartition("device:")[2] or "CPU:0"
    layers = [layer for layer, _ in found]
    write_capture(
        Path(path),
        Capture("keras", keras.__version__, device, layers, rest(model, found), number),
    )
    return outputs


def find(model: Any) -> Found:
    """The recurrent layers of a model, in the order in which it holds them. Those inside of a
    Bidirectional are its two directions, and cells inside of a layer are the layer's."""
    found: Found = []
    inside: set[int] = set()
    for module in model._flatten_layers(include_self=True, recursive=True):
        known = is_whole(module) or isinstance(module, tuple(CELLS))
        if id(module) in inside or not known:
            continue
        parts = [*directions(module), *(cell for side in cells(module) for cell in side)]
        inside |= {id(part) for part in parts if part is not module}
        cell = next(c for kind, c in CELLS.items() if isinstance(cells(module)[0][0], kind))
        name = unique(module.name, [layer.name for layer, _ in found])
        kind = type(module).__name__
        found.append((Layer(name, kind, "keras", cell, {}, [], {}, time=1), module))
    return found


def describe(layer: Layer, module: Any) -> None:
    """What a layer is, and its weights, once it ran: Keras may make them when it is called."""
    layer.options = told(layer, module)
    layer.tensors, weights = tensors(module)
    layer.weights = {name: to_array(weight) for name, weight in weights.items()}
    wanted = [
        c.compute_dtype for sub in directions(module) for c in (sub, getattr(sub, "cell", sub))
    ]
    if len(set(wanted)) > 1:
        layer.notes.append(f"Keras computes this layer's cells in {wanted[-1]}.")
    masked = any("lengths" in call.arrays for call in layer.calls)
    # A Bidirectional sets it for outputs of every step.
    usual = isinstance(module, keras.layers.Bidirectional) and module.return_sequences
    if masked and any(sub.zero_output_for_mask != usual for sub in directions(module)):
        layer.unjudged.append(f"zero_output_for_mask is {not usual}, and there is a mask")


def told(layer: Layer, module: Any) -> dict[str, str]:
    """The options, as conformance/models/frameworks.py calls them."""
    first, cell = directions(module)[0], cells(module)[0][0]
    both = isinstance(module, keras.layers.Bidirectional)
    found = {"merge_mode": str(module.merge_mode or "concat")} if both else {}
    found |= {} if both else {"go_backwards": str(bool(getattr(first, "go_backwards", False)))}
    for name in ("activation", "recurrent_activation"):
        used = [getattr(c, name, None) for side in cells(module) for c in side]
        used = [keras.activations.serialize(one) for one in used if one is not None]
        if any(one != used[0] or not isinstance(one, str) for one in used):
            layer.unjudged.append(f"its {name} is one of your own, or several")
        elif used:
            found[name] = used[0]
    if layer.cell == "gru":
        found["reset_after"] = str(bool(cell.reset_after))
    return found


def tensors(module: Any) -> tuple[Tensors, dict[str, Any]]:
    """Of layers and directions, the names of the weights; and the weights."""
    sides, weights = cells(module), {}
    found: Tensors = []
    for level in range(len(sides[0])):
        row = []
        for side, name in zip(sides, ("forward_layer/", "backward_layer/"), strict=False):
            stem = name * (len(sides) > 1) + f"cells/{level}/" * (len(side) > 1)
            there = {k: n for k, n in KINDS.items() if getattr(side[level], n, None) is not None}
            row.append({kind: f"{stem}{name}" for kind, name in there.items()})
            weights |= {f"{stem}{name}": getattr(side[level], name) for name in there.values()}
        found.append(row)
    return found, weights


def rest(model: Any, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {id(v) for _, module in found for v in module.variables}
    return {v.path: to_array(v) for v in model.variables if id(v) not in own}


def differentiate(found: Found, live: Live, tape: Any, value: Any) -> None:
    """The loss's gradients, of weights and of what went into the layers."""
    weights = [
        (layer, name, weight)
        for layer, module in found
        if layer.calls
        for name, weight in tensors(module)[1].items()
    ]
    wanted = [weight.value for *_, weight in weights] + [tensor for _, _, tensor, _ in live]
    slopes = [None if s is None else tf.convert_to_tensor(s) for s in tape.gradient(value, wanted)]
    for (layer, name, _), slope in zip(weights, slopes, strict=False):
        if slope is not None:
            layer.gradients[name] = to_array(slope)
    for (call, name, _, shown), slope in zip(live, slopes[len(weights) :], strict=True):
        if slope is not None:
            call.gradients[name] = shown(to_array(slope))


def from_array(array: np.ndarray) -> Any:
    """An input, as the framework has it."""
    return tf.constant(array)
