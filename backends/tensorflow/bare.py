"""What a user would write without this suite: the benchmark's baselines, and nothing else."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from common.recipe import Recipe
from common.spec import ModelSpec


def make(spec: ModelSpec, dtype: str) -> tuple[list[keras.layers.RNN], keras.layers.Dense]:
    """The recurrent layers and the output layer; Keras makes the weights at the first call."""
    kind = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
    options = {"return_sequences": True, "return_state": True, "dtype": dtype}
    options |= {"reset_after": spec.reset == "after"} if spec.cell == "gru" else {}
    layers = [kind[spec.cell](spec.h, **options) for _ in range(spec.L)]
    if spec.directions == 2:
        layers = [keras.layers.Bidirectional(layer, dtype=dtype) for layer in layers]
    return layers, keras.layers.Dense(spec.q, dtype=dtype)


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    layers, output = make(spec, dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)

    @tf.function
    def step(X, Y, states):
        with tf.GradientTape() as tape:
            tape.watch([X, states])
            H = X
            for layer, state in zip(layers, states, strict=True):
                H, *_ = layer(H, initial_state=state)
            value = loss(Y, output(H))
        weights = [w.value for layer in [*layers, output] for w in layer.trainable_variables]
        return tape.gradient(value, [weights, X, states])

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        zeros = tf.zeros((X.shape[1], spec.h), dtype)
        states = [[zeros] * len(spec.states) * spec.directions] * spec.L
        grads = step(tf.constant(X.swapaxes(0, 1), dtype), tf.constant(Y.T), states)
        return [grad.numpy() for grad in tf.nest.flatten(grads)]

    return gradients


def bare_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], Tensor]:
    """A training step as one writes it who knows Keras: from class numbers X and Y (T, n) to the
    loss, which is not read; one tf.function, with TensorFlow's own clip and Keras' SGD."""
    layers, output = make(spec, dtype)
    for k, layer in enumerate(layers):
        layer.build((None, None, spec.h if k else spec.d))
    output.build((None, None, spec.h))
    weights = [w for layer in [*layers, output] for w in layer.trainable_variables]
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
    optimiser = keras.optimizers.SGD(recipe.learning_rate)
    optimiser.build(weights)
    zeros = tf.zeros((recipe.n, spec.h), dtype)
    states = [[zeros] * len(spec.states)] * spec.L

    @tf.function
    def update(X, Y, states):
        with tf.GradientTape() as tape:
            H, after = tf.one_hot(X, spec.d, dtype=dtype), []
            for layer, state in zip(layers, states, strict=True):
                H, *last = layer(H, initial_state=state)
                after.append(last)
            loss = loss_function(Y, output(H))
        grads = tape.gradient(loss, [w.value for w in weights])
        grads, _ = tf.clip_by_global_norm(grads, recipe.clip)
        optimiser.apply(grads, weights)
        return loss, after

    def step(X: np.ndarray, Y: np.ndarray) -> Tensor:
        nonlocal states
        loss, states = update(tf.constant(X.T), tf.constant(Y.T), states)
        return loss

    return step


def d2l_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A training step as D2L 0.17 writes it for TensorFlow: eager, a keras.layers.RNN over a list
    of cells; the clip reads the norms to decide, and the loss is read into a metric at every step.
    Keras 3 has no ``time_major``, so this is batch-major. Source: ``train_epoch_ch8``,
    ``grad_clipping``."""
    cell = keras.layers.LSTMCell
    cell = {"rnn": keras.layers.SimpleRNNCell, "gru": keras.layers.GRUCell, "lstm": cell}[spec.cell]
    cells = [cell(spec.h, dtype=dtype) for _ in range(spec.L)]
    layer = keras.layers.RNN(cells, return_sequences=True, return_state=True, dtype=dtype)
    output = keras.layers.Dense(spec.q, dtype=dtype)
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
    optimiser = keras.optimizers.SGD(recipe.learning_rate)
    state = layer.cell.get_initial_state(recipe.n)
    metric = [0.0, 0.0]

    def clipped(grads: list[Tensor], theta: float) -> list[Tensor]:
        norm = tf.math.sqrt(sum(tf.reduce_sum(grad**2).numpy() for grad in grads))
        if tf.greater(norm, theta):
            grads = [grad * theta / norm for grad in grads]
        return grads

    def step(X: np.ndarray, Y: np.ndarray) -> float:
        nonlocal state
        with tf.GradientTape(persistent=True) as tape:
            H, *state = layer(tf.one_hot(X.T, spec.d, dtype=dtype), initial_state=state)
            O = output(tf.reshape(H, (-1, H.shape[-1])))
            Y = tf.reshape(tf.constant(Y.T), (-1,))
            loss = loss_function(Y, O)
        weights = layer.trainable_variables + output.trainable_variables
        grads = tape.gradient(loss, weights)
        optimiser.apply_gradients(zip(clipped(grads, recipe.clip), weights, strict=True))
        metric[0] += float(loss * Y.shape[0])
        metric[1] += Y.shape[0]
        return float(loss)

    return step
