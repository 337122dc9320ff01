"""What goes wrong from some size on, and where less precision is kept than the label says.

Each begins just above a power of two, where kernels begin another block.
"""

import numpy as np

from conformance.cases.regimes import CLASSES, INPUTS, LAYERS, ROWS, SATURATED, STEPS, UNITS
from conformance.mutants.losses import chosen, loss_of, softmax
from conformance.mutants.mutant import Mutant
from conformance.oracle.conventions import Conventions
from conformance.oracle.equations import Value


def beyond(axis: int, limit: int):
    """Zeros from an index on, and no gradient."""

    def change(a: np.ndarray) -> np.ndarray:
        keep = np.arange(a.shape[axis]) < limit
        return a * np.expand_dims(keep, [k for k in range(a.ndim) if k != axis % a.ndim])

    return change


def of_product(left=lambda a: a, result=lambda a: a, when=lambda a, b: True):
    """A matrix product with changes of its left factor and of its result, forward and backward."""

    def product(a: Value, b: Value) -> Value:
        if not when(a.data, b.data):
            return a @ b
        A = left(a.data)
        return Value(
            result(A @ b.data),
            ((a, lambda g: left(result(g) @ b.data.T)), (b, lambda g: A.T @ result(g))),
        )

    return product


def rounded(kind: str, when=lambda a, b: True):
    """Products that are added up in another format."""

    def product(a: Value, b: Value) -> Value:
        if not when(a.data, b.data):
            return a @ b
        A, B, dtype = a.data.astype(kind), b.data.astype(kind), a.data.dtype
        return Value(
            (A @ B).astype(dtype),
            (
                (a, lambda g: (g.astype(kind) @ B.T).astype(dtype)),
                (b, lambda g: (A.T @ g.astype(kind)).astype(dtype)),
            ),
        )

    return product


def recurrent(a: np.ndarray, b: np.ndarray) -> bool:
    return b.shape[0] == b.shape[1]


def padded(a: Value, b: Value) -> Value:
    """The inner size is padded to a multiple of 8, with the last element instead of zeros."""
    more = -a.data.shape[1] % 8
    weight = np.ones(a.data.shape[1])
    weight[-1] += more
    A, B = a.data * weight, b.data
    return Value(A @ B, ((a, lambda g: (g @ B.T) * weight), (b, lambda g: A.T @ g)))


def first_classes(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only the first 128 classes are normalised over."""
    p = np.zeros_like(O)
    p[:, :128] = softmax(O[:, :128])
    value, slope = chosen(p, Y)
    return np.log(np.maximum(value, 1e-30)), slope


def truncated(spec, grads):
    X = grads["X"].copy()
    X[: max(0, len(X) - 64)] = 0
    return grads | {"X": X}


def rounded_up(X: Value, H: Value) -> Value:
    return Value(H.data.astype("float32").astype(H.data.dtype), ((H, lambda g: g),))


def _size(regime: str, name: str, says: str, applies=lambda spec: True, forward=True, **choices):
    conventions = Conventions(**choices)
    return Mutant(name, says, conventions, applies, forward=forward, regimes=frozenset([regime]))


SIZES = [
    _size(STEPS, "inputs beyond step 64 lost", "inputs are read as 0 from step 65 on",
          inputs=(beyond(0, 64),)),
    _size(STEPS, "gradient beyond 64 steps lost", "gradients by X go back 64 steps and no further",
          forward=False, gradients=(truncated,)),
    _size(ROWS, "rows beyond 64 lost", "matrix products are 0 for rows from the 65th on",
          product=of_product(result=beyond(0, 64))),
    _size(ROWS, "inputs of rows beyond 64 lost", "inputs are 0 for rows from the 65th on",
          inputs=(beyond(1, 64),)),
    _size(UNITS, "units beyond 256 lost", "sums over more than 256 elements leave out the rest",
          product=of_product(left=beyond(1, 256))),
    _size(UNITS, "last units computed as zero", "columns from the 257th on are 0",
          product=of_product(result=beyond(1, 256))),
    _size(UNITS, "padding read back", "inner sizes are padded to a multiple of 8 with what is last",
          product=padded),
    _size(INPUTS, "inputs beyond 128 lost", "inputs from the 129th on are 0",
          inputs=(beyond(2, 128),)),
    _size(CLASSES, "classes beyond 128 lost", "the softmax is over the first 128 classes",
          forward=False, loss=loss_of(first_classes)),
    _size(CLASSES, "classes in a signed byte", "targets above 127 are taken for 127", forward=False,
          targets=(lambda Y: np.minimum(Y, 127),)),
    _size(LAYERS, "layers beyond 8 lost", "layers above the eighth are left out",
          order=lambda L: list(range(1, min(L, 8) + 1))),
    _size(SATURATED, "recurrent products in float32", "recurrent products are added up in float32",
          product=rounded("float32", recurrent)),
    _size(SATURATED, "products in float16", "matrix products are added up in float16",
          product=rounded("float16")),
    _size(SATURATED, "float32 in the output layer", "the output layer reads H in float32",
          reads=lambda before, after: rounded_up(after[-1]["H"], after[-1]["H"])),
]  # fmt: skip
