"""Keras' own SimpleRNN, GRU and LSTM, and how their weights map to the canonical ones.

Keras stacks the gates along the columns, (in, G·h), has one bias per layer, and is batch-major: X
is transposed on the way in and O on the way out. Only the reset-after GRU has two biases, the rows
of one (2, 3h) tensor: for the input's product and for the recurrent one. Source: Keras 3.15,
``layers.rnn``.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from backends.tensorflow.equations import State, dropped, ended, in_rows, stacked
from backends.tensorflow.runtime import LONG, Compiled, cudnn, to_array
from common.parameters import layer_parameters, parameter_shapes, prefix, state_of
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "zrh", "lstm": "ifco"}
"""Keras' order of the gates, in canonical letters."""

KINDS = ("kernel", "recurrent_kernel", "bias")
"""The weights of a Keras layer's cell."""

HELD = 64
"""So many layers and their graphs are held: a family's cases have the same ones again and again."""


def unsupported(spec: ModelSpec) -> str | None:
    """What Keras' layers cannot express, all of it of the LSTM. GRU has both resets, SimpleRNN any
    activation, and every layer of the stack is a Keras layer of its own."""
    if spec.p is not None:
        return "keras.layers.LSTM has no projection"
    if spec.peepholes or spec.gate_clip is not None:
        return "keras.layers.LSTM has neither peepholes nor a clip of its gates"
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


def make_layer(spec: ModelSpec, layer: int, dtype: str) -> keras.Layer:
    """Layer 1 … L as a Keras layer that returns all its outputs and its last state; of two
    directions, a Bidirectional, which joins them side by side."""
    options = {"return_sequences": True, "return_state": True, "dtype": dtype}
    # Its weights are given to every call; Keras' own draw would take longer than a small case.
    options |= {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}
    h = spec.units(layer)
    if spec.cell == "rnn":
        activation = spec.activations[layer - 1].replace("identity", "linear")
        made = keras.layers.SimpleRNN(h, activation=activation, **options)
    elif spec.cell == "gru":
        made = keras.layers.GRU(h, reset_after=spec.reset == "after", **options)
    else:
        made = keras.layers.LSTM(h, **options)
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


class Shared:
    """A Keras layer that is called with weights, by all models that have such a layer: eagerly at
    first, then as a graph that holds for any n and T; for a long sequence, as that graph at once.
    Within another graph it is a part of it."""

    def __init__(self, layer: keras.Layer) -> None:
        self.layer, self.dtype, cells = layer, layer.compute_dtype, halves(layer)
        weights = [tf.TensorSpec(w.shape, w.dtype) for w in layer.trainable_variables]
        X = tf.TensorSpec((None, None, weights[0].shape[0]), self.dtype)
        state = [tf.TensorSpec((None, half.units), self.dtype) for half in cells]
        parts = 2 if isinstance(cells[0], keras.layers.LSTM) else 1
        mask, signature = tf.TensorSpec((None, None), tf.bool), [weights, X, state * parts]
        self.compiled = Compiled(self.run, signature=signature)
        self.masked = Compiled(self.run, signature=[*signature, mask])

    def __call__(
        self, weights: list[Tensor], X: Tensor, state: list[Tensor], *mask: Tensor
    ) -> list[Tensor]:
        """The outputs, (n, T, D·h), and the last state   X: (n, T, d or D·h)   state: (n, h) each

        weights: of KINDS, for each direction     mask: (n, T), where a step is the example's own
        """
        X, *state = (tf.cast(given, self.dtype) for given in (X, *state))
        if tf.inside_function():
            return self.run(weights, X, state, *mask)
        compiled = self.masked if mask else self.compiled
        if int(X.shape[1] or 0) >= LONG:
            compiled.eager = 0
        return compiled(weights, X, state, *mask)

    def run(
        self, weights: list[Tensor], X: Tensor, state: list[Tensor], *mask: Tensor
    ) -> list[Tensor]:
        fixed, options = self.layer.non_trainable_variables, {"mask": mask[0]} if mask else {}
        return self.layer.stateless_call(weights, fixed, X, initial_state=state, **options)[0]


@lru_cache(HELD)
def shared(spec: ModelSpec, dtype: str, device: str) -> Shared:
    """The Keras layer of a spec of one layer; its q plays no part."""
    with tf.device(device):
        return Shared(make_layer(spec, 1, dtype))


class Layers:
    """Keras' layers with a Dense and a bias on top, loaded with canonical parameters."""

    policy: str | None = None
    """What Keras' layers compute in, by its name, if it is not the parameters' dtype."""

    shared = staticmethod(shared)
    """Where the Keras layers are found."""

    def __init__(self, spec: ModelSpec, params: dict[str, np.ndarray]) -> None:
        self.spec, self.dtype = spec, self.policy or params["output.b_q"].dtype.name
        # Dense would add its bias by BiasAdd, whose gradient sums the T·n rows one after another:
        # its float32 error at D2L's 1,120 rows was three times that of the + below.
        self.output = keras.layers.Dense(spec.q, use_bias=False, dtype=self.dtype)
        self.output.build((None, None, spec.width))
        self.output.kernel.assign(params["output.W_hq"])
        self.b_q = tf.Variable(params["output.b_q"])
        self.weights = []
        for row in spec.passes:
            native = to_native(spec, layer_parameters(params, *row))
            self.weights.append([tf.Variable(native[kind]) for kind in KINDS])
        # Keras wraps TensorFlow's variables; these are what the tape and the update know.
        self.trainable = [weight for weights in self.weights for weight in weights]
        self.trainable += [self.output.kernel.value, self.b_q]
        # Here, where no graph is made: one that made their variables would be traced twice.
        for layer in range(1, spec.L + 1):
            self.shared(replace(spec.alone(layer), q=1), self.dtype, self.b_q.device)

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        O, last, _ = self.run(X, state, within, kept)
        return O, last

    def run(
        self, X: Tensor, state: State, within: Tensor | None, kept: Sequence[Tensor]
    ) -> tuple[Tensor, State, list[Tensor]]:
        """As a call, and the outputs of every layer, (n, T, D·h) each. With a mask Keras keeps the
        state behind an example's end, but repeats its last output there; and a NaN there would
        reach gradients."""
        H, outputs = tf.transpose(ended(X, within), (1, 0, 2)), []
        own = None if within is None else tf.transpose(within, (1, 0, 2))
        mask = [] if own is None else [own[..., 0]]
        kept = batch_major(kept, self.output.compute_dtype)
        parts, last = self.spec.states, []
        for layer in range(1, self.spec.L + 1):
            rows = [self.spec.row(layer, backward) for backward in self.spec.ways]
            start = [state_of(self.spec, state, layer, backward) for backward in self.spec.ways]
            given = [half[part] for half in start for part in parts]
            H, *after = self.call(layer, rows, H, given, *mask)
            H = ended(H, own)
            outputs.append(H)
            H = dropped(H, layer, kept)
            for first in range(0, len(after), len(parts)):
                half = zip(parts, after[first : first + len(parts)], strict=True)
                last.append({part: tf.cast(tensor, X.dtype) for part, tensor in half})
        O = tf.cast(self.output(H), X.dtype) + self.b_q
        return ended(tf.transpose(O, (1, 0, 2)), within), stacked(last), outputs

    def call(
        self, layer: int, rows: list[int], X: Tensor, state: list[Tensor], *mask: Tensor
    ) -> list[Tensor]:
        """The outputs and the last state of layer 1 … L, or of one of its directions."""
        weights = [tf.convert_to_tensor(weight) for row in rows for weight in self.weights[row]]
        alone = replace(self.spec.alone(layer), q=1, directions=len(rows))
        return self.shared(alone, self.dtype, self.b_q.device)(weights, X, state, *mask)

    def forward(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part. A Keras layer's outputs are its H,
        but its C shows only at the end of a call: there each step is a call."""
        O, last, outputs = self.run(X, state, within, kept)
        D = self.spec.directions
        trace = {"H": [half for H in outputs for half in tf.split(H, D, axis=-1)]}
        if "C" in state:
            handed = enumerate(outputs[:-1], start=1)
            masks = batch_major(kept, self.output.compute_dtype)
            below = [dropped(H, layer, masks) for layer, H in handed]
            below = [tf.transpose(ended(X, within), (1, 0, 2)), *below]
            trace["C"] = [
                self.memory(layer, backward, below[layer - 1], state, within)
                for layer, backward in self.spec.passes
            ]
        trace = {part: tf.cast(in_rows(layers), X.dtype) for part, layers in trace.items()}
        trace = {part: tf.transpose(a, (2, 0, 1, 3)) for part, a in trace.items()}
        own = None if within is None else within[:, None]
        return O, last, {part: ended(a, own) for part, a in trace.items()}

    def memory(
        self, layer: int, backward: bool, X: Tensor, state: State, within: Tensor | None
    ) -> Tensor:
        """C after every step of one direction, (n, T, h)   X: (n, T, d or D·h)"""
        row, times, steps = self.spec.row(layer, backward), range(X.shape[1]), []
        H, C = state_of(self.spec, state, layer, backward).values()
        for t in reversed(times) if backward else times:
            _, *made = self.call(layer, [row], X[:, t : t + 1], [H, C])
            made = [tf.cast(tensor, C.dtype) for tensor in made]
            if within is not None:
                made = [tf.where(within[t], *both) for both in zip(made, (H, C), strict=True)]
            H, C = made
            steps.append(C)
        return tf.stack(steps[::-1] if backward else steps, axis=1)

    def freeze(self, grads: list[Tensor]) -> list[Tensor]:
        """The reset-after GRU's second bias stays 0, but for the candidate's b_hh. Two trainable
        biases would move twice as fast as the equations' one, and count twice in the norm."""
        if self.spec.reset != "after":
            return grads
        biases = range(KINDS.index("bias"), len(KINDS) * self.spec.rows, len(KINDS))
        return [grad * free(grad) if i in biases else grad for i, grad in enumerate(grads)]

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


def batch_major(kept: Sequence[Tensor], dtype: str) -> list[Tensor]:
    """(T, n, D·h) → (n, T, D·h), each, in what the layers compute in"""
    return [tf.cast(tf.transpose(mask, (1, 0, 2)), dtype) for mask in kept]


def free(bias: Tensor) -> np.ndarray:
    """1 where a bias (2, 3h) is trained, 0 where it is frozen."""
    h = int(bias.shape[-1] or 0) // 3
    mask = np.ones((2, 3 * h))
    mask[1, : 2 * h] = 0
    return mask
