"""The functions of one number that cells and the loss are made of, as JAX computes them. Its tanh
is XLA's own; that of the nets, which is rounded from float64, is ``net_tanh``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from backends.jax.runtime import DTYPES, find_device, tanh


def log_softmax(a: jax.Array) -> jax.Array:
    """log softmax(a, 0)₁ = −log(1 + e^−a)"""
    return jax.nn.log_softmax(jnp.stack([a, jnp.zeros_like(a)], -1), -1)[..., 0]


FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.lax.logistic,
    "exp": jnp.exp,
    "log_softmax": log_softmax,
    "net_tanh": tanh,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    place, kind = find_device(device, dtype), DTYPES[dtype]

    def over(function: Callable[[jax.Array], jax.Array]) -> Callable[[np.ndarray], np.ndarray]:
        compiled = jax.jit(function)
        return lambda array: np.asarray(compiled(jax.device_put(array.astype(kind), place)))

    return {name: over(function) for name, function in FUNCTIONS.items()}
