"""What a user would write without this suite: the benchmark's baseline, and nothing else."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from common.spec import ModelSpec


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    layer = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
    options = {"return_sequences": True, "return_state": True, "dtype": dtype}
    options |= {"reset_after": spec.reset == "after"} if spec.cell == "gru" else {}
    layers = [layer[spec.cell](spec.h, **options) for _ in range(spec.L)]
    output = keras.layers.Dense(spec.q, dtype=dtype)
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
        states = [[zeros] * len(spec.states)] * spec.L
        grads = step(tf.constant(X.swapaxes(0, 1), dtype), tf.constant(Y.T), states)
        return [grad.numpy() for grad in tf.nest.flatten(grads)]

    return gradients
