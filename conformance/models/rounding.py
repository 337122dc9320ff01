"""Arithmetic in less than full precision, simulated: what float16, TF32 or int8 make of a number.

``operand`` rounds what goes into a matrix product, ``value`` every number that is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]


def as_is(a: np.ndarray) -> np.ndarray:
    return a


def half(a: np.ndarray) -> np.ndarray:
    return a.astype("float16").astype(a.dtype)


def single(a: np.ndarray) -> np.ndarray:
    return a.astype("float32").astype(a.dtype)


def to_bits(bits: int) -> Change:
    """Rounds to so many bits after the leading one."""

    def rounded(a: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(a)
        scale = a.dtype.type(2.0 ** (bits + 1))
        return np.ldexp(np.rint(mantissa * scale) / scale, exponent).astype(a.dtype)

    return rounded


def weight8(W: np.ndarray) -> np.ndarray:
    """Symmetric int8 with one scale for the whole matrix."""
    scale = float(np.max(np.abs(W))) / 127.5 or 1.0
    return np.clip(np.rint(W / scale), -128, 127) * scale


def narrow8(W: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Symmetric int8 from −127 to 127, as ONNX and TensorFlow Lite have it."""
    scale = np.max(np.abs(W), axis=axis, keepdims=True) / 127
    scale = np.where(scale, scale, 1).astype(W.dtype)
    return np.clip(np.rint(W / scale), -127, 127) * scale


def activation8(a: np.ndarray) -> np.ndarray:
    """Unsigned int of 7 bits with scale and zero point of this very tensor, as x86 kernels do."""
    low, high = min(float(a.min(initial=0)), 0.0), max(float(a.max(initial=0)), 0.0)
    scale = (high - low) / 127 or 1.0
    return (np.rint(a / scale - np.rint(low / scale)) + np.rint(low / scale)) * scale


@dataclass(frozen=True)
class Rounding:
    """says: as it is called; operand, weight: what goes into a product; value: all that is stored;
    fits: what outputs look like that went through it, None if they show nothing"""

    says: str
    operand: Change = as_is
    weight: Change = as_is
    value: Change = as_is
    fits: Change | None = None


bfloat16 = to_bits(7)
TF32 = to_bits(10)

ROUNDINGS = {
    "float32": Rounding("float32", single, single, single, single),
    "float32 products": Rounding("float32 in the matrix products", single, single),
    "tf32": Rounding("TF32 in the matrix products", TF32, TF32, as_is),
    "float16": Rounding("float16", half, half, half, half),
    "bfloat16": Rounding("bfloat16", bfloat16, bfloat16, bfloat16, bfloat16),
    "bfloat16 products": Rounding("bfloat16 in the matrix products", bfloat16, bfloat16, as_is),
    "float16 weights": Rounding("weights rounded to float16", as_is, half, as_is),
    "int8": Rounding("int8 (dynamic quantisation)", activation8, weight8, as_is),
    "int8 weights": Rounding("weights rounded to int8", as_is, weight8, as_is),
    "int8 weights, ±127": Rounding("weights rounded to int8, to ±127", as_is, narrow8, as_is),
    "int8 weights by unit": Rounding(
        "weights rounded to int8, with a scale for each unit", as_is, lambda W: narrow8(W, 0)
    ),
}
"""From the finest to the coarsest."""
