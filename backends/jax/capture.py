"""Capture a live model: its nnx.RNN over Flax's cells, these cells in a loop, and its
nnx.Bidirectional, watched in one run; or the same of Linen, as a module with its variables.

    from backends.jax.capture import capture

    capture(model, "mine.safetensors", X)
    capture(model.bind(variables), "mine.safetensors", X)  # of Linen

It sees modules inside of modules. What runs inside of jax.jit has no numbers that could be written
down: call capture with the model itself, not with a compiled function of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
from flax import linen, nnx

from backends.jax import linen as of_linen
from backends.jax.watching import (
    CELLS,
    Watch,
    concatenates,
    describe_cells,
    to_array,
    watching,
)
from common.capture import Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

GATES = {"i": "i", "f": "f_", "o": "o", "c": "g"}
"""An LSTMCell's gates as its parts are called: ii, if_, io, ig."""

Found = list[tuple[Layer, Any]]


def capture(
    model: nnx.Module | linen.Module,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], jax.Array] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients of the weights and of what went into the layers
    are written as well, from a second run, of a copy of the model

    Raises BadInput if no recurrent layer ran.
    """
    if isinstance(model, linen.Module):
        return of_linen.capture(model, path, *inputs, loss=loss, **options)
    found, watch = find(model), Watch()
    twin = None if loss is None else nnx.clone(model)
    with watching(found, watch):
        outputs = model(*inputs, **options)
    value = None
    if loss is not None and twin is not None:
        value = differentiate(found, watch, twin, lambda m: loss(m(*inputs, **options)))
    first = jax.tree.leaves(outputs)[0]
    layers = [layer for layer, _ in found]
    device = ", ".join(map(str, first.devices()))
    write_capture(
        Path(path), Capture("flax", flax.__version__, device, layers, rest(model, found), value)
    )
    return outputs


def find(model: nnx.Module) -> Found:
    """The recurrent layers of a model."""
    found: Found = []
    for place, module in walk(model):
        cell = next(c for k, c in CELLS.items() if isinstance(cells(module)[0], k))
        name = unique(".".join(map(str, place)), [layer.name for layer, _ in found])
        found.append((describe(name, module, cell), module))
    return found


def walk(model: nnx.Module) -> Iterator[tuple[tuple, Any]]:
    """The recurrent layers in a model, and where they stand. Those inside of a Bidirectional are
    its two directions, and cells inside of a layer are the layer's."""
    inside: set[int] = set()
    for place, module in sorted(nnx.iter_modules(model), key=lambda item: len(item[0])):
        if id(module) not in inside and is_whole(module):
            inside |= {id(part) for part in (*directions(module), *cells(module))}
            yield place, module


def describe(name: str, module: Any, cell: str) -> Layer:
    """A layer before it ran: what it is, and its weights."""
    found = tensors(module)
    own = weights(module)
    names = [name for sides in found for kinds in sides for name in kinds.values()]
    kept = {name: to_array(own[name]) for name in names}
    layer = Layer(name, type(module).__name__, "flax", cell, {}, found, kept)
    describe_cells(layer, cells(module))
    if isinstance(module, nnx.Bidirectional) and not concatenates(module.merge_fn):
        layer.unjudged.append("its merge_fn is one of your own")
    return layer


def tensors(module: Any) -> Tensors:
    """Of its directions, the names of the weights."""
    both = isinstance(module, nnx.Bidirectional)
    own, row = weights(module), []
    for side in ("forward_rnn.", "backward_rnn.") if both else ("",):
        kinds = {"W": "dense_i.kernel", "U": "dense_h.kernel", "b_x": "dense_i.bias",
                 "b_h": "dense_h.bias"}  # fmt: skip
        stem = "" if is_cell(module) else f"{side}cell."
        if f"{stem}ii.kernel" in own:
            kinds = {}
            for gate, name in GATES.items():
                kinds |= {f"W:{gate}": f"i{name}.kernel", f"U:{gate}": f"h{name[:1]}.kernel"}
                kinds |= {f"b_x:{gate}": f"i{name}.bias", f"b_h:{gate}": f"h{name[:1]}.bias"}
        there = {kind: f"{stem}{name}" for kind, name in kinds.items()}
        row.append({kind: name for kind, name in there.items() if name in own})
    return [row]


def weights(module: Any) -> dict[str, Any]:
    """All parameters by name."""
    flat = nnx.to_flat_state(nnx.state(module, nnx.Param))
    return {".".join(map(str, place)): leaf[...] for place, leaf in flat}


def directions(module: Any) -> list[Any]:
    """A layer, or the two of a Bidirectional."""
    both = isinstance(module, nnx.Bidirectional)
    return [module.forward_rnn, module.backward_rnn] if both else [module]


def cells(module: Any) -> list[Any]:
    """Of each direction the cell; a cell is its own."""
    return [module] if is_cell(module) else [sub.cell for sub in directions(module)]


def is_cell(module: Any) -> bool:
    return isinstance(module, tuple(CELLS))


def rest(model: nnx.Module, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {f"{layer.name}." for layer, _ in found}
    every = weights(model)
    if any(layer.name == "model" and module is model for layer, module in found):
        return {}
    return {n: to_array(a) for n, a in every.items() if not n.startswith(tuple(own))}


def is_whole(module: Any) -> bool:
    """Whether it is a recurrent layer of Flax's own cells, or one of these."""
    if isinstance(module, nnx.Bidirectional):
        return all(is_whole(sub) for sub in directions(module))
    return is_cell(module) or (isinstance(module, nnx.RNN) and is_cell(module.cell))


def differentiate(
    found: Found, watch: Watch, twin: nnx.Module, loss: Callable[[Any], jax.Array]
) -> float:
    """The loss, and its gradients, in a copy of the model, twin."""

    def value(model: nnx.Module, nudges: dict[int, Any]) -> jax.Array:
        pairs = zip(found, walk(model), strict=True)
        with watching([(layer, module) for (layer, _), (_, module) in pairs], Watch(nudges)):
            return loss(model)

    number, slopes = nnx.value_and_grad(value, argnums=(0, 1))(twin, watch.nothing())
    flat = {".".join(map(str, p)): leaf[...] for p, leaf in nnx.to_flat_state(slopes[0])}
    for layer, _ in found:
        for name in layer.weights:
            whole = f"{layer.name}.{name}"
            layer.gradients[name] = to_array(flat[whole] if whole in flat else flat[name])
    watch.sloped(slopes[1])
    return float(number)


def from_array(array: np.ndarray) -> jax.Array:
    """An input, as the framework has it."""
    return jax.numpy.asarray(array)
