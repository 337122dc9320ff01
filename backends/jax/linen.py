"""Capture a live model of Linen: its RNN over Linen's cells, these cells in a loop, and its
Bidirectional, by an interceptor of their calls (capture.py).

A module of Linen has its parts while it runs only, so a layer is found when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax
import jax
from flax import linen, traverse_util

from backends.jax.watching import (
    Watch,
    concatenates,
    describe_cells,
    run_both,
    run_cell,
    run_rnn,
    to_array,
)
from common.capture import Capture, Layer, unique, write_capture
from common.errors import BadInput
from common.parameters import Arrays

CELLS = {linen.SimpleCell: "rnn", linen.GRUCell: "gru", linen.LSTMCell: "lstm",
         linen.OptimizedLSTMCell: "lstm"}  # fmt: skip

LETTERS = {"lstm": {"i": "i", "f": "f", "o": "o", "c": "g"}, "gru": {"z": "z", "r": "r", "h": "n"}}
"""The gates as the parts of a cell are called: ii, hi."""

SIDES = ("forward_rnn", "backward_rnn")


@dataclass
class Found:
    """layers: by where they stand
    places: of each layer's weights by name, where they stand among the parameters"""

    watch: Watch
    layers: dict[tuple, Layer] = field(default_factory=dict)
    places: dict[tuple, dict[str, tuple]] = field(default_factory=dict)


def capture(
    model: linen.Module,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], jax.Array] | None = None,
    **options: Any,
) -> Any:
    """The same as capture.capture. Raises BadInput for a module without its variables."""
    if model.scope is None:
        expected = "a module with its variables: model.bind(variables)"
        raise BadInput(path, "capture", expected, "a module alone")
    module, variables = model.unbind()
    rngs = {name: rng.as_jax_rng() for name, rng in model.scope.rngs.items()}
    params = variables["params"]

    def run(params: Any, found: Found) -> Any:
        bound = module.bind({**variables, "params": params}, rngs=rngs, mutable=model.scope.mutable)
        with linen.intercept_methods(watching(found)):
            return bound(*inputs, **options)

    found = Found(Watch())
    outputs = run(params, found)
    value = None
    if loss is not None:
        value = differentiate(found, params, lambda p, watch: loss(run(p, Found(watch))))
    device = ", ".join(map(str, jax.tree.leaves(outputs)[0].devices()))
    layers = list(found.layers.values())
    write_capture(
        Path(path), Capture("flax", flax.__version__, device, layers, rest(params, found), value)
    )
    return outputs


def watching(found: Found) -> Callable[..., Any]:
    """An interceptor that has the calls of layers told to ``found.watch``."""
    watch = found.watch

    def intercept(next_: Callable[..., Any], args: tuple, options: dict, context: Any) -> Any:
        module = context.module
        cell = isinstance(module, tuple(CELLS))
        if context.method_name != "__call__" or not (cell or is_layer(module)):
            return next_(*args, **options)
        if watch.inside and cell:  # a layer's step
            return next_(*args, **options)

        def own(_: Any, *args: Any, **options: Any) -> Any:
            watch.inside += 1
            try:
                return next_(*args, **options)
            finally:
                watch.inside -= 1

        layer = None if watch.inside else found_at(module, found)
        *before, inputs = args if args else (options.pop("inputs"),)
        inputs = watch.nudged(inputs) if layer else inputs
        if cell:
            made = run_cell(module, own, before[0], inputs, layer, watch)
        elif isinstance(module, linen.Bidirectional):
            made = run_both(module, own, inputs, options, layer, watch)
        else:
            asked = options.pop("return_carry", None)
            made = run_rnn(module, own, inputs, asked, options, layer, watch)
        if layer and layer.calls and not layer.weights:
            describe(layer, module, found)
        return made

    return intercept


def is_layer(module: Any) -> bool:
    """Whether it is a recurrent layer of Linen's own cells."""
    if isinstance(module, linen.Bidirectional):
        return all(is_layer(getattr(module, side)) for side in SIDES)
    return isinstance(module, linen.RNN) and isinstance(module.cell, tuple(CELLS))


def found_at(module: Any, found: Found) -> Layer:
    """The layer that a module is, which it may have been before."""
    if module.path not in found.layers:
        cell = next(c for k, c in CELLS.items() if isinstance(cells(module)[0], k))
        name = unique(".".join(module.path), [layer.name for layer in found.layers.values()])
        found.layers[module.path] = Layer(name, type(module).__name__, "flax", cell, {}, [], {})
    return found.layers[module.path]


def cells(module: Any) -> list[Any]:
    """Of each direction the cell; a cell is its own."""
    if isinstance(module, linen.Bidirectional):
        return [getattr(module, side).cell for side in SIDES]
    return [module.cell if isinstance(module, linen.RNN) else module]


def describe(layer: Layer, module: Any, found: Found) -> None:
    """What a layer is, and its weights, once it ran: only then its cell has its place."""
    places, row = {}, []
    for cell, side in zip(cells(module), SIDES, strict=False):
        stem = f"{side}." * isinstance(module, linen.Bidirectional)
        there, kinds = traverse_util.flatten_dict(cell.variables["params"]), {}
        for gate, part in names(layer.cell):
            for kind, key in parts(gate, part).items():
                if key in there:
                    name = stem + ".".join(key)
                    kinds[kind], places[name] = name, (*cell.path, *key)
                    layer.weights[name] = to_array(there[key])
        row.append(kinds)
    layer.tensors, found.places[module.path] = [row], places
    describe_cells(layer, cells(module))
    if isinstance(module, linen.Bidirectional) and not concatenates(module.merge_fn):
        layer.unjudged.append("its merge_fn is one of your own")


def names(cell: str) -> list[tuple[str, str]]:
    """What stands behind a kind for each gate, and what the gate's parts end with."""
    return [(f":{gate}", part) for gate, part in LETTERS.get(cell, {}).items()] or [("", "")]


def parts(gate: str, part: str) -> dict[str, tuple[str, str]]:
    """By kind, where the tensors of a gate stand in a cell."""
    sides = {"W": (f"i{part}", "kernel"), "U": (f"h{part}", "kernel"),
             "b_x": (f"i{part}", "bias"), "b_h": (f"h{part}", "bias")}  # fmt: skip
    return {f"{kind}{gate}": key for kind, key in sides.items()}


def rest(params: Any, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {place for places in found.places.values() for place in places.values()}
    every = traverse_util.flatten_dict(params)
    return {".".join(p): to_array(array) for p, array in every.items() if p not in own}


def differentiate(found: Found, params: Any, loss: Callable[[Any, Watch], jax.Array]) -> float:
    """The loss, and its gradients, in a second run."""
    number, slopes = jax.value_and_grad(lambda p, nudges: loss(p, Watch(nudges)), argnums=(0, 1))(
        params, found.watch.nothing()
    )
    flat = traverse_util.flatten_dict(slopes[0])
    for place, names in found.places.items():
        layer = found.layers[place]
        layer.gradients |= {name: to_array(flat[where]) for name, where in names.items()}
    found.watch.sloped(slopes[1])
    return float(number)
