"""What a Keras model does in one eager run, written down: each call of a layer, of its loop over
the steps, or of a cell alone (capture.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.capture import Call, Layer
from common.masks import has_gaps, lengths_of, repeats, with_zeros, without_gaps, zero_at
from common.parameters import Arrays

CELLS = {keras.layers.SimpleRNNCell: "rnn", keras.layers.GRUCell: "gru",
         keras.layers.LSTMCell: "lstm"}  # fmt: skip

Found = list[tuple[Layer, Any]]
Live = list[tuple[Call, str, Any, Callable[[np.ndarray], np.ndarray]]]
"""Of every call the tensors that went in, by name, and how an array of each is written down."""


@contextmanager
def watching(found: Found, tape: Any) -> Iterator[Live]:
    """Write down every call of the layers. tape: by which gradients will be asked for, or None"""
    live: Live = []
    changed = []
    for layer, module in found:
        if not is_whole(module):
            changed.append((module, "call", watch_cell(layer, module, tape, live)))
            continue
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
        shown = np.asarray
        if mask is not None:
            kept = to_array(mask)
            arrays["lengths"] = lengths_of(kept)
            if has_gaps(kept):
                arrays = close_gaps(layer, arrays, kept, len(directions(module)) == 2)
                shown = partial(without_gaps, mask=kept)
        active = [c for side in cells(module) for c in side if c.dropout or c.recurrent_dropout]
        if training and active:
            layer.unjudged.append("a dropout was active")
        layer.dtype = keras.backend.standardize_dtype(outputs.dtype)
        layer.calls.append(Call(arrays))
        live.append((layer.calls[-1], "X", sequences, shown))
        if len(given) <= 2 and len(directions(module)) == 1:
            for name, tensor in zip(("H0", "C0"), given, strict=False):
                live.append((layer.calls[-1], name, tensor, lambda array: array[None]))
        return made

    return call


def watch_cell(layer: Layer, module: Any, tape: Any, live: Live) -> Callable[..., Any]:
    """The same call of a cell, a step of a sequence, which is written down."""
    own = module.call

    def call(inputs: Any, states: Any, training: Any = False) -> Any:
        first = tf.nest.flatten(states)
        eager = tf.executing_eagerly() and hasattr(inputs, "numpy")
        if eager and tape is not None:
            for tensor in (inputs, *first):
                tape.watch(tensor)
        outputs, after = own(inputs, states, training=training)
        if not eager:
            return outputs, after
        arrays = {"X": to_array(inputs)[:, None], "outputs": to_array(outputs)[:, None]}
        for part, before, last in zip("HC", first, tf.nest.flatten(after), strict=False):
            arrays |= {f"{part}0": to_array(before)[None], part: to_array(last)[None]}
        if training and (module.dropout or module.recurrent_dropout):
            layer.unjudged.append("a dropout was active")
        layer.dtype = keras.backend.standardize_dtype(outputs.dtype)
        layer.calls.append(Call(arrays))
        live.append((layer.calls[-1], "X", inputs, lambda array: array[:, None]))
        for part, before in zip("HC", first, strict=False):
            live.append((layer.calls[-1], f"{part}0", before, lambda array: array[None]))
        return outputs, after

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


def close_gaps(layer: Layer, arrays: Arrays, mask: np.ndarray, both: bool) -> Arrays:
    """What went in and came out without the masked steps: the same to a recurrent layer. both: in
    both directions"""
    found = dict(arrays, X=without_gaps(arrays["X"], mask))
    layer.notes.append("Captured: X and outputs without the steps that its mask leaves out.")
    if arrays["outputs"].ndim == 3:
        if not (zero_at if both else repeats)(arrays["outputs"], mask):
            usual = "zero" if both else "those of the step before"
            layer.unjudged.append(f"its outputs at masked steps are not {usual}")
        closed = without_gaps(arrays["outputs"], mask)
        found["outputs"] = with_zeros(closed, arrays["lengths"]) if both else closed
    return found


def directions(module: Any) -> list[Any]:
    """A layer, or the two of a Bidirectional."""
    both = isinstance(module, keras.layers.Bidirectional)
    return [module.forward_layer, module.backward_layer] if both else [module]


def cells(module: Any) -> list[list[Any]]:
    """By direction, the cells from the bottom up; a Keras layer other than RNN has one, and a cell
    is one."""
    found = []
    for sub in directions(module):
        cell = getattr(sub, "cell", sub)
        found.append(list(cell.cells) if isinstance(cell, keras.layers.StackedRNNCells) else [cell])
    return found


def is_whole(module: Any) -> bool:
    """Whether it is a recurrent layer of Keras' own cells."""
    if isinstance(module, keras.layers.Bidirectional):
        return all(is_whole(sub) for sub in directions(module))
    known = tuple(CELLS)
    return isinstance(module, keras.layers.RNN) and all(
        isinstance(cell, known) for side in cells(module) for cell in side
    )


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers at this moment; float32 for bfloat16, which NumPy lacks."""
    found = tf.convert_to_tensor(tensor).numpy()
    return found.copy() if found.dtype.kind in "iufb" else found.astype("float32")
