"""What a user would write without this suite: the benchmark's baseline, and nothing else."""

from collections.abc import Callable

import numpy as np
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

from common.spec import ModelSpec


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    kind = {"rnn": gluon.rnn.RNN, "gru": gluon.rnn.GRU, "lstm": gluon.rnn.LSTM}[spec.cell]
    activation = {"activation": spec.activations[0]} if spec.cell == "rnn" else {}
    layer = kind(spec.h, spec.L, input_size=spec.d, dtype=dtype, **activation)
    output = nn.Dense(spec.q, flatten=False, in_units=spec.h, dtype=dtype)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    layer.initialize()
    output.initialize()
    weights = [*layer.collect_params().values(), *output.collect_params().values()]

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        X, Y = nd.array(X, dtype=dtype), nd.array(Y, dtype="int32")
        state = [nd.zeros((spec.L, X.shape[1], spec.h), dtype=dtype) for _ in spec.states]
        for tensor in (X, *state):
            tensor.attach_grad()
        with autograd.record():
            H, _ = layer(X, state)
            mean = loss(output(H).reshape((-1, spec.q)), Y.reshape((-1,))).mean()
        mean.backward()
        return [w.grad().asnumpy() for w in weights] + [t.grad.asnumpy() for t in (X, *state)]

    return gradients
