"""Further ways to compute the layers with JAX, made when they are asked for: Flax' older modules,
Linen, and Keras on JAX.

Their parameters keep their canonical names. How a library lays them out is part of what is
differentiated, so that the gradients need no way back, and nothing has to be frozen.
"""

import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from backends.jax.equations import ACTIVATIONS, Equations, State, chosen, dropped, ended, in_rows
from backends.jax.runtime import find_device, tanh
from common.errors import BadInput
from common.parameters import layer_parameters, parameter_shapes, state_of
from common.spec import ModelSpec

PARTS = {
    "rnn": {"h": ""},
    "gru": {"z": "z", "r": "r", "h": "n"},
    "lstm": {"i": "i", "f": "f", "o": "o", "c": "g"},
}
"""By gate, how the parts of Linen's cells are called behind i for the input, h for the state."""

HALVES = ("forward_rnn", "backward_rnn")
"""The two directions of a linen.Bidirectional."""


class Library(Equations):
    """A library's layers in the place of the equations; it says how they run, and a step of one."""

    @staticmethod
    def unsupported(spec: ModelSpec) -> str | None:
        """What the library's layers cannot express."""
        raise NotImplementedError

    def library(self) -> str:
        """Its name and version."""
        raise NotImplementedError

    def run(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[list[Array], list[State]]:
        """The outputs of every layer, (T, n, D·h), and the last state by layer and direction."""
        raise NotImplementedError

    def step(self, layer: int, backward: bool, params: State, x: Array, state: State) -> State:
        """The state after one step of one direction, by its own layer or cell   x: (n, d or D·h)"""
        raise NotImplementedError

    def steps(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[Array, State, list[State]]:
        """As those of the equations. A layer's outputs are its H, but its C shows only at the end:
        there it goes step by step."""
        X = ended(X, within)
        outputs, last = self.run(params, X, state, within, kept)
        outputs = [ended(H, within) for H in outputs]
        halves = [half for H in outputs for half in jnp.split(H, self.spec.directions, axis=-1)]
        trace = [{"H": half} for half in halves]
        if "C" in state:
            # Nobody asks for the gradients of this one.
            handed = enumerate(outputs[:-1], start=1)
            below = [X, *(dropped(H, layer, kept) for layer, H in handed)]
            given = lax.stop_gradient((params, below, state))
            for row, (layer, backward) in enumerate(self.spec.passes):
                trace[row]["C"] = ended(self.memory(layer, backward, *given, within), within)
        return outputs[-1], {part: in_rows([a[part] for a in last]) for part in state}, trace

    def memory(
        self,
        layer: int,
        backward: bool,
        params: State,
        below: list[Array],
        state: State,
        within: Array | None,
    ) -> Array:
        """C after every step of one direction, (T, n, h)   below: what goes into every layer"""

        def step(now: State, at: tuple[Array, Array | None]) -> tuple[State, Array]:
            x, own = at
            made = self.step(layer, backward, params, x, now)
            now = made if own is None else chosen(own, made, now)
            return now, now["C"]

        start = state_of(self.spec, state, layer, backward)
        return lax.scan(step, start, (below[layer - 1], within), reverse=backward)[1]


class LinenLayers(Library):
    """A linen.RNN for each layer, or a linen.Bidirectional of two, with a linen.Dense on top. The
    cells' activation is our tanh, as that of nnx (layers.py). Source: Flax 0.12,
    ``linen.recurrent``."""

    def __init__(self, spec: ModelSpec, dtype: jnp.dtype) -> None:
        from flax import linen

        super().__init__(spec, dtype)
        options = {"dtype": dtype, "param_dtype": dtype}
        kinds = {"rnn": linen.SimpleCell, "gru": linen.GRUCell, "lstm": linen.OptimizedLSTMCell}
        self.cells, self.layers = [], []
        for layer in range(1, spec.L + 1):
            phi = ACTIVATIONS[spec.activations[layer - 1]] if spec.cell == "rnn" else tanh
            cell = kinds[spec.cell](spec.units(layer), activation_fn=phi, **options)
            halves = [
                linen.RNN(cell.clone(), return_carry=True, time_major=True) for _ in spec.ways
            ]
            both = len(halves) == 2 and linen.Bidirectional(*halves, time_major=True)
            self.layers.append(both or halves[0])
            self.cells.append(cell)
        self.dense = linen.Dense(spec.q, **options)

    @staticmethod
    def unsupported(spec: ModelSpec) -> str | None:
        if spec.reset == "before":
            return "linen.GRUCell resets after the matrix product only"
        if spec.p is not None:
            return "linen.OptimizedLSTMCell has no projection"
        if spec.peepholes or spec.gate_clip is not None:
            return "linen.OptimizedLSTMCell has neither peepholes nor a clip of its gates"
        return None

    def library(self) -> str:
        return f"Flax {version('flax')}, linen"

    def run(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[list[Array], list[State]]:
        """Linen picks each example's state out, and computes its outputs on behind its end."""
        H, outputs, last = X, [], []
        lengths = None if within is None else within.sum(axis=(0, 2))
        for number, layer in enumerate(self.layers, start=1):
            cells = [{"cell": self.placed(params, number, way)} for way in self.spec.ways]
            carry = [self.carry(state_of(self.spec, state, number, w)) for w in self.spec.ways]
            one = len(cells) == 1
            weights = cells[0] if one else dict(zip(HALVES, cells, strict=True))
            carry, H = layer.apply(
                {"params": weights},
                H,
                initial_carry=carry[0] if one else tuple(carry),
                seq_lengths=lengths,
                return_carry=True,
            )
            H = ended(H, within)
            outputs.append(H)
            H = dropped(H, number, kept)
            last += [self.parts(half) for half in ([carry] if one else carry)]
        return outputs, last

    def step(self, layer: int, backward: bool, params: State, x: Array, state: State) -> State:
        weights = {"params": self.placed(params, layer, backward)}
        return self.parts(self.cells[layer - 1].apply(weights, self.carry(state), x)[0])

    def placed(self, params: State, layer: int, backward: bool) -> dict[str, dict[str, Array]]:
        """The parameters of a cell as Linen names them: a Dense for each gate and side."""
        p, found = layer_parameters(params, layer, backward), {}
        for gate, part in PARTS[self.spec.cell].items():
            bias = {"bias": p["b_xh"] if f"b_{gate}" not in p else p[f"b_{gate}"]}
            of_state = bias if self.spec.cell == "lstm" else {}
            found[f"i{part}"] = {"kernel": p[f"W_x{gate}"]} | ({} if of_state else bias)
            found[f"h{part}"] = {"kernel": p[f"W_h{gate}"]} | of_state
        if "b_hh" in p:
            found["hn"]["bias"] = p["b_hh"]
        return found

    def carry(self, state: State) -> Any:
        """A state as Linen's cells carry it: (C, H) of the LSTM, H of the others."""
        return (state["C"], state["H"]) if "C" in state else state["H"]

    def parts(self, carry: Any) -> State:
        return {"C": carry[0], "H": carry[1]} if self.spec.cell == "lstm" else {"H": carry}

    def output(self, params: State, H: Array) -> Array:
        weights = {"kernel": params["output.W_hq"], "bias": params["output.b_q"]}
        return self.dense.apply({"params": weights}, H)


class KerasLayers(Library):
    """Keras' layers on JAX, with its Dense on top."""

    def __init__(self, spec: ModelSpec, dtype: jnp.dtype) -> None:
        super().__init__(spec, dtype)
        self.stack = keras_layers().Stack(spec, jnp.dtype(dtype).name, jnp)

    @staticmethod
    def unsupported(spec: ModelSpec) -> str | None:
        if spec.cell == "rnn":
            return "keras.layers.SimpleRNN of float64 fails on JAX: its tanh is a float32"
        return keras_layers().unsupported(spec)

    def library(self) -> str:
        return f"Keras {version('keras')}"

    def run(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[list[Array], list[State]]:
        outputs, last = self.stack.run(params, X, state, within, kept)
        return [H.astype(X.dtype) for H in outputs], [self.cast(half, X) for half in last]

    def step(self, layer: int, backward: bool, params: State, x: Array, state: State) -> State:
        return self.cast(self.stack.step(layer, backward, params, x, state), x)

    def cast(self, state: State, like: Array) -> State:
        """In the dtype that was asked for, whatever Keras has computed it in."""
        return {part: tensor.astype(like.dtype) for part, tensor in state.items()}

    def output(self, params: State, H: Array) -> Array:
        return self.stack.output(params, H).astype(H.dtype)


@cache
def keras_layers() -> Any:
    """backends/keras_layers.py, with Keras on JAX; BadInput where there is no Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        from backends import keras_layers
    except ModuleNotFoundError as error:
        raise BadInput("jax:keras", "", "Keras installed", f"no module {error.name!r}") from None
    return keras_layers


MODES: dict[str, type[Library]] = {"linen": LinenLayers, "keras": KerasLayers}
"""By name, beside "equations" and "layers"."""


def ran(name: str, device: str) -> dict[str, str]:
    """What a mode really runs, of a small LSTM: the parts of the program that XLA has made."""
    spec = ModelSpec("lstm", 2, 3, 2, 1)
    net = MODES[name](spec, jnp.dtype("float32"))
    params = {n: jnp.zeros(shape, "float32") for n, shape in parameter_shapes(spec).items()}
    state = {part: jnp.zeros((1, 1, 3), "float32") for part in spec.states}
    given = jax.device_put((params, jnp.zeros((2, 1, 2), "float32"), state), find_device(device))
    text = jax.jit(lambda *given: net(*given)).lower(*given).compile().as_text()
    found = {op: text.count(f" {op}(") for op in ("while", "dot", "custom-call", "fusion")}
    program = ", ".join(f"{op} × {count}" for op, count in found.items() if count)
    return {"layers of": net.library(), "compiled by": "XLA", "program": program}
