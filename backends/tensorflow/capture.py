"""Capture a live model: its Keras layers SimpleRNN, GRU and LSTM, RNN over their cells, and
Bidirectional, which are watched in one eager run.

    from backends.tensorflow.capture import capture

    capture(model, "mine.safetensors", X)

It sees layers inside of layers and models, functional and sequential ones, masks, and layers that
keep their state.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.capture import Call, Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

CELLS = {keras.layers.SimpleRNNCell: "rnn", keras.layers.GRUCell: "gru",
         keras.layers.LSTMCell: "lstm"}  # fmt: skip
KINDS = {"W": "kernel", "U": "recurrent_kernel", "b": "bias"}

Found = list[tuple[Layer, Any]]
Live = list[tuple[Layer, Call, dict[str, Any]]]
"""Of every call, the tensors that went in."""


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
    Bidirectional are its two directions."""
    found: Found = []
    inside: set[int] = set()
    for module in model._flatten_layers(include_self=True, recursive=True):
        if id(module) in inside or not is_whole(module):
            continue
        if isinstance(module, keras.layers.Bidirectional):
            inside |= {id(module.forward_layer), id(module.backward_layer)}
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
    masked = any("lengths" in call.arrays for call in layer.calls)
    if masked and any(sub.zero_output_for_mask for sub in directions(module)):
        layer.unjudged.append("zero_output_for_mask is set, and there is a mask")


def told(layer: Layer, module: Any) -> dict[str, str]:
    """The options, as conformance/models/frameworks.py calls them."""
    first, cell = directions(module)[0], cells(module)[0][0]
    both = isinstance(module, keras.layers.Bidirectional)
    found = {"merge_mode": str(module.merge_mode or "concat")} if both else {}
    found |= {} if both else {"go_backwards": str(bool(first.go_backwards))}
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


def directions(module: Any) -> list[Any]:
    """A layer, or the two of a Bidirectional."""
    both = isinstance(module, keras.layers.Bidirectional)
    return [module.forward_layer, module.backward_layer] if both else [module]


def cells(module: Any) -> list[list[Any]]:
    """By direction, the cells from the bottom up; a Keras layer other than RNN has one."""
    found = []
    for sub in directions(module):
        cell = getattr(sub, "cell", None)
        found.append(list(cell.cells) if isinstance(cell, keras.layers.StackedRNNCells) else [cell])
    return found


def rest(model: Any, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {id(v) for _, module in found for v in module.variables}
    return {v.path: to_array(v) for v in model.variables if id(v) not in own}


@contextmanager
def watching(found: Found, tape: Any) -> Iterator[Live]:
    """Write down every call of the layers. tape: by which gradients will be asked for, or None"""
    live: Live = []
    changed = []
    for layer, module in found:
        ends: list[tuple[Any, Any]] = []
        for sub in directions(module):
            changed.append((sub, "inner_loop", loop(sub, ends)))
        changed.append((module, "call", watch(layer, module, ends, tape, live)))
    for module, name, function in changed:
        # Keras' own way to set an attribute would look into it for layers and weights.
        object.__setattr__(module, name, function)
    try:
        yield live
    finally:
        for module, name, _ in changed:
            object.__delattr__(module, name)


def loop(sub: Any, ends: list[tuple[Any, Any]]) -> Callable[..., Any]:
    """The same inner loop over the steps, which writes down the states before and after."""
    own = sub.inner_loop

    def inner_loop(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        made = own(sequences, initial_state, mask, training)
        ends.append((initial_state, made[2]))
        return made

    return inner_loop


def watch(
    layer: Layer, module: Any, ends: list[tuple[Any, Any]], tape: Any, live: Live
) -> Callable[..., Any]:
    """The same call, which is written down."""
    own = module.call

    def call(
        sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
    ) -> Any:
        more = {} if training is None else {"training": training}
        eager = tf.executing_eagerly() and hasattr(sequences, "numpy")
        given = [] if initial_state is None else tf.nest.flatten(initial_state)
        if eager and tape is not None:
            for tensor in (sequences, *given):
                tape.watch(tensor)
        ends.clear()
        made = own(sequences, initial_state=initial_state, mask=mask, **more)
        if not eager:  # Keras builds a model by calling it with symbols
            return made
        several = isinstance(made, (list, tuple))
        two = several and getattr(module, "merge_mode", "") is None
        outputs = tf.concat(made[:2], -1) if two else made[0] if several else made
        arrays = {"X": to_array(sequences), "outputs": to_array(outputs)}
        arrays |= states(layer, module, ends)
        if mask is not None:
            arrays["lengths"] = lengths(layer, to_array(mask))
        active = [c for side in cells(module) for c in side if c.dropout or c.recurrent_dropout]
        if training and active:
            layer.unjudged.append("a dropout was active")
        layer.dtype = keras.backend.standardize_dtype(outputs.dtype)
        layer.calls.append(Call(arrays))
        inside = {"X": sequences}
        if len(given) <= 2 and len(directions(module)) == 1:
            inside |= dict(zip(("H0", "C0"), given, strict=False))
        live.append((layer, layer.calls[-1], inside))
        return made

    return call


def states(layer: Layer, module: Any, ends: list[tuple[Any, Any]]) -> Arrays:
    """The states before and after, (L·D, n, p): each layer's directions together."""
    parts, D = ("H", "C") if layer.cell == "lstm" else ("H",), len(directions(module))
    if len(ends) != D:
        return {}  # a kernel that computes both directions at once
    found: dict[str, list[np.ndarray]] = {}
    for level in range(len(cells(module)[0])):
        for before, after in ends:
            for sign, values in (("0", before), ("", after)):
                flat = tf.nest.flatten(values)
                for k, part in enumerate(parts):
                    array = to_array(flat[level * len(parts) + k])
                    found.setdefault(f"{part}{sign}", []).append(array)
    if any(len({array.shape for array in arrays}) > 1 for arrays in found.values()):
        return {}
    return {name: np.stack(arrays) for name, arrays in found.items()}


def lengths(layer: Layer, mask: np.ndarray) -> np.ndarray:
    """How long each example is, (n,), if the mask (n, T) says no more than that."""
    found = mask.sum(1).astype("int64")
    if (mask != (np.arange(mask.shape[1]) < found[:, None])).any():
        layer.unjudged.append("its mask leaves out steps that are not at the end")
    return found


def is_whole(module: Any) -> bool:
    """Whether it is a recurrent layer of Keras' own cells."""
    if isinstance(module, keras.layers.Bidirectional):
        return all(is_whole(sub) for sub in directions(module))
    known = tuple(CELLS)
    return isinstance(module, keras.layers.RNN) and all(
        isinstance(cell, known) for side in cells(module) for cell in side
    )


def differentiate(found: Found, live: Live, tape: Any, value: Any) -> None:
    """The loss's gradients, of weights and of what went into the layers."""
    weights = [
        (layer, name, weight)
        for layer, module in found
        if layer.calls
        for name, weight in tensors(module)[1].items()
    ]
    inside = [(call, name, values[name]) for _, call, values in live for name in values]
    wanted = [weight.value for *_, weight in weights] + [tensor for *_, tensor in inside]
    slopes = [None if s is None else tf.convert_to_tensor(s) for s in tape.gradient(value, wanted)]
    for (layer, name, _), slope in zip(weights, slopes, strict=False):
        if slope is not None:
            layer.gradients[name] = to_array(slope)
    for (call, name, _), slope in zip(inside, slopes[len(weights) :], strict=True):
        if slope is not None:
            call.gradients[name] = to_array(slope)[(None,) * (name != "X")]


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers at this moment; float32 for bfloat16, which NumPy lacks."""
    found = tf.convert_to_tensor(tensor).numpy()
    return found.copy() if found.dtype.kind in "iufb" else found.astype("float32")


def from_array(array: np.ndarray) -> Any:
    """An input, as the framework has it."""
    return tf.constant(array)
