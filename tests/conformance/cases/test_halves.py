"""The formats of half precision, and which cases are asked in them."""

import importlib

import numpy as np
import pytest

from common.corpus import load_corpus
from conformance.cases.given import Given
from conformance.cases.halves import (
    BITS,
    HALVES,
    NATIVE,
    PRECISIONS,
    dtype_of,
    in_precision,
    left_out,
    rounded,
    unit_of,
)
from conformance.cases.table import DTYPES, find_case, material, suite_cases

GIVEN = Given(load_corpus())
SPECIAL = np.float32([0, -0.0, 65519.99, 65520, -65520, 6e-8, 2.9e-8, 3e-8, 6.1e-5, 3.4e38])


def any_float32(count: int = 100_000) -> np.ndarray:
    """Bit patterns of all kinds, numbers of all sizes, and what is special."""
    draw = np.random.RandomState(0)
    bits = draw.randint(0, 2**16, (2, count)).astype("uint32")
    usual = draw.standard_normal(count) * 10.0 ** draw.uniform(-9, 6, count)
    patterns = (bits[0] << np.uint32(16) | bits[1]).view("float32")
    return np.concatenate([patterns, usual.astype("float32"), SPECIAL])


def test_float16_is_the_nearest_of_its_numbers():
    """Multiples of 2^-24, or of 2^-10 of the exponent where that is more; ∞ from 65,520 on."""
    given = any_float32()
    assert np.isnan(given).any()
    with np.errstate(invalid="ignore", over="ignore"):
        exponent = np.frexp(given.astype("float64"))[1] - 1
        spacing = 2.0 ** np.maximum(exponent - 10, -24)
        wanted = np.rint(given / spacing) * spacing
        wanted = np.where(np.abs(wanted) > 65504, np.copysign(np.inf, given), wanted)
    assert np.array_equal(rounded(given, "float16"), wanted, equal_nan=True)


def test_bfloat16_is_what_the_framework_makes_of_it(backend_name):
    if backend_name not in ("pytorch", "jax", "tensorflow"):
        pytest.skip("has no bfloat16 of its own")
    given = any_float32()
    if backend_name == "pytorch":
        torch = importlib.import_module("torch")
        wanted = torch.from_numpy(given).bfloat16().float().numpy()
    else:
        own = importlib.import_module("ml_dtypes").bfloat16
        wanted = given.astype(own).astype("float32")
    assert np.array_equal(rounded(given, "bfloat16"), wanted, equal_nan=True)


@pytest.mark.parametrize("form", BITS)
def test_a_format_keeps_so_many_bits_and_rounds_to_even(form):
    unit = 2.0 ** -BITS[form]
    given = np.float32([1 + unit, 1 + 3 * unit, -(1 + unit), 1 + 1.01 * unit, 1 + 2 * unit])
    wanted = np.float32([1, 1 + 4 * unit, -1, 1 + 2 * unit, 1 + 2 * unit])
    assert np.array_equal(rounded(given, form), wanted)
    again = rounded(any_float32(1000), form)
    assert np.array_equal(rounded(again, form), again, equal_nan=True)
    assert rounded(np.float32(3), form).shape == ()


def test_only_native_tiers_change_the_numbers_of_a_case():
    case = find_case("lstm-lengths-L2", GIVEN)
    given = material(case, GIVEN.corpus)
    for tier in PRECISIONS:
        made = in_precision(given, tier)
        changed = any(not np.array_equal(made.params[n], given.params[n]) for n in given.params)
        assert changed == (tier in NATIVE) == (not np.array_equal(made.X, given.X))
        assert np.array_equal(made.Y, given.Y) and made.lengths is given.lengths


def test_half_precision_leaves_out_regimes_and_clipped_gates_and_nothing_else():
    for tier in HALVES:
        left = [n for n in suite_cases() if left_out(find_case(n, GIVEN), tier)]
        asked = [find_case(n, GIVEN) for n in suite_cases() if n not in left]
        assert len(asked) > 90 and "lstm-peepholes-clipped-L2" in left
        assert not any(case.regimes or case.elementwise for case in asked)
    for dtype in DTYPES:
        assert not any(left_out(find_case(n, GIVEN), dtype) for n in suite_cases())


def test_records_of_half_precision_hold_float32():
    assert [dtype_of(p) for p in PRECISIONS] == ["float64", *["float32"] * (len(PRECISIONS) - 1)]
    assert unit_of("mixed") == unit_of("bfloat16") == 2 * 2 * 2 * unit_of("float16")
