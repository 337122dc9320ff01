"""Flax's own nnx.RNN over its cells, and how their weights map to the canonical ones.

Flax stacks the gates along the columns, (in, G·h), and has one bias per layer: in the input's
``dense_i`` for the SimpleCell and the GRUCell, in the recurrent ``dense_h`` for the LSTM's. A carry
of the LSTM is (C, H). Source: Flax 0.12, ``nnx.nn.recurrent``.

Flax's GRUCell resets after the product but has no b_hh, so as it stands it computes GRU-3a with
b_hh = 0 only. Its ``dense_h`` is an nnx.Linear like any other; here it is one with a bias. The
cells' ``activation_fn`` is our tanh, because XLA's is biased in float32: see ``runtime.tanh``. The
LSTM's hands up C as well, of which Flax shows only the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from backends.jax.equations import ACTIVATIONS, State, dropped, ended, in_rows
from backends.jax.runtime import nnx, tanh, to_array
from common.parameters import layer_parameters, parameter_shapes, prefix, state_of
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}
"""Flax's order of the gates, in canonical letters: r, z, n and i, f, g, o."""

HALVES = ("forward_rnn", "backward_rnn")
"""The two directions of an nnx.Bidirectional."""

Native = dict[str, dict[str, np.ndarray]]
"""Of a cell's two nnx.Linear, ``dense_i`` and ``dense_h``, the ``kernel`` and the ``bias``."""


def unsupported(spec: ModelSpec) -> str | None:
    """What Flax's layers cannot express."""
    if spec.reset == "before":
        return "nnx.GRUCell resets after the matrix product only"
    if spec.p is not None:
        return "nnx.OptimizedLSTMCell has no projection"
    if spec.peepholes or spec.gate_clip is not None:
        return "nnx.OptimizedLSTMCell has neither peepholes nor a clip of its gates"
    return None


def to_native(spec: ModelSpec, p: dict[str, np.ndarray]) -> Native:
    """One layer, canonical → Flax: stacked; b in the one bias there is. The GRU's second bias is
    0 but for the candidate, which has a b_hh of its own."""
    gates = GATE_ORDER[spec.cell]
    native = {
        "dense_i": {"kernel": np.concatenate([p[f"W_x{gate}"] for gate in gates], axis=1)},
        "dense_h": {"kernel": np.concatenate([p[f"W_h{gate}"] for gate in gates], axis=1)},
    }
    bias = np.concatenate([p.get(f"b_{gate}", p.get("b_xh")) for gate in gates])
    native["dense_h" if spec.cell == "lstm" else "dense_i"]["bias"] = bias
    if spec.reset == "after":
        zeros = np.zeros_like(p["b_hh"])
        native["dense_h"]["bias"] = np.concatenate([p.get(f"b_h{gate}", zeros) for gate in gates])
    return native


def to_canonical(spec: ModelSpec, native: Native) -> dict[str, np.ndarray]:
    """One layer, Flax → canonical. Holds for gradients too: the bias that carries b has b's."""
    gates = GATE_ORDER[spec.cell]
    blocks = {
        (dense, kind): dict(zip(gates, np.split(a, len(gates), axis=-1), strict=True))
        for dense, arrays in native.items()
        for kind, a in arrays.items()
    }
    p = {}
    for gate in gates:
        p[f"W_x{gate}"] = blocks["dense_i", "kernel"][gate]
        p[f"W_h{gate}"] = blocks["dense_h", "kernel"][gate]
        p[f"b_{gate}"] = blocks["dense_h" if spec.cell == "lstm" else "dense_i", "bias"][gate]
    if spec.reset == "after":
        p["b_xh"], p["b_hh"] = p.pop("b_h"), blocks["dense_h", "bias"]["h"]
    return p


def make_layer(
    spec: ModelSpec, layer: int, dtype: jnp.dtype, computed: jnp.dtype
) -> nnx.RNN | nnx.Bidirectional:
    """Layer 1 … L as an nnx.RNN over its cell, or an nnx.Bidirectional of two, time-major, which
    returns the last carry too."""
    halves = [make_half(spec, layer, dtype, computed) for _ in spec.ways]
    if len(halves) == 1:
        return halves[0]
    # Its own time_major overrules theirs.
    return nnx.Bidirectional(*halves, time_major=True, return_carry=True, rngs=False)


def make_half(spec: ModelSpec, layer: int, dtype: jnp.dtype, computed: jnp.dtype) -> nnx.RNN:
    """One direction of it."""
    options = {"param_dtype": dtype, "dtype": computed, "rngs": nnx.Rngs(0)}
    # What Flax draws is thrown away, and JAX 0.11 makes no orthogonal matrix of bfloat16.
    options["recurrent_kernel_init"] = nnx.initializers.zeros_init()
    sizes = (spec.inputs_of(layer), spec.units(layer))
    if spec.cell == "rnn":
        activation = ACTIVATIONS[spec.activations[layer - 1]]
        cell = nnx.SimpleCell(*sizes, activation_fn=activation, **options)
    elif spec.cell == "gru":
        cell = nnx.GRUCell(*sizes, activation_fn=tanh, **options)
        del options["recurrent_kernel_init"]
        cell.dense_h = nnx.Linear(sizes[1], 3 * sizes[1], **options)
    else:
        cell = OpenLSTMCell(*sizes, activation_fn=tanh, **options)
    cell.rngs = None  # Flax before 0.12 keeps the state of its random numbers, which nobody uses
    return nnx.RNN(cell, time_major=True, return_carry=True, rngs=False)


class OpenLSTMCell(nnx.OptimizedLSTMCell if nnx else object):
    """Flax's, which hands up C beside H: else C would show only at the end of a sequence, and its
    trace take a second pass over all steps."""

    def __call__(self, carry: tuple[Array, Array], x: Array) -> tuple[tuple, tuple[Array, Array]]:
        (C, H), _ = super().__call__(carry, x)
        return (C, H), (H, C)


class Layers:
    """An nnx.RNN for each layer with an nnx.Linear on top; the weights are given to every call."""

    policy: jnp.dtype | None = None
    """What the layers compute in, if it is not the dtype of their weights."""

    def __init__(self, spec: ModelSpec, dtype: jnp.dtype) -> None:
        self.spec, self.held, self.dtype = spec, dtype, self.policy or dtype

    @cached_property
    def graphs(self) -> tuple[nnx.GraphDef, nnx.GraphDef]:
        """Flax's modules without their arrays, of the layers and of the output layer. Shapes only:
        Flax's own draw would take longer than a small case. And not before they are asked for:
        what a small net computes, the nets of its layers do."""
        options = {"param_dtype": self.held, "dtype": self.dtype}
        made = nnx.eval_shape(
            lambda: (
                [make_layer(self.spec, k + 1, self.held, self.dtype) for k in range(self.spec.L)],
                nnx.Linear(self.spec.width, self.spec.q, **options, rngs=nnx.Rngs(0)),
            )
        )
        layers, output = (nnx.split(part)[0] for part in made)
        return layers, output

    def native(self, params: State) -> dict:
        """Canonical parameters as Flax's modules hold them, by layer; the last is the output's."""
        arrays = {name: to_array(array) for name, array in params.items()}
        native = []
        for layer in range(1, self.spec.L + 1):
            halves = [
                {"cell": to_native(self.spec, layer_parameters(arrays, layer, backward))}
                for backward in self.spec.ways
            ]
            both = dict(zip(HALVES, halves, strict=False))
            native.append(both if self.spec.directions == 2 else halves[0])
        native.append({"kernel": arrays["output.W_hq"], "bias": arrays["output.b_q"]})
        device = params["output.b_q"].device
        return jax.tree.map(lambda a: jax.device_put(a, device), dict(enumerate(native)))

    def modules(self, params: dict) -> list[nnx.Module]:
        """Flax's layers with these weights."""
        own = {layer: params[layer] for layer in range(self.spec.L)}
        return nnx.merge(self.graphs[0], nnx.State(jax.tree.map(nnx.Param, own)))

    def __call__(
        self,
        params: dict,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        H, last, _ = self.run(self.modules(params), X, state, within, kept)
        return ended(self.output(params, H), within), last

    def output(self, params: dict, H: Array) -> Array:
        top = nnx.merge(self.graphs[1], nnx.State(jax.tree.map(nnx.Param, params[self.spec.L])))
        return top(H).astype(H.dtype)

    def run(
        self,
        modules: list[nnx.Module],
        X: Array,
        state: State,
        within: Array | None,
        kept: Sequence[Array],
    ) -> tuple[Array, State, list[State]]:
        """H of the top layer, (T, n, D·h), the last state, and what every layer hands up: H, and
        C of the LSTM. Flax picks each example's state out, but computes its outputs on behind its
        end, and NaN there would reach gradients."""
        H, last, outputs = ended(X, within).astype(self.dtype), {part: [] for part in state}, []
        lengths = None if within is None else within.sum(axis=(0, 2))
        for number, layer in enumerate(modules, start=1):
            carry = [self.carry(state, number, backward) for backward in self.spec.ways]
            start = carry[0] if len(carry) == 1 else tuple(carry)
            carry, made = layer(H, initial_carry=start, seq_lengths=lengths)
            made = zip(self.spec.states, made if "C" in state else [made], strict=True)
            outputs.append({part: ended(array, within) for part, array in made})
            H = dropped(outputs[-1]["H"], number, kept).astype(self.dtype)
            for half in carry if self.spec.directions == 2 else [carry]:
                for part, array in zip(
                    sorted(state), half if "C" in state else [half], strict=True
                ):
                    last[part].append(array.astype(X.dtype))
        return H.astype(X.dtype), {part: in_rows(a) for part, a in last.items()}, outputs

    def carry(self, state: State, layer: int, backward: bool) -> Array | tuple[Array, Array]:
        """A state as Flax carries it: (C, H) of the LSTM, H of its other cells."""
        own = state_of(self.spec, state, layer, backward)
        carry = [own[part].astype(self.dtype) for part in sorted(state)]
        return (carry[0], carry[1]) if "C" in state else carry[0]

    def forward(
        self,
        params: dict,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part."""
        H, last, trace = self.hidden(params, X, state, within, kept)
        return ended(self.output(params, H), within), last, trace

    def hidden(
        self,
        params: dict,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State, State]:
        """H of the top layer, the last state, and the trace."""
        top, last, outputs = self.run(self.modules(params), X, state, within, kept)
        D = self.spec.directions
        trace = {
            part: [half for made in outputs for half in jnp.split(made[part], D, axis=-1)]
            for part in state
        }
        return top, last, {part: in_rows(a, axis=1).astype(X.dtype) for part, a in trace.items()}

    def pieces(self, params: dict) -> list[dict]:
        """The weights of each layer, as those of a stack of one, and of the output layer."""
        return [*({0: params[layer]} for layer in range(self.spec.L)), {1: params[self.spec.L]}]

    def whole(self, pieces: list[dict]) -> dict:
        """The weights of which these are the ``pieces``, or their gradients."""
        return {layer: own for layer, piece in enumerate(pieces) for own in piece.values()}

    def freeze(self, grads: dict) -> dict:
        """The GRU's second bias stays 0, but for the candidate's b_hh. Two trainable biases would
        move twice as fast as the equations' one, and count twice in the norm."""
        if self.spec.reset == "after":
            for row in self.spec.passes:
                dense = self.half(grads, *row)["cell"]["dense_h"]
                dense["bias"] = dense["bias"].at[: 2 * self.spec.units(row[0])].set(0)
        return grads

    def canonical(self, arrays: dict) -> dict[str, np.ndarray]:
        """Parameters, or their gradients, by canonical name."""
        native = jax.tree.map(to_array, arrays)
        output = native[self.spec.L]
        found = {"output.W_hq": output["kernel"], "output.b_q": output["bias"]}
        for row in self.spec.passes:
            for name, array in to_canonical(self.spec, self.half(native, *row)["cell"]).items():
                found[f"{prefix(*row)}{name}"] = array
        return {name: found[name] for name in parameter_shapes(self.spec)}

    def half(self, native: dict, layer: int, backward: bool) -> dict:
        """What belongs to one direction of layer 1 … L, out of ``native``."""
        found = native[layer - 1]
        return found[HALVES[backward]] if self.spec.directions == 2 else found
