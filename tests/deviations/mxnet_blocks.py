"""Gluon's recurrent layers with reproducible weights, and their gradients."""

from functools import partial

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, init, nd

KINDS = {
    "rnn": partial(gluon.rnn.RNN, activation="tanh"),
    "gru": gluon.rnn.GRU,
    "lstm": gluon.rnn.LSTM,
}
T, N, D, H = 6, 3, 5, 7


def make(kind: str, layers: int, dtype: str, **options) -> gluon.Block:
    mx.random.seed(1)
    block = KINDS[kind](H, num_layers=layers, input_size=D, dtype=dtype, **options)
    block.initialize(init.Uniform(0.5))
    return block


def data(dtype: str, *shape: int) -> nd.NDArray:
    return nd.random.uniform(-1, 1, shape=shape or (T, N, D), dtype=dtype)


def gradients(block: gluon.Block, x: nd.NDArray, by_x: bool = True) -> dict[str, np.ndarray]:
    """The gradients of Σ H² by the parameters, and by x if asked for."""
    x = x.copy()
    if by_x:
        x.attach_grad()
    with autograd.record():
        loss = block(x).square().sum()
    loss.backward()
    weights = block.collect_params().items()
    prefix = block.prefix
    found = {n.removeprefix(prefix): w.grad() for n, w in weights if w.grad_req != "null"}
    found = {name: gradient.asnumpy() for name, gradient in found.items()}
    return found | ({"x": x.grad.asnumpy()} if by_x else {})


def layer_by_layer(kind: str, block: gluon.Block, x: nd.NDArray) -> dict[str, np.ndarray]:
    """The same from blocks of one layer, which are right."""
    stack, names = gluon.nn.Sequential(), {}
    for layer in range(block._num_layers):
        one = KINDS[kind](H, input_size=H if layer else D, dtype=np.dtype(x.dtype).name)
        one.initialize(init.Zero())
        for name in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"):
            getattr(one, f"l0_{name}").set_data(getattr(block, f"l{layer}_{name}").data())
            names[getattr(one, f"l0_{name}").name] = f"l{layer}_{name}"
        stack.add(one)
    x = x.copy()
    x.attach_grad()
    with autograd.record():
        loss = stack(x).square().sum()
    loss.backward()
    found = {names[n]: w.grad().asnumpy() for n, w in stack.collect_params().items()}
    return found | {"x": x.grad.asnumpy()}


def slopes(kind: str, rate: float) -> dict[str, float]:
    """By parameter of two layers with dropout, how far ⟨gradient, v⟩ is off the difference quotient
    of Σ H² along a direction v, relative. The same seed draws the same masks again."""
    block, x = make(kind, 2, "float64", dropout=rate), data("float64")
    x.attach_grad()

    def loss() -> nd.NDArray:
        mx.random.seed(1)
        with autograd.record():
            return block(x).square().sum()

    loss().backward()
    found, step = {}, 1e-5
    for name, weight in block.collect_params().items():
        at, v = weight.data().copy(), data("float64", *weight.shape)
        slope = (weight.grad() * v).sum().asscalar()
        ends = []
        for side in (step, -step):
            weight.set_data(at + side * v)
            ends.append(loss().asscalar())
        weight.set_data(at)
        quotient = (ends[0] - ends[1]) / (2 * step)
        found[name.removeprefix(block.prefix)] = abs(slope - quotient) / abs(quotient)
    return found


def error(got: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(got - right).max() / np.abs(right).max())
