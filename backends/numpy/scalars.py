"""The functions of one number that cells and the loss are made of, as the reference computes
them."""

from collections.abc import Callable

import numpy as np

from backends.numpy.equations import sigmoid
from common.errors import BadInput


def log_softmax(a: np.ndarray) -> np.ndarray:
    """log softmax(a, 0)₁ = −log(1 + e^−a)"""
    O = np.stack([a, np.zeros_like(a)], -1)
    shifted = O - O.max(-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))[..., 0]


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "exp": np.exp,
    "log_softmax": log_softmax,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    if device != "cpu":
        raise BadInput("numpy", "device", "cpu", device)

    def over(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        def run(array: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):  # an atlas goes to the edges, and beyond
                return function(array.astype(dtype))

        return run

    return {name: over(function) for name, function in FUNCTIONS.items()}
