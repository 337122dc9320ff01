"""Matrix products that are computed in less precision than their label says."""

import numpy as np

from conformance.mutants.mutant import Mutant
from conformance.oracle.conventions import Conventions
from conformance.oracle.equations import Value


def to_bits(bits: int):
    """Round to so many bits after the leading one, as a tensor core rounds its inputs."""

    def rounded(a: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(a)
        scale = a.dtype.type(2.0 ** (bits + 1))
        return np.ldexp(np.rint(mantissa * scale) / scale, exponent)

    return rounded


def single(a: np.ndarray) -> np.ndarray:
    return a.astype("float32")


def products(rounded):
    """Every matrix product, forward and backward, of operands that are rounded first."""

    def product(a: Value, b: Value) -> Value:
        A, B = rounded(a.data), rounded(b.data)
        dtype = a.data.dtype
        return Value(
            (A @ B).astype(dtype),
            (
                (a, lambda g: (rounded(g) @ B.T).astype(dtype)),
                (b, lambda g: (A.T @ rounded(g)).astype(dtype)),
            ),
        )

    return product


def _mutant(name: str, says: str, rounded) -> Mutant:
    return Mutant(name, says, Conventions(product=products(rounded)))


NUMERICS = [
    _mutant("float32 products", "matrix products are computed in float32", single),
    _mutant("TF32 products", "matrix products round their operands to TF32 (10 bits)", to_bits(10)),
    _mutant("bfloat16 products", "matrix products round their operands to bfloat16 (7 bits)",
            to_bits(7)),
]  # fmt: skip
