"""What a user would write without this suite: the benchmark's baselines, and nothing else."""

import math
from collections.abc import Callable

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

from backends.mxnet.runtime import Scalar
from common.recipe import Recipe
from common.spec import ModelSpec


def make(spec: ModelSpec, dtype: str) -> tuple[gluon.rnn.RNN, nn.Dense, list[gluon.Parameter]]:
    """The recurrent layers, the output layer and all weights, as Gluon initialises them."""
    kind = {"rnn": gluon.rnn.RNN, "gru": gluon.rnn.GRU, "lstm": gluon.rnn.LSTM}[spec.cell]
    options = {"activation": spec.activations[0]} if spec.cell == "rnn" else {}
    options |= {"bidirectional": spec.directions == 2, "dtype": dtype}
    layer = kind(spec.h, spec.L, input_size=spec.d, **options)
    output = nn.Dense(spec.q, flatten=False, in_units=spec.width, dtype=dtype)
    layer.initialize()
    output.initialize()
    return layer, output, [*layer.collect_params().values(), *output.collect_params().values()]


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    layer, output, weights = make(spec, dtype)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        X, Y = nd.array(X, dtype=dtype), nd.array(Y, dtype="int32")
        state = [nd.zeros((spec.rows, X.shape[1], spec.h), dtype=dtype) for _ in spec.states]
        for tensor in (X, *state):
            tensor.attach_grad()
        with autograd.record():
            H, _ = layer(X, state)
            mean = loss(output(H).reshape((-1, spec.q)), Y.reshape((-1,))).mean()
        mean.backward()
        return [w.grad().asnumpy() for w in weights] + [t.grad.asnumpy() for t in (X, *state)]

    return gradients


def bare_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], Scalar]:
    """A training step as one writes it who knows Gluon: from class numbers X and Y (T, n) to the
    loss, which is not read; with Gluon's own clip and SGD, and no value is waited for."""
    layer, output, weights = make(spec, dtype)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(weights, "sgd", {"learning_rate": recipe.learning_rate})
    state = layer.begin_state(recipe.n, dtype=dtype)

    def step(X: np.ndarray, Y: np.ndarray) -> Scalar:
        nonlocal state
        X, Y = nd.array(X, dtype="int32"), nd.array(Y, dtype="int32")
        one_hot = nd.one_hot(X, spec.d, dtype=dtype)
        with autograd.record():
            H, last = layer(one_hot, state)
            loss = loss_function(output(H).reshape((-1, spec.q)), Y.reshape((-1,))).mean()
        loss.backward()
        gluon.utils.clip_global_norm([w.grad() for w in weights], recipe.clip, False)
        trainer.step(1)
        state = [part.detach() for part in last]
        return Scalar(loss)

    return step


def d2l_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A training step as D2L 0.17 writes it for MXNet, over mx.np: the clip reads the norm to
    decide, and the loss is read into a metric at every step. Source: ``train_epoch_ch8``,
    ``grad_clipping``."""
    with mx.util.np_shape(True), mx.util.np_array(True):
        layer, output, weights = make(spec, dtype)
        loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
        trainer = gluon.Trainer(weights, "sgd", {"learning_rate": recipe.learning_rate})
        state = layer.begin_state(recipe.n, dtype=dtype)
    metric = [0.0, 0.0]

    def clip(theta: float) -> None:
        arrays = [w.data() for w in weights]
        norm = math.sqrt(sum((array.grad**2).sum() for array in arrays))
        if norm > theta:
            for array in arrays:
                array.grad[:] *= theta / norm

    @mx.util.use_np
    def step(X: np.ndarray, Y: np.ndarray) -> float:
        nonlocal state
        for part in state:
            part.detach()
        X, Y = mx.np.array(X), mx.np.array(Y).reshape(-1)
        with autograd.record():
            H, state = layer(mx.npx.one_hot(X, spec.d, dtype=dtype), state)
            O = output(H.reshape(-1, H.shape[-1]))
            loss = loss_function(O, Y).mean()
        loss.backward()
        clip(recipe.clip)
        trainer.step(1)
        metric[0] += float(loss * Y.size)
        metric[1] += Y.size
        return float(loss)

    return step
