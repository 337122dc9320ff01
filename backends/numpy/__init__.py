"""The NumPy reference: vectorised, with backpropagation through time written by hand."""

import platform
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from backends.numpy.backward import loss_and_gradients
from backends.numpy.equations import forward, stacked
from backends.numpy.scalars import scalars as scalars
from backends.numpy.training import Trainer, kept_of, last_state, own_steps
from backends.protocol import Forward, Gradients
from common.dropout import Dropout
from common.errors import BadInput
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec

IMPLEMENTATIONS = ("equations",)  # NumPy has no recurrent layers of its own
DTYPES = ("float32", "float64")


class Model:
    """Canonical parameters are the reference's own; nothing is mapped."""

    def __init__(self, spec: ModelSpec, params: Arrays, dtype: str) -> None:
        self.spec, self.dtype = spec, dtype
        self.params = self._cast(params)
        self.eye = np.eye(spec.d, dtype=dtype)

    def _cast(self, arrays: Arrays) -> Arrays:
        return {name: array.astype(self.dtype) for name, array in arrays.items()}

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return self.eye[X] if X.ndim == 2 else X.astype(self.dtype)

    def parameters(self) -> Arrays:
        return {name: array.copy() for name, array in self.params.items()}

    def kept(self, X: np.ndarray, dropout: Dropout | None) -> list[np.ndarray]:
        """What is kept between layers, and scaled   (DROP-1)"""
        return kept_of(self.spec, X, dropout, self.dtype)

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        more = own_steps(X, lengths), self.kept(X, dropout)
        O, layers = forward(self.spec, self.params, self.inputs(X), self._cast(state), *more)
        return O, last_state(layers, state)

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        state, more = self._cast(state), (own_steps(X, lengths), self.kept(X, dropout))
        O, layers = forward(self.spec, self.params, self.inputs(X), state, *more)
        trace = {p: stacked([layer.states(p) for layer in layers], axis=1) for p in state}
        return Forward(O, last_state(layers, state), trace)

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        more = own_steps(X, lengths), self.kept(X, dropout)
        given = self.inputs(X), Y, self._cast(state), *more
        loss, grads, _ = loss_and_gradients(self.spec, self.params, *given)
        return Gradients(loss, grads)

    def trainer(self, recipe: Recipe, state: Arrays) -> Trainer:
        return Trainer(self, recipe, state)


class Equations:
    """``numpy:equations``, in the dtype that it is made for."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return None

    def model(self, spec: ModelSpec, params: Arrays) -> Model:
        return Model(spec, params, self.dtype)


def implementation(name: str, device: str, dtype: str) -> Equations:
    if name not in IMPLEMENTATIONS:
        raise BadInput("numpy", "implementation", f"one of {', '.join(IMPLEMENTATIONS)}", name)
    if device != "cpu":
        raise BadInput("numpy", "device", "cpu", device)
    if dtype not in DTYPES:
        raise BadInput("numpy", "dtype", f"one of {', '.join(DTYPES)}", dtype)
    return Equations(dtype)


def passport(device: str) -> dict[str, Any]:
    # NumPy's own matrix products, if it was built without a BLAS, run in one thread.
    libraries = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    return {
        "framework": "numpy",
        "version": np.__version__,
        "mode": "NumPy, differentiated by hand",
        "device": platform.processor() or platform.machine(),
        "threads": max((lib["num_threads"] for lib in libraries), default=1),
        "blas": [f"{lib['internal_api']} {lib['version']}" for lib in libraries],
        "kernel path": {"float32": "vectorised NumPy", "float64": "vectorised NumPy"},
    }
