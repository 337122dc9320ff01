"""The functions of one number that cells and the loss are made of, as PyTorch computes them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from backends.pytorch.runtime import DTYPES, find_device


def log_softmax(a: Tensor) -> Tensor:
    """log softmax(a, 0)₁ = −log(1 + e^−a)"""
    return torch.log_softmax(torch.stack([a, torch.zeros_like(a)], -1), -1)[..., 0]


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log_softmax": log_softmax,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    options = {"device": find_device(device, dtype), "dtype": DTYPES[dtype]}

    def over(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda array: function(torch.tensor(array, **options)).cpu().numpy()

    return {name: over(function) for name, function in FUNCTIONS.items()}
