"""The functions of one number that cells and the loss are made of, as MXNet computes them. Its
log-softmax is oneDNN's; that of the nets, op by op, is ``net_log_softmax``."""

from collections.abc import Callable

import numpy as np
from mxnet import nd
from mxnet.ndarray import NDArray

from backends.mxnet.runtime import find_device


def log_softmax(a: NDArray) -> NDArray:
    """log softmax(a, 0)₁ = −log(1 + e^−a)"""
    return nd.log_softmax(nd.stack(a, nd.zeros_like(a), axis=-1), axis=-1)[..., 0]


def net_log_softmax(a: NDArray) -> NDArray:
    """The same, op by op, as in LOSS-1"""
    O = nd.stack(a, nd.zeros_like(a), axis=-1)
    shifted = O - O.max(axis=-1, keepdims=True)
    return (shifted - nd.log(nd.exp(shifted).sum(axis=-1, keepdims=True)))[..., 0]


FUNCTIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "tanh": nd.tanh,
    "sigmoid": nd.sigmoid,
    "exp": nd.exp,
    "log_softmax": log_softmax,
    "net_log_softmax": net_log_softmax,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    options = {"ctx": find_device(device, dtype), "dtype": dtype}

    def over(function: Callable[[NDArray], NDArray]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda array: function(nd.array(array, **options)).asnumpy()

    return {name: over(function) for name, function in FUNCTIONS.items()}
