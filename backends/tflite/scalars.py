"""The functions of one number that cells and the loss are made of, as TFLite has them."""

from collections.abc import Callable

import keras
import numpy as np

from backends.tflite.runtime import Session, check

FUNCTIONS = {
    "tanh": keras.ops.tanh,
    "sigmoid": keras.ops.sigmoid,
    "exp": keras.ops.exp,
    "log_softmax": keras.ops.log_softmax,
}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    check(device, dtype)

    def over(name: str) -> Callable[[np.ndarray], np.ndarray]:
        x = keras.Input((2,), name="x")
        session = Session(keras.Model([x], FUNCTIONS[name](x)), ["y"])

        def function(array: np.ndarray) -> np.ndarray:
            # log softmax(a, 0)₁ = −log(1 + e^−a); the others leave their 0 alone
            pairs = np.stack([array.astype(dtype).ravel(), np.zeros(array.size, dtype)], -1)
            return session({"x": pairs})["y"][:, 0].reshape(array.shape)

        return function

    return {name: over(name) for name in FUNCTIONS}
