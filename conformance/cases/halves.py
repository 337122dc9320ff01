"""Half precision: what the cases are in it, beside float64 and float32.

    bfloat16, float16   weights, state and whatever is computed in that format
    mixed               float32 weights and state; products in bfloat16, and of a framework's own
                        layers everything
    tf32                float32, but the factors of products keep 10 bits; on a GPU alone

Each is a tier with a noise floor of its own (oracle/formats.py), asked for by ``--dtype`` and never
part of the main job. NumPy has no bfloat16, and float32 holds all numbers of these formats, so that
records hold float32.
"""

from dataclasses import replace

import numpy as np

from conformance.cases.case import DTYPES, Case, Material

FORMATS = {"bfloat16": "bfloat16", "mixed": "bfloat16", "float16": "float16", "tf32": "tf32"}
"""By tier, the format that its coarsest results are rounded to."""

HALVES = tuple(FORMATS)
NATIVE = ("bfloat16", "float16")
"""Those whose weights and inputs are of the format itself."""

PRECISIONS = (*DTYPES, *HALVES)
"""Whatever a record may be asked for."""

BITS = {"bfloat16": 8, "float16": 11, "tf32": 11}
"""Of a format's significand, the leading one counted."""


def dtype_of(precision: str) -> str:
    """Of the arrays in a record."""
    return precision if precision in DTYPES else "float32"


def left_out(case: Case, precision: str) -> str | None:
    """Why a case is not asked in a precision: a sentence, or None if it is."""
    if precision not in HALVES:
        return None
    if case.regimes or case.elementwise:
        return "it is in a regime, which is judged in float64 and float32 alone"
    if case.spec.gate_clip is not None:
        return "at the clip of a gate its gradient jumps, and rounding decides on which side it is"
    return None


def unit_of(precision: str) -> float:
    """u: the largest relative error of one rounding to the tier's format."""
    return 2.0 ** -BITS[FORMATS[precision]]


def rounded(array: np.ndarray, form: str) -> np.ndarray:
    """To the nearest number of a format, ties to even; float32.

    What is larger than float16's largest number is infinite, and below its smallest normal one the
    spacing stays as it is there."""
    array = np.asarray(array, "float32")
    if form == "float16":
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype("float16").astype("float32")
    unit, bits = np.uint32(24 - BITS[form]), array.view("uint32")
    kept = bits >> unit & np.uint32(1)
    kept += bits
    kept += HALF[form]
    kept &= ~(np.uint32(2) ** unit - np.uint32(1))
    found, finite = kept.view("float32"), np.isfinite(array)
    return found if finite.all() else np.where(finite, found, array)


HALF = {form: np.uint32(2 ** (23 - bits) - 1) for form, bits in BITS.items()}
"""Just under one half of the last place, by format."""


def in_precision(given: Material, precision: str) -> Material:
    """The numbers of a case as a tier has them; of ``mixed`` and ``tf32`` they stay float32."""
    if precision not in NATIVE:
        return given

    def of(array: np.ndarray) -> np.ndarray:
        return rounded(array, precision).astype("float64")

    return replace(
        given,
        params={name: of(array) for name, array in given.params.items()},
        X=of(given.X),
        state={part: of(array) for part, array in given.state.items()},
    )
