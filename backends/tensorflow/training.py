"""Loss, gradients and the training step, the same for the equations and for the layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from backends.protocol import Forward, Gradients, Step
from backends.tensorflow.equations import Equations, State, cross_entropy
from backends.tensorflow.layers import Layers
from backends.tensorflow.runtime import Compiled, to_array
from backends.tensorflow.workers import Workers, losses_said
from common.dropout import Dropout, check_dropout
from common.lattice import UNITS
from common.lengths import steps_within
from common.parameters import Arrays
from common.recipe import Recipe


class Model:
    """An ``Equations`` or ``Layers`` net behind the protocol: NumPy in, NumPy out."""

    def __init__(self, net: Equations | Layers, device: str, dtype: tf.DType) -> None:
        self.net, self.device, self.dtype = net, device, dtype
        self.eye = tf.eye(net.spec.d, dtype=dtype)
        self.call = Compiled(net)
        self.compiled = Compiled(self.differentiate)

    def tensor(self, array: np.ndarray) -> Tensor:
        return tf.convert_to_tensor(array.astype(self.dtype.as_numpy_dtype))

    def tensors(self, state: Arrays) -> State:
        return {part: self.tensor(array) for part, array in state.items()}

    def inputs(self, X: np.ndarray) -> Tensor:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return tf.gather(self.eye, X) if X.ndim == 2 else self.tensor(X)

    def parameters(self) -> Arrays:
        return self.net.canonical(self.net.trainable)

    def within(self, X: np.ndarray, lengths: np.ndarray | None) -> Tensor | None:
        """(T, n, 1): where a step is the example's own   (LEN-1)"""
        if lengths is None:
            return None
        T, n = X.shape[:2]
        return tf.constant(steps_within(lengths, n, T)[..., None])

    def kept(self, X: np.ndarray, dropout: Dropout | None) -> list[Tensor]:
        """M / (1 − r) of every layer but the last; none if nothing is dropped   (DROP-1)"""
        if dropout is None:
            return []
        spec, (T, n) = self.net.spec, X.shape[:2]
        checked = check_dropout(dropout, spec, n, T)
        return [self.tensor(mask) / (1 - checked.rate) for mask in checked.by_layer(spec)]

    def more(self, X: np.ndarray, lengths: np.ndarray | None, dropout: Dropout | None) -> list:
        """``within`` and ``kept`` as further arguments, as few as say it: a question without them
        has a graph of its own."""
        within, kept = self.within(X, lengths), self.kept(X, dropout)
        return [within, kept] if kept else [] if within is None else [within]

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        with tf.device(self.device):
            O, last = self.call(
                self.inputs(X), self.tensors(state), *self.more(X, lengths, dropout)
            )
        return to_array(O), to_arrays(last)

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        with tf.device(self.device):
            given = self.inputs(X), self.tensors(state), *self.more(X, lengths, dropout)
            O, last, trace = self.net.forward(*given)
        return Forward(to_array(O), to_arrays(last), to_arrays(trace))

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        with tf.device(self.device):
            given = self.inputs(X), tf.constant(Y, tf.int64), self.tensors(state)
            loss, grads, inputs = self.compiled(*given, *self.more(X, lengths, dropout))
        found = self.net.canonical(grads) | {"X": to_array(inputs["X"])}
        found |= {f"{part}0": to_array(inputs[part]) for part in state}
        return Gradients(float(loss), found)

    def differentiate(
        self, X: Tensor, Y: Tensor, state: State, *more: Any
    ) -> tuple[Tensor, list[Tensor], State]:
        """The mean loss and its gradients by the parameters, and by X and the initial state."""
        loss, _, grads, inputs = backward(self.net, X, Y, state, {"X": X, **state}, *more)
        return loss, grads, inputs

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> "Trainer":
        return Trainer(self, recipe, state, workers)


def to_arrays(state: State) -> Arrays:
    return {part: to_array(tensor) for part, tensor in state.items()}


def backward(
    net: Equations | Layers,
    X: Tensor,
    Y: Tensor,
    state: State,
    inputs: State,
    within: Tensor | None = None,
    kept: Sequence[Tensor] = (),
) -> tuple[Tensor, State, list[Tensor], State]:
    """The mean loss, the last state, and the gradients by the parameters and by ``inputs``."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        O, last = net(X, state, within, kept)
        loss = cross_entropy(O, Y, within)
    grads, inputs = tape.gradient(loss, (net.trainable, inputs))
    return loss, last, net.freeze(grads), inputs


def clip(grads: list[Tensor], theta: float) -> tuple[Tensor, list[Tensor]]:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)

    Not ``tf.clip_by_global_norm``, which multiplies by θ · min(1/‖g‖, 1/θ) and so rounds gradients
    that it should leave alone. The scale is min(1, θ/‖g‖), so that no value has to be read from
    the device to decide.
    """
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(grad * grad) for grad in grads]))
    scale = tf.minimum(theta / norm, 1)
    return norm, [grad * scale for grad in grads]


def to_lattice(tensor: Tensor) -> Tensor:
    """rint(w · 2²⁰) / 2²⁰   (LATTICE-1)"""
    return tf.round(tensor * UNITS) / UNITS


class Trainer:
    """Steps of plain SGD (SGD-1: w ← w − η g), the state carried and detached."""

    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        self.model, self.recipe, self.workers = model, recipe, workers
        # A long run is a graph from its first step, so that one that is resumed rounds the same.
        if recipe.epochs > 1:
            model.call.eager = 0
        self.compiled = Compiled(self.update, *([0] if recipe.epochs > 1 else []))
        if workers:
            self.compiled = Compiled(workers.together(self.update), eager=0)
        self.start(state)

    def start(self, state: Arrays) -> None:
        with tf.device(self.model.device):
            self.state = self.model.tensors(state)

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        with tf.device(self.model.device), losses_said():
            more = self.model.more(X, lengths, dropout)
            X, Y = self.model.inputs(X), tf.constant(Y, tf.int64)
            loss, norm, self.state, self.grads = self.compiled(X, Y, self.state, *more)
        return Step(loss, norm)

    def update(self, X: Tensor, Y: Tensor, state: State, *more: Any):
        """The loss, the norm before the clip, the last state and the clipped gradients."""
        net = self.model.net
        loss, last, grads, _ = backward(net, X, Y, state, {}, *more)
        if self.workers:
            loss, *grads = self.workers.mean([loss, *grads])
        norm, grads = clip(grads, self.recipe.clip)
        for parameter, grad in zip(net.trainable, grads, strict=True):
            parameter.assign_sub(self.recipe.learning_rate * grad)
        if self.recipe.lattice:
            last = {part: to_lattice(tensor) for part, tensor in last.items()}
            for parameter in net.trainable:
                parameter.assign(to_lattice(parameter))
        return loss, norm, last, grads

    def gradients(self) -> Arrays:
        return self.model.net.canonical(self.grads)

    def parameters(self) -> Arrays:
        return self.model.parameters()
