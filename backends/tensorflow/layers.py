"""Keras' own SimpleRNN, GRU and LSTM, and how their weights map to the canonical ones.

Keras stacks the gates along the columns, (in, G·h), has one bias per layer, and is batch-major: X
is transposed on the way in and O on the way out. Only the reset-after GRU has two biases, the rows
of one (2, 3h) tensor: for the input's product and for the recurrent one. Source: Keras 3.15,
``layers.rnn``.
"""

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from backends.tensorflow.equations import State, stacked
from backends.tensorflow.runtime import cudnn, to_array
from common.parameters import layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "zrh", "lstm": "ifco"}
"""Keras' order of the gates, in canonical letters."""

KINDS = ("kernel", "recurrent_kernel", "bias")
"""The weights of a Keras layer's cell."""


def unsupported(spec: ModelSpec) -> str | None:
    """What Keras' layers cannot express: nothing. GRU has both resets, SimpleRNN any activation,
    and every layer of the stack is a Keras layer of its own."""
    return None


def to_native(spec: ModelSpec, p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, canonical → Keras: stacked; the reset-after GRU's b in the input bias, 0 in the
    recurrent one, but for the candidate, which has a second bias of its own, b_hh."""
    gates = GATE_ORDER[spec.cell]
    native = {
        "kernel": np.concatenate([p[f"W_x{gate}"] for gate in gates], axis=1),
        "recurrent_kernel": np.concatenate([p[f"W_h{gate}"] for gate in gates], axis=1),
        "bias": np.concatenate([p.get(f"b_{gate}", p.get("b_xh")) for gate in gates]),
    }
    if spec.reset == "after":
        recurrent = [p.get(f"b_h{gate}", np.zeros_like(p["b_hh"])) for gate in gates]
        native["bias"] = np.stack([native["bias"], np.concatenate(recurrent)])
    return native


def to_canonical(spec: ModelSpec, native: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One layer, Keras → canonical. Holds for gradients too: the bias that carries b has b's."""
    gates = GATE_ORDER[spec.cell]
    blocks = {
        name: dict(zip(gates, np.split(a, len(gates), axis=-1), strict=True))
        for name, a in native.items()
    }
    p = {}
    for gate in gates:
        p[f"W_x{gate}"] = blocks["kernel"][gate]
        p[f"W_h{gate}"] = blocks["recurrent_kernel"][gate]
        p[f"b_{gate}"] = blocks["bias"][gate][0] if spec.reset == "after" else blocks["bias"][gate]
    if spec.reset == "after":
        p["b_xh"], p["b_hh"] = p.pop("b_h"), blocks["bias"]["h"][1]
    return p


def make_layer(spec: ModelSpec, layer: int, dtype: str | keras.DTypePolicy) -> keras.Layer:
    """Layer 1 … L as a Keras layer that returns all its outputs and its last state; of two
    directions, a Bidirectional, which joins them side by side."""
    options = {"return_sequences": True, "return_state": True, "dtype": dtype}
    # The weights are overwritten; Keras' own draw would take longer than a small case.
    options |= {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    if spec.cell == "rnn":
        activation = spec.activations[layer - 1].replace("identity", "linear")
        made = keras.layers.SimpleRNN(spec.h, activation=activation, **options)
    elif spec.cell == "gru":
        made = keras.layers.GRU(spec.h, reset_after=spec.reset == "after", **options)
    else:
        made = keras.layers.LSTM(spec.h, **options)
    if spec.directions == 2:
        made = keras.layers.Bidirectional(made, merge_mode="concat", dtype=dtype)
    made.build((None, None, spec.inputs_of(layer)))
    for half in halves(made):
        if spec.cell != "rnn":
            half.use_cudnn = cudnn(half.cell.kernel.value.device, half.compute_dtype)
    return made


def halves(layer: keras.Layer) -> list[keras.layers.RNN]:
    """The directions of a layer, each a Keras layer of its own."""
    both = isinstance(layer, keras.layers.Bidirectional)
    return [layer.forward_layer, layer.backward_layer] if both else [layer]


class Layers:
    """Keras' layers with a Dense and a bias on top, loaded with canonical parameters."""

    policy: keras.DTypePolicy | None = None
    """What Keras' layers compute in, if it is not the parameters' dtype: in mixed precision."""

    def __init__(self, spec: ModelSpec, params: dict[str, np.ndarray]) -> None:
        self.spec = spec
        dtype = self.policy or params["output.b_q"].dtype.name
        self.layers = [make_layer(spec, layer + 1, dtype) for layer in range(spec.L)]
        # Dense would add its bias by BiasAdd, whose gradient sums the T·n rows one after another:
        # its float32 error at D2L's 1,120 rows was three times that of the + below.
        self.output = keras.layers.Dense(spec.q, use_bias=False, dtype=dtype)
        self.output.build((None, None, spec.width))
        self.output.kernel.assign(params["output.W_hq"])
        self.b_q = tf.Variable(params["output.b_q"])
        self.cells = [half.cell for layer in self.layers for half in halves(layer)]
        weights = []
        for row, cell in zip(spec.passes, self.cells, strict=True):
            native = to_native(spec, layer_parameters(params, *row))
            for kind in KINDS:
                weights.append(getattr(cell, kind))
                weights[-1].assign(native[kind])
        weights.append(self.output.kernel)
        # Keras wraps TensorFlow's variables; these are what the tape and the update know.
        self.trainable = [*(weight.value for weight in weights), self.b_q]

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   returns O (T, n, q) and the last state"""
        O, last, _ = self.run(X, state)
        return O, last

    def run(self, X: Tensor, state: State) -> tuple[Tensor, State, list[Tensor]]:
        """As a call, and the outputs of every layer, (n, T, D·h) each."""
        H, outputs = tf.transpose(X, (1, 0, 2)), []
        parts, rows, last = self.spec.states, iter(range(self.spec.rows)), []
        for layer in self.layers:
            start = [
                state[part][row]
                for _, row in zip(halves(layer), rows, strict=False)
                for part in parts
            ]
            H, *after = layer(H, initial_state=start)
            outputs.append(H)
            for first in range(0, len(after), len(parts)):
                half = zip(parts, after[first : first + len(parts)], strict=True)
                last.append({part: tf.cast(tensor, X.dtype) for part, tensor in half})
        O = tf.cast(self.output(H), X.dtype) + self.b_q
        return tf.transpose(O, (1, 0, 2)), stacked(last), outputs

    def forward(self, X: Tensor, state: State) -> tuple[Tensor, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part. A Keras layer's outputs are its H,
        but its C shows only at the end of a call: there the layer's cell goes step by step."""
        O, last, outputs = self.run(X, state)
        D = self.spec.directions
        trace = {"H": [half for H in outputs for half in tf.split(H, D, axis=-1)]}
        if "C" in state:
            below = [tf.transpose(X, (1, 0, 2)), *outputs[:-1]]
            trace["C"] = [
                memory(cell, below[layer - 1], state["H"][row], state["C"][row], backward)
                for row, (cell, (layer, backward)) in enumerate(
                    zip(self.cells, self.spec.passes, strict=True)
                )
            ]
        trace = {part: tf.cast(tf.stack(layers), X.dtype) for part, layers in trace.items()}
        return O, last, {part: tf.transpose(a, (2, 0, 1, 3)) for part, a in trace.items()}

    def freeze(self, grads: list[Tensor]) -> list[Tensor]:
        """The reset-after GRU's second bias stays 0, but for the candidate's b_hh. Two trainable
        biases would move twice as fast as the equations' one, and count twice in the norm."""
        if self.spec.reset != "after":
            return grads
        free = np.ones((2, 3 * self.spec.h))
        free[1, : 2 * self.spec.h] = 0
        biases = range(KINDS.index("bias"), len(KINDS) * self.spec.rows, len(KINDS))
        return [grad * free if i in biases else grad for i, grad in enumerate(grads)]

    def canonical(self, tensors: list[Tensor]) -> dict[str, np.ndarray]:
        """One tensor for each of ``trainable``, values or gradients, by canonical name."""
        arrays = iter(map(to_array, tensors))
        found = {}
        for row in self.spec.passes:
            native = {kind: next(arrays) for kind in KINDS}
            for name, array in to_canonical(self.spec, native).items():
                found[f"{prefix(*row)}{name}"] = array
        found |= {"output.W_hq": next(arrays), "output.b_q": next(arrays)}
        return {name: found[name] for name in parameter_shapes(self.spec)}


def memory(cell: keras.layers.LSTMCell, X: Tensor, H: Tensor, C: Tensor, backward: bool) -> Tensor:
    """C after every step   X: (n, T, d or D·h)   H, C: (n, h), at the start   returns (n, T, h)"""
    steps, inputs = [], tf.unstack(X, axis=1)
    for x in reversed(inputs) if backward else inputs:
        H, (_, C) = cell(x, [H, C])
        steps.append(C)
    return tf.stack(steps[::-1] if backward else steps, axis=1)
