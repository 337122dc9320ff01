"""Live models of Gluon that are captured."""

import mxnet as mx
import numpy as np
from mxnet import autograd, nd
from mxnet.gluon import nn, rnn

from backends.mxnet.capture import capture as capture
from backends.mxnet.capture import from_array as from_array

T, N, D, H = 6, 4, 5, 7
RNG = np.random.RandomState(3)


class Net(nn.HybridBlock):
    """A recurrent layer inside of blocks, below an output layer."""

    def __init__(self, layer):
        super().__init__()
        self.inner = nn.HybridSequential()
        self.inner.add(layer)
        self.readout = nn.Dense(3, flatten=False)
        filled(self, numbers(*((N, T, D) if layer._layout == "NTC" else (T, N, D))))

    def hybrid_forward(self, F, X):
        return self.readout(self.inner(X))


class Training(Net):
    """It goes into the mode for training by itself."""

    def __call__(self, X):
        with autograd.train_mode():
            return super().__call__(X)


class Loop(nn.Block):
    """Cells that are stacked and unrolled."""

    def __init__(self, *cells):
        super().__init__()
        self.stack = rnn.SequentialRNNCell()
        for cell in cells:
            self.stack.add(cell)
        filled(self, numbers(T, N, D))

    def forward(self, X):
        state = self.stack.begin_state(batch_size=N, dtype="float64")
        return self.stack.unroll(T, X, state, layout="TNC", merge_outputs=True)[0]


class Carried(nn.Block):
    """A state of its own, and a second layer that begins with it."""

    def __init__(self):
        super().__init__()
        self.low, self.high = rnn.LSTM(H), rnn.LSTM(H)
        filled(self, numbers(T, N, D))

    def forward(self, X):
        outputs, state = self.low(X, self.low.begin_state(N, dtype="float64"))
        return self.high(outputs, state)[0]


class Wrong(rnn.LSTM):
    def _forward_kernel(self, *values, **weights):
        outputs, state = super()._forward_kernel(*values, **weights)
        return outputs * 1.01, state


def filled(model, X):
    """With weights that tell every order of gates, in float64."""
    model.cast("float64")
    model.initialize(mx.init.Zero())
    model(X)
    for parameter in model.collect_params().values():
        parameter.set_data(numbers(*parameter.shape) * 0.4)
    return model


def numbers(*shape):
    return nd.array(RNG.standard_normal(shape), dtype="float64")


def hybridised():
    model = Net(rnn.GRU(H))
    model.hybridize()
    model(numbers(T, N, D))
    return model, (numbers(T, N, D),)


MODELS = {
    "an LSTM of two layers": lambda: (Net(rnn.LSTM(H, 2)), (numbers(T, N, D),)),
    "a GRU, batch first": lambda: (Net(rnn.GRU(H, layout="NTC")), (numbers(N, T, D),)),
    "a tanh RNN": lambda: (Net(rnn.RNN(H, activation="tanh")), (numbers(T, N, D),)),
    "both directions": lambda: (Net(rnn.LSTM(H, 2, bidirectional=True)), (numbers(T, N, D),)),
    "LSTM cells": lambda: (Loop(rnn.LSTMCell(H), rnn.LSTMCell(H)), (numbers(T, N, D),)),
    "GRU cells": lambda: (Loop(rnn.GRUCell(H)), (numbers(T, N, D),)),
    "RNN cells": lambda: (Loop(rnn.RNNCell(H, activation="relu")), (numbers(T, N, D),)),
    "a state that is handed on": lambda: (Carried(), (numbers(T, N, D),)),
    "hybridised": hybridised,
}
"""Each makes a model and what it is called with. All of them are as MXNet computes them."""

SLOPES = ("LSTM cells", "a GRU, batch first", "a tanh RNN")
"""Those whose gradients are asked for: those below the top layer of a stack are MXNet's known fault
(tests/deviations), unless X has one."""

UNJUDGED = {
    "a dropout that is active": lambda: (Training(rnn.LSTM(H, 2, dropout=0.5)), (numbers(T, N, D),))
}

LAYERS = {"hybridised": ["inner.0"], "LSTM cells": ["stack.0", "stack.1"]}


def nothing():
    model = nn.Dense(2)
    model.initialize()
    return model, (nd.zeros((3, 2)),)


NOTHING = nothing()


WHOSE_X_IS_THE_MODEL_S = "a tanh RNN"
"""It is given X itself, in float64."""


def loss(outputs):
    return (outputs * outputs).mean()


def array(outputs):
    return outputs.asnumpy()


def spoil(model) -> None:
    """Make a model compute something else than its layers' class says."""
    model.inner[0].__class__ = Wrong
