"""Capture a live model: its nnx.RNN over Flax's cells, and nnx.Bidirectional, watched in one run.

    from backends.jax.capture import capture

    capture(model, "mine.safetensors", X)

It sees modules inside of modules. What runs inside of jax.jit has no numbers that could be written
down: call capture with the model itself, not with a compiled function of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
from flax import nnx

from common.capture import Call, Capture, Layer, Tensors, unique, write_capture
from common.parameters import Arrays

CELLS = {nnx.SimpleCell: "rnn", nnx.GRUCell: "gru", nnx.LSTMCell: "lstm",
         nnx.OptimizedLSTMCell: "lstm"}  # fmt: skip

GATES = {"i": "i", "f": "f_", "o": "o", "c": "g"}
"""An LSTMCell's gates as its parts are called: ii, if_, io, ig."""

Found = list[tuple[Layer, Any]]


def capture(
    model: nnx.Module,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], jax.Array] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients of the weights are written as well, from a second
    run, of a copy of the model

    Raises BadInput if no recurrent layer ran.
    """
    found = find(model)
    twin = None if loss is None else nnx.clone(model)
    with watching(found):
        outputs = model(*inputs, **options)
    value = None
    if loss is not None and twin is not None:
        value = differentiate(found, twin, lambda m: loss(m(*inputs, **options)))
    first = jax.tree.leaves(outputs)[0]
    layers = [layer for layer, _ in found]
    device = ", ".join(map(str, first.devices()))
    write_capture(
        Path(path), Capture("flax", flax.__version__, device, layers, rest(model, found), value)
    )
    return outputs


def find(model: nnx.Module) -> Found:
    """The recurrent layers of a model. Those inside of a Bidirectional are its two directions."""
    modules = sorted(nnx.iter_modules(model), key=lambda item: len(item[0]))
    found: Found = []
    inside: set[int] = set()
    for place, module in modules:
        if id(module) in inside or not is_whole(module):
            continue
        if isinstance(module, nnx.Bidirectional):
            inside |= {id(module.forward_rnn), id(module.backward_rnn)}
        cell = next(c for k, c in CELLS.items() if isinstance(directions(module)[0].cell, k))
        name = unique(".".join(map(str, place)), [layer.name for layer, _ in found])
        found.append((describe(name, module, cell), module))
    return found


def describe(name: str, module: Any, cell: str) -> Layer:
    """A layer before it ran: what it is, and its weights."""
    found = tensors(module)
    own = weights(module)
    names = [name for sides in found for kinds in sides for name in kinds.values()]
    kept = {name: to_array(own[name]) for name in names}
    layer = Layer(name, type(module).__name__, "flax", cell, {}, found, kept)
    acts = {"activation_fn": ("tanh", "relu", "sigmoid", "elu", "gelu")}
    acts |= {} if cell == "rnn" else {"gate_fn": ("sigmoid", "tanh", "relu")}
    for option, known in acts.items():
        used = {getattr(getattr(s.cell, option), "__name__", "") for s in directions(module)}
        if len(used) > 1 or not used <= set(known):
            layer.unjudged.append(f"its {option} is one of your own, or several")
        else:
            layer.options[option] = used.pop()
    if any(getattr(sub.cell, "residual", False) for sub in directions(module)):
        layer.unjudged.append("its cell adds its input to its output")
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
        if f"{side}cell.ii.kernel" in own:
            kinds = {}
            for gate, name in GATES.items():
                kinds |= {f"W:{gate}": f"i{name}.kernel", f"U:{gate}": f"h{name[:1]}.kernel"}
                kinds |= {f"b_x:{gate}": f"i{name}.bias", f"b_h:{gate}": f"h{name[:1]}.bias"}
        there = {kind: f"{side}cell.{name}" for kind, name in kinds.items()}
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


def concatenates(merge: Callable[..., Any]) -> bool:
    """Whether it puts the backward direction's outputs behind the forward ones'."""
    made = np.asarray(merge(np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")))
    return made.tolist() == [[1.0, 0.0]]


def rest(model: nnx.Module, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    own = {f"{layer.name}." for layer, _ in found}
    every = weights(model)
    if any(layer.name == "model" and module is model for layer, module in found):
        return {}
    return {n: to_array(a) for n, a in every.items() if not n.startswith(tuple(own))}


@contextmanager
def watching(found: Found) -> Iterator[None]:
    """Write down every call of the layers."""
    known = {id(module): (layer, module) for layer, module in found}
    ends: list[tuple[Any, Any]] = []
    own = {kind: kind.__call__ for kind in (nnx.RNN, nnx.Bidirectional)}
    nnx.RNN.__call__ = watch(own[nnx.RNN], known, ends)
    nnx.Bidirectional.__call__ = watch_both(own[nnx.Bidirectional], known, ends)
    try:
        yield
    finally:
        for kind, call in own.items():
            kind.__call__ = call


def watch(
    own: Callable[..., Any], known: dict[int, tuple[Layer, Any]], ends: list[tuple[Any, Any]]
) -> Callable[..., Any]:
    """The same call of an RNN, whose states are written down, and all of it if it is a layer of the
    model itself."""

    def call(self: Any, inputs: Any, *, return_carry: bool | None = None, **options: Any) -> Any:
        asked = self.return_carry if return_carry is None else return_carry
        chosen = {k: getattr(self, k) for k in ("time_major", "reverse", "keep_order")}
        chosen |= {k: v for k, v in options.items() if k in chosen and v is not None}
        axis = 0 if chosen["time_major"] else inputs.ndim - 2
        if options.get("initial_carry") is None:
            shape = inputs.shape[:axis] + inputs.shape[axis + 1 :]
            rngs = self.rngs if options.get("rngs") is None else options["rngs"]
            rngs = rngs.carry.fork() if isinstance(rngs, nnx.Rngs) else rngs
            options["initial_carry"] = self.cell.initialize_carry(shape, rngs)
        carry, outputs = own(self, inputs, return_carry=True, **options)
        ends.append((options["initial_carry"], carry))
        if id(self) in known:
            layer = known[id(self)][0]
            layer.options |= {name: str(bool(value)) for name, value in chosen.items()}
            note(layer, inputs, outputs, ends, options.get("seq_lengths"), axis)
            ends.clear()
        return (carry, outputs) if asked else outputs

    return call


def watch_both(
    own: Callable[..., Any], known: dict[int, tuple[Layer, Any]], ends: list[tuple[Any, Any]]
) -> Callable[..., Any]:
    """The same call of a Bidirectional, which is written down."""

    def call(self: Any, inputs: Any, **options: Any) -> Any:
        ends.clear()
        made = own(self, inputs, **options)
        if id(self) in known:
            layer = known[id(self)][0]
            major = options.get("time_major")
            major = self.time_major if major is None else major
            asked = options.get("return_carry")
            asked = self.return_carry if asked is None else asked
            layer.options["time_major"] = str(bool(major))
            axis = 0 if major else inputs.ndim - 2
            outputs = made[1] if asked else made
            note(layer, inputs, outputs, ends, options.get("seq_lengths"), axis)
            ends.clear()
        return made

    return call


def note(
    layer: Layer, inputs: Any, outputs: Any, ends: list[tuple[Any, Any]], lengths: Any, axis: int
) -> None:
    """Write down a call, unless it is of tracers, which have no numbers."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((inputs, outputs, ends))):
        return
    if inputs.ndim not in (2, 3):
        layer.unjudged.append(f"its input has {inputs.ndim} axes")
    alone = (None,) if inputs.ndim == 2 else ()
    axis = axis + len(alone) * (layer.options["time_major"] != "True")
    where = (slice(None),) * (1 - axis) + alone if alone else ()
    arrays = {"X": to_array(inputs)[where], "outputs": to_array(outputs)[where]}
    parts = ("C", "H") if layer.cell == "lstm" else ("H",)
    for sign, which in (("0", 0), ("", 1)):
        for k, part in enumerate(parts):
            values = [jax.tree.leaves(end[which])[k] for end in ends]
            stacked = np.stack([to_array(value) for value in values])
            arrays[f"{part}{sign}"] = stacked[:, None] if alone else stacked
    if lengths is not None:
        arrays["lengths"] = to_array(lengths).astype("int64")
    layer.time, layer.dtype = axis, str(outputs.dtype)
    layer.calls.append(Call(arrays))


def is_whole(module: Any) -> bool:
    """Whether it is a recurrent layer of Flax's own cells."""
    if isinstance(module, nnx.Bidirectional):
        return all(is_whole(sub) for sub in directions(module))
    return isinstance(module, nnx.RNN) and isinstance(module.cell, tuple(CELLS))


def differentiate(found: Found, twin: nnx.Module, value: Callable[[Any], jax.Array]) -> float:
    """The loss, and its gradients of the weights, in a copy of the model."""
    number, slopes = nnx.value_and_grad(value)(twin)
    flat = {".".join(map(str, place)): leaf[...] for place, leaf in nnx.to_flat_state(slopes)}
    for layer, _ in found:
        for name in layer.weights:
            whole = f"{layer.name}.{name}"
            layer.gradients[name] = to_array(flat[whole] if whole in flat else flat[name])
    return float(number)


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers; float32 for bfloat16, which NumPy lacks."""
    found = np.array(tensor)
    return found if found.dtype.kind in "iufb" else found.astype("float32")


def from_array(array: np.ndarray) -> jax.Array:
    """An input, as the framework has it."""
    return jax.numpy.asarray(array)
