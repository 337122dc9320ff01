"""Live models of Flax that are captured."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from backends.jax.capture import capture

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
}  # fmt: skip
"""Each makes a model and what it is called with. All of them are as Flax computes them."""

SLOPES = ("an LSTM of two layers", "both directions")
"""Those whose gradients are asked for: JAX compiles a quarter of a minute for all."""

UNJUDGED = {
    "a merge of one's own": lambda: (
        filled(both(nnx.GRUCell, merge_fn=lambda a, b: a + b)), (numbers(N, T, D),)),
}  # fmt: skip

LAYERS = {"an LSTM of two layers": ["layers.0", "layers.1"]}

NOTHING = nnx.Linear(2, 2, rngs=nnx.Rngs(0)), (jnp.zeros((3, 2)),)


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


__all__ = ["LAYERS", "MODELS", "NOTHING", "SLOPES", "UNJUDGED", "array", "capture", "loss", "spoil"]
