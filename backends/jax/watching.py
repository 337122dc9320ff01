"""What a Flax model does in one run, written down: each call of a layer, or of a cell alone
(capture.py, linen.py).

In a second run, for gradients, every X that was written down gets a nudge of zeros, by which JAX
can differentiate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from flax import nnx

from common.capture import Call, Layer
from common.parameters import Arrays

CELLS = {nnx.SimpleCell: "rnn", nnx.GRUCell: "gru", nnx.LSTMCell: "lstm",
         nnx.OptimizedLSTMCell: "lstm"}  # fmt: skip

ACTIVATIONS = {
    "activation_fn": ("tanh", "relu", "sigmoid", "elu", "gelu"),
    "gate_fn": ("sigmoid", "tanh", "relu"),
}
"""Those whose names say what they are."""


@dataclass
class Watch:
    """The calls of one run.

    nudges: of a second run, by the number of a call what is added to its X; None: calls are noted
    count:  of the calls of watched layers so far      inside: in how many layers this is
    ends:   of the RNNs in the layer that runs, the carry before and after
    noted:  the number, the layer, the call, and where X lacks an axis
    """

    nudges: dict[int, Any] | None = None
    count: int = 0
    inside: int = 0
    ends: list[tuple[Any, Any]] = field(default_factory=list)
    noted: list[tuple[int, Layer, Call, tuple]] = field(default_factory=list)

    def nudged(self, inputs: Any) -> Any:
        """X of the next call, with what is added to it."""
        self.count += 1
        nudge = (self.nudges or {}).get(self.count)
        return inputs if nudge is None else inputs + nudge

    def note(self, layer: Layer, inputs: Any, outputs: Any, axis: int, lengths: Any = None) -> None:
        """Write down a call, unless it is of tracers, which have no numbers. axis: of time in
        inputs, -1 of a cell's"""
        leaves = jax.tree.leaves((inputs, outputs, self.ends))
        if self.nudges is not None or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return
        if inputs.ndim not in ((2, 3) if axis >= 0 else (1, 2)):
            layer.unjudged.append(f"its input has {inputs.ndim} axes")
        alone = inputs.ndim == (2 if axis >= 0 else 1)
        lacking = (None,) if alone else ()
        if axis < 0:
            axis, where = 0, (None, *lacking)
        else:
            axis += alone * (layer.options["time_major"] != "True")
            where = (slice(None),) * (1 - axis) + lacking if alone else ()
        arrays = {"X": to_array(inputs)[where], "outputs": to_array(outputs)[where]}
        arrays |= self.states(layer, alone)
        if lengths is not None:
            arrays["lengths"] = to_array(lengths).astype("int64")
        layer.time, layer.dtype = axis, str(outputs.dtype)
        layer.calls.append(Call(arrays))
        self.noted.append((self.count, layer, layer.calls[-1], where))

    def states(self, layer: Layer, alone: bool) -> Arrays:
        """The states before and after, (D, n, p)."""
        found: Arrays = {}
        for sign, which in (("0", 0), ("", 1)):
            for k, part in enumerate(("C", "H") if layer.cell == "lstm" else ("H",)):
                values = [jax.tree.leaves(end[which])[k] for end in self.ends]
                stacked = np.stack([to_array(value) for value in values])
                found[f"{part}{sign}"] = stacked[:, None] if alone else stacked
        return found

    def nothing(self) -> dict[int, Any]:
        """A nudge of zeros for every call that was noted."""
        return {
            number: jax.numpy.zeros(call.arrays["X"].shape, call.arrays["X"].dtype)[taken(where)]
            for number, _, call, where in self.noted
            if call.arrays["X"].dtype.kind == "f"
        }

    def sloped(self, slopes: dict[int, Any]) -> None:
        """Write down the gradients of what went in."""
        for number, _, call, where in self.noted:
            if number in slopes:
                call.gradients["X"] = to_array(slopes[number])[where]


def taken(where: tuple) -> tuple:
    """The index that undoes one which adds axes."""
    return tuple(0 if axis is None else axis for axis in where)


@contextmanager
def watching(found: list[tuple[Layer, Any]], watch: Watch) -> Iterator[None]:
    """Have the calls of nnx' layers told to ``watch``."""
    known = {id(module): layer for layer, module in found}
    # A cell of one's own may change what its class makes.
    cells = {type(module) for _, module in found if isinstance(module, tuple(CELLS))}
    kinds: dict[type, Any] = {nnx.RNN: watch_rnn, nnx.Bidirectional: watch_both}
    kinds |= dict.fromkeys(cells, watch_cell)
    before = {kind: vars(kind).get("__call__") for kind in kinds}
    for kind, make in kinds.items():
        kind.__call__ = make(kind.__call__, known, watch)
    try:
        yield
    finally:
        for kind, call in before.items():
            if call is None:
                del kind.__call__
            else:
                kind.__call__ = call


def watch_rnn(own: Callable[..., Any], found: dict[int, Layer], watch: Watch) -> Callable[..., Any]:
    """The same call of an RNN, whose states are written down, and all of it if it is a layer of the
    model itself."""

    def call(self: Any, inputs: Any, *, return_carry: bool | None = None, **options: Any) -> Any:
        layer = found.get(id(self))
        inputs = watch.nudged(inputs) if layer else inputs
        return run_rnn(self, own, inputs, return_carry, options, layer, watch)

    return call


def run_rnn(
    self: Any, own: Callable[..., Any], inputs: Any, return_carry: bool | None,
    options: dict[str, Any], layer: Layer | None, watch: Watch,
) -> Any:  # fmt: skip
    """Of nnx or Linen."""
    asked = self.return_carry if return_carry is None else return_carry
    chosen = {k: getattr(self, k) for k in ("time_major", "reverse", "keep_order")}
    chosen |= {k: v for k, v in options.items() if k in chosen and v is not None}
    axis = 0 if chosen["time_major"] else inputs.ndim - 2
    if options.get("initial_carry") is None:
        shape = inputs.shape[:axis] + inputs.shape[axis + 1 :]
        options["initial_carry"] = first_carry(self, options, shape)
    carry, outputs = own(self, inputs, return_carry=True, **options)
    watch.ends.append((options["initial_carry"], carry))
    if layer:
        layer.options |= {name: str(bool(value)) for name, value in chosen.items()}
        watch.note(layer, inputs, outputs, axis, options.get("seq_lengths"))
        watch.ends.clear()
    return (carry, outputs) if asked else outputs


def first_carry(self: Any, options: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """The carry that an RNN begins with if it is given none."""
    if not isinstance(self, nnx.RNN):
        key = options.get("init_key")
        return self.cell.initialize_carry(jax.random.key(0) if key is None else key, shape)
    rngs = self.rngs if options.get("rngs") is None else options["rngs"]
    return self.cell.initialize_carry(
        shape, rngs.carry.fork() if isinstance(rngs, nnx.Rngs) else rngs
    )


def watch_both(
    own: Callable[..., Any], found: dict[int, Layer], watch: Watch
) -> Callable[..., Any]:
    """The same call of a Bidirectional, which is written down."""

    def call(self: Any, inputs: Any, **options: Any) -> Any:
        layer = found.get(id(self))
        return run_both(self, own, watch.nudged(inputs) if layer else inputs, options, layer, watch)

    return call


def run_both(
    self: Any, own: Callable[..., Any], inputs: Any, options: dict[str, Any],
    layer: Layer | None, watch: Watch,
) -> Any:  # fmt: skip
    """Of nnx or Linen."""
    watch.ends.clear()
    made = own(self, inputs, **options)
    if layer:
        major = options.get("time_major")
        major = self.time_major if major is None else major
        asked = options.get("return_carry")
        asked = self.return_carry if asked is None else asked
        layer.options["time_major"] = str(bool(major))
        outputs = made[1] if asked else made
        axis = 0 if major else inputs.ndim - 2
        watch.note(layer, inputs, outputs, axis, options.get("seq_lengths"))
        watch.ends.clear()
    return made


def watch_cell(
    own: Callable[..., Any], found: dict[int, Layer], watch: Watch
) -> Callable[..., Any]:
    """The same call of a cell, which is written down if it is no layer's: a step of a sequence."""

    def call(self: Any, carry: Any, inputs: Any) -> Any:
        layer = found.get(id(self))
        if layer is None:
            return own(self, carry, inputs)
        return run_cell(self, own, carry, watch.nudged(inputs), layer, watch)

    return call


def run_cell(
    self: Any, own: Callable[..., Any], carry: Any, inputs: Any, layer: Layer, watch: Watch
) -> Any:
    """Of nnx or Linen."""
    after, outputs = own(self, carry, inputs)
    layer.options["time_major"] = "True"
    watch.ends.append((carry, after))
    watch.note(layer, inputs, outputs, -1)
    watch.ends.clear()
    return after, outputs


def describe_cells(layer: Layer, cells: list[Any]) -> None:
    """Say which activations they have, and what the suite cannot compute."""
    for option, known in ACTIVATIONS.items():
        if option == "gate_fn" and layer.cell == "rnn":
            continue
        used = {getattr(getattr(cell, option), "__name__", "") for cell in cells}
        if len(used) > 1 or not used <= set(known):
            layer.unjudged.append(f"its {option} is one of your own, or several")
        else:
            layer.options[option] = used.pop()
    if any(getattr(cell, "residual", False) for cell in cells):
        layer.unjudged.append("its cell adds its input to its output")


def concatenates(merge: Callable[..., Any]) -> bool:
    """Whether it puts the backward direction's outputs behind the forward ones'."""
    made = np.asarray(merge(np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")))
    return made.tolist() == [[1.0, 0.0]]


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers; float32 for bfloat16, which NumPy lacks."""
    found = np.array(tensor)
    return found if found.dtype.kind in "iufb" else found.astype("float32")
