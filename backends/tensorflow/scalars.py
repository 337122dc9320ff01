"""The functions of one number that cells and the loss are made of, as TensorFlow computes them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from backends.tensorflow.runtime import DTYPES, find_device


def log_softmax(a: tf.Tensor) -> tf.Tensor:
    """log softmax(a, 0)₁ = −log(1 + e^−a)"""
    return tf.nn.log_softmax(tf.stack([a, tf.zeros_like(a)], -1), -1)[..., 0]


FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "exp": tf.exp,
    "log_softmax": log_softmax,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    place, kind = find_device(device, dtype), DTYPES[dtype]

    def over(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        def run(array: np.ndarray) -> np.ndarray:
            with tf.device(place):
                return function(tf.constant(array, kind)).numpy()

        return run

    return {name: over(function) for name, function in FUNCTIONS.items()}
