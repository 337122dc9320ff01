"""Live models of Flax that are captured."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from backends.jax.capture import capture as capture
from backends.jax.capture import from_array as from_array

jax.config.update("jax_enable_x64", True)

T, N, D, H = 6, 4, 5, 7
RNG = np.random.RandomState(3)


class Net(nnx.Module):
    """Recurrent layers inside of modules, below an output layer."""

    def __init__(self, *layers, wide=H):
        self.layers = nnx.List(layers)
        self.readout = nnx.Linear(wide, 3, rngs=nnx.Rngs(0))

    def __call__(self, X, **options):
        for layer in self.layers:
            X = layer(X, **options)
        return self.readout(X)


def rnn(cell, d=D, **options):
    return nnx.RNN(cell(d, H, rngs=nnx.Rngs(0), param_dtype=jnp.float64), **options)


def both(cell, **options):
    return nnx.Bidirectional(rnn(cell), rnn(cell), **options)


def filled(*layers, wide=H):
    """With weights that tell every order of gates."""
    model = Net(*layers, wide=wide)
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda a: numbers(*a.shape) * 0.4, state))
    return model


class Loop(nnx.Module):
    """Cells in a loop of one's own: two of them, one upon the other."""

    def __init__(self, cell):
        self.low, self.high = (
            cell(d, H, rngs=nnx.Rngs(0), param_dtype=jnp.float64) for d in (D, H)
        )

    def __call__(self, X):
        r, outputs = nnx.Rngs(0), []
        low, high = (cell.initialize_carry((N, D), r) for cell in (self.low, self.high))
        for t in range(X.shape[1]):
            low, below = self.low(low, X[:, t])
            high, above = self.high(high, below)
            outputs.append(above)
        return jnp.stack(outputs, 1)


def loop(cell):
    model = Loop(cell)
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda a: numbers(*a.shape) * 0.4, state))
    return model, (numbers(N, T, D),)


class Linen(linen.Module):
    """Linen's layers below an output layer. make: the layers"""

    make: Callable

    @linen.compact
    def __call__(self, X):
        for layer in self.make():
            X = layer(X)
        return linen.Dense(3, param_dtype=jnp.float64)(X)


class LinenLoop(linen.Module):
    """A cell in a loop of one's own."""

    @linen.compact
    def __call__(self, X):
        cell = linen.LSTMCell(H, param_dtype=jnp.float64)
        carry, outputs = cell.initialize_carry(jax.random.key(0), X[:, 0].shape), []
        for t in range(X.shape[1]):
            carry, made = cell(carry, X[:, t])
            outputs.append(made)
        return jnp.stack(outputs, 1)


def bound(model, *shape):
    """With its variables, which tell every order of gates."""
    X = numbers(*shape)
    shapes = model.init(jax.random.key(0), X)
    return model.bind(jax.tree.map(lambda a: numbers(*a.shape) * 0.4, shapes)), (X,)


def of_linen(*makers, shape=(N, T, D)):
    return bound(Linen(lambda: [make() for make in makers]), *shape)


def linen_rnn(cell, **options):
    return linen.RNN(cell(H, param_dtype=jnp.float64), **options)


def numbers(*shape):
    return jnp.asarray(RNG.standard_normal(shape))


MODELS = {
    "an LSTM of two layers": lambda: (
        filled(rnn(nnx.LSTMCell), rnn(nnx.LSTMCell, H)), (numbers(N, T, D),)),
    "an optimised LSTM": lambda: (filled(rnn(nnx.OptimizedLSTMCell)), (numbers(N, T, D),)),
    "a GRU, time first": lambda: (filled(rnn(nnx.GRUCell, time_major=True)), (numbers(T, N, D),)),
    "a relu RNN": lambda: (
        filled(nnx.RNN(nnx.SimpleCell(
            D, H, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)))), (numbers(N, T, D),)),
    "backwards": lambda: (filled(rnn(nnx.GRUCell, reverse=True)), (numbers(N, T, D),)),
    "backwards, in order": lambda: (
        filled(rnn(nnx.GRUCell, reverse=True, keep_order=True)), (numbers(N, T, D),)),
    "both directions": lambda: (
        filled(both(nnx.LSTMCell), wide=2 * H), (numbers(N, T, D),)),
    "without examples": lambda: (filled(rnn(nnx.GRUCell)), (numbers(T, D),)),
    "LSTM cells in a loop": lambda: loop(nnx.LSTMCell),
    "GRU cells in a loop": lambda: loop(nnx.GRUCell),
    "Linen: an LSTM of two layers": lambda: of_linen(
        lambda: linen_rnn(linen.LSTMCell), lambda: linen_rnn(linen.OptimizedLSTMCell)),
    "Linen: a GRU, time first": lambda: of_linen(
        lambda: linen_rnn(linen.GRUCell, time_major=True), shape=(T, N, D)),
    "Linen: a relu RNN, backwards": lambda: of_linen(lambda: linen.RNN(linen.SimpleCell(
        H, activation_fn=jax.nn.relu, param_dtype=jnp.float64), reverse=True)),
    "Linen: both directions": lambda: of_linen(lambda: linen.Bidirectional(
        linen_rnn(linen.GRUCell), linen_rnn(linen.GRUCell))),
    "Linen: cells in a loop": lambda: bound(LinenLoop(), N, T, D),
    "Linen: a layer as it is": lambda: bound(linen_rnn(linen.LSTMCell), N, T, D),
}  # fmt: skip
"""Each makes a model and what it is called with. All of them are as Flax computes them."""

SLOPES = ("an LSTM of two layers", "both directions", "LSTM cells in a loop",
          "Linen: an LSTM of two layers", "Linen: cells in a loop")  # fmt: skip
"""Those whose gradients are asked for: JAX compiles a quarter of a minute for all."""

UNJUDGED = {
    "a merge of one's own": lambda: (
        filled(both(nnx.GRUCell, merge_fn=lambda a, b: a + b)), (numbers(N, T, D),)),
}  # fmt: skip

LAYERS = {
    "an LSTM of two layers": ["layers.0", "layers.1"],
    "GRU cells in a loop": ["low", "high"],
    "Linen: an LSTM of two layers": ["RNN_0", "RNN_1"],
    "Linen: both directions": ["Bidirectional_0"],
    "Linen: a layer as it is": ["model"],
}

NOTHING = nnx.Linear(2, 2, rngs=nnx.Rngs(0)), (jnp.zeros((3, 2)),)


WHOSE_X_IS_THE_MODEL_S = "an LSTM of two layers"
"""It is given X itself, in float64."""


def loss(outputs):
    return jnp.mean(outputs * outputs)


def array(outputs):
    return np.asarray(outputs)


class Wrong(nnx.LSTMCell):
    def __call__(self, carry, inputs):
        carry, outputs = super().__call__(carry, inputs)
        return carry, outputs * 1.01


def spoil(model) -> None:
    """Make a model compute something else than its layers' class says."""
    model.layers[0].cell.__class__ = Wrong
