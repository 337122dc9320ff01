"""Live models of Keras that are captured."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from backends.tensorflow.capture import capture as capture
from backends.tensorflow.capture import from_array as from_array

T, N, D, H = 6, 4, 5, 7
RNG = np.random.RandomState(3)


def sequential(*inside, **options):
    model = keras.Sequential([keras.Input((T, D)), *inside, layers.Dense(3)])
    return filled(model), (numbers(N, T, D),)


def filled(model):
    """With weights that tell every order of gates."""
    for weight in model.weights:
        weight.assign(RNG.uniform(-0.6, 0.6, weight.shape))
    return model


def numbers(*shape):
    return tf.constant(RNG.standard_normal(shape), tf.float64)


def wide(layer, *sizes, **options):
    return layer(*sizes, dtype="float64", return_sequences=True, **options)


def masked(*between):
    X = RNG.standard_normal((N, T, D))
    for k, length in enumerate((3, 6, 2, 5)):
        X[k, length:] = 0
    model = keras.Sequential([
        keras.Input((T, D)), layers.Masking(dtype="float64"),
        *(between or [wide(layers.LSTM, H)])])  # fmt: skip
    return filled(model), (tf.constant(X),)


def gaps(*between):
    """Steps that are left out in the middle, at the beginning, and at the end."""
    X = RNG.standard_normal((N, T, D))
    X[1, 2] = X[2, 0] = X[2, 3] = X[3, 5] = 0
    return masked(*between)[0], (tf.constant(X),)


class Loop(keras.Model):
    """Cells in a loop of one's own: two of them, one upon the other."""

    def __init__(self, cell, **options):
        super().__init__(dtype="float64")
        self.low = cell(H, dtype="float64", name="low", **options)
        self.high = cell(H, dtype="float64", name="high", **options)

    def call(self, X):
        low = self.low.get_initial_state(X.shape[0])
        high, outputs = self.high.get_initial_state(X.shape[0]), []
        for t in range(X.shape[1]):
            below, low = self.low(X[:, t], low)
            above, high = self.high(below, high)
            outputs.append(above)
        return tf.stack(outputs, 1)


def loop(cell, **options):
    model = Loop(cell, **options)
    model(numbers(N, T, D))
    return filled(model), (numbers(N, T, D),)


def functional():
    """A state of its own, and a model in a model."""
    X, state = keras.Input((T, D), dtype="float64"), keras.Input((H,), dtype="float64")
    inner = keras.Sequential(
        [keras.Input((T, D)), wide(layers.GRU, H, reset_after=False, name="lower")]
    )
    outputs = wide(layers.GRU, H, name="upper")(inner(X), initial_state=state)
    return filled(keras.Model([X, state], outputs)), ([numbers(N, T, D), numbers(N, H)],)


class Own(keras.Model):
    """A model of one's own class, which is built when it is called."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.body = wide(layers.LSTM, H)

    def call(self, X):
        return self.body(X)


def unbuilt():
    model = Own()
    model(numbers(N, T, D))
    return filled(model), (numbers(N, T, D),)


MODELS = {
    "an LSTM of two layers": lambda: sequential(wide(layers.LSTM, H), wide(layers.LSTM, H)),
    "a GRU that resets after": lambda: sequential(wide(layers.GRU, H)),
    "a GRU that resets before": lambda: sequential(wide(layers.GRU, H, reset_after=False)),
    "a relu RNN": lambda: sequential(wide(layers.SimpleRNN, H, activation="relu")),
    "without biases, hard": lambda: sequential(
        wide(layers.LSTM, H, use_bias=False, recurrent_activation="hard_sigmoid")),
    "the last step only": lambda: sequential(layers.GRU(H, dtype="float64")),
    "both directions": lambda: sequential(layers.Bidirectional(wide(layers.LSTM, H))),
    "both directions, summed": lambda: sequential(
        layers.Bidirectional(wide(layers.GRU, H), merge_mode="sum")),
    "backwards": lambda: sequential(wide(layers.GRU, H, go_backwards=True)),
    "a cell in RNN": lambda: sequential(wide(layers.RNN, layers.LSTMCell(H, dtype="float64"))),
    "cells in RNN": lambda: sequential(wide(
        layers.RNN, layers.StackedRNNCells(
            [layers.GRUCell(H, dtype="float64"), layers.GRUCell(H, dtype="float64")],
            dtype="float64"))),
    "a mask": masked,
    "a mask with gaps": gaps,
    "a mask with gaps, the last step only": lambda: gaps(layers.GRU(H, dtype="float64")),
    "a mask, in both directions": lambda: masked(layers.Bidirectional(wide(layers.LSTM, H))),
    "a mask with gaps, in both directions": lambda: gaps(layers.Bidirectional(wide(layers.GRU, H))),
    "a mask, in both directions, multiplied": lambda: masked(
        layers.Bidirectional(wide(layers.GRU, H), merge_mode="mul")),
    "a mask with gaps, both directions' ends": lambda: gaps(
        layers.Bidirectional(layers.GRU(H, dtype="float64"))),
    "LSTM cells in a loop": lambda: loop(layers.LSTMCell),
    "GRU cells in a loop": lambda: loop(layers.GRUCell, reset_after=False),
    "RNN cells in a loop": lambda: loop(layers.SimpleRNNCell),
    "functional": functional,
    "a class of one's own": unbuilt,
}  # fmt: skip
"""Each makes a model and what it is called with. All of them are as Keras computes them."""

UNJUDGED = {
    "zeros at masked steps": lambda: masked(wide(layers.GRU, H, zero_output_for_mask=True)),
}

LAYERS = {
    "functional": ["lower", "upper"],
    "LSTM cells in a loop": ["low", "high"],
}

NOTHING = keras.Sequential([keras.Input((2,)), layers.Dense(2)]), (tf.zeros((3, 2)),)


WHOSE_X_IS_THE_MODEL_S = "a class of one's own"
"""It is given X itself, in float64."""


def loss(outputs):
    return tf.reduce_mean(outputs * outputs)


def array(outputs):
    return np.asarray(outputs)


def spoil(model) -> None:
    """Make a model compute something else than its layers' class says."""
    cell = model.layers[0].cell
    own = cell.call

    def call(inputs, states, training=False):
        made, after = own(inputs, states, training=training)
        return made * 1.01, after

    object.__setattr__(cell, "call", call)
