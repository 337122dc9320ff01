"""The functions of one number that cells and the loss are made of, as ONNX Runtime has them."""

from collections.abc import Callable

import numpy as np
from onnx import helper

from backends.onnxruntime.layers import make_model
from backends.onnxruntime.runtime import Session, check

OPERATORS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "log_softmax": "LogSoftmax"}


def scalars(device: str, dtype: str) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, each function of every number of an array."""
    check(device, dtype)

    def over(name: str, operator: str) -> Callable[[np.ndarray], np.ndarray]:
        session = Session(make_model([helper.make_node(operator, ["x"], ["y"])], ["x"], ["y"], {}))

        def function(array: np.ndarray) -> np.ndarray:
            x = array.astype(dtype)
            if name != "log_softmax":
                return session({"x": x})["y"]
            # log softmax(a, 0)₁ = −log(1 + e^−a)
            return session({"x": np.stack([x, np.zeros_like(x)], -1)})["y"][..., 0]

        return function

    return {name: over(name, operator) for name, operator in OPERATORS.items()}
