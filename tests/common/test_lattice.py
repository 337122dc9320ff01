"""The lattice: rounding, units and digests."""

import hashlib
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from common.lattice import LARGEST, UNITS, digest, to_lattice, to_units

UNIT = 2.0**-20
TINY = {"a": np.array([[0.0, UNIT], [-UNIT, 1.0]]), "b": np.array([-0.5])}
TINY_UNITS = [0, 1, -1, 2**20, -(2**19)]
TINY_DIGEST = "29185dfadaf0837fb7b24b93e203677cd16eeae21ae13d298524eb86df733709"

values = st.floats(min_value=-1e6, max_value=1e6)
whole = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)


def rounded(value: float) -> float:
    """LATTICE-1 in whole numbers: Python rounds a fraction to the nearest one, halves to even."""
    return round(Fraction(value) * 2**20) / 2**20


def test_a_lattice_unit_is_two_to_the_minus_twenty():
    assert UNITS == 1 / UNIT == 1_048_576


@given(st.lists(values, min_size=1, max_size=20))
def test_rounding_to_the_lattice_is_that_of_exact_arithmetic(drawn):
    found = to_lattice({"w": np.array(drawn)})["w"]
    assert found.dtype == np.float64
    assert found.tolist() == [rounded(value) for value in drawn]


@pytest.mark.parametrize(
    ("units", "wanted"),
    [(0.5, 0), (1.5, 2), (2.5, 2), (3.5, 4), (-0.5, 0), (-1.5, -2), (-2.5, -2), (0.75, 1)],
)
def test_the_middle_between_two_lattice_points_goes_to_the_even_one(units, wanted):
    assert to_lattice({"w": np.array([units * UNIT])})["w"].tolist() == [wanted * UNIT]


@given(st.lists(whole, min_size=1, max_size=20))
def test_lattice_points_stay_where_they_are_and_their_units_are_exact(drawn):
    points = {"w": np.array(drawn, "float64") / UNITS}
    assert to_lattice(points)["w"].tobytes() == (points["w"] + 0.0).tobytes()
    units = to_units(points)["w"]
    assert units.dtype == np.dtype("<i8")
    assert units.tolist() == drawn


@given(st.integers(-(2**32) + 1, 2**32 - 1), st.integers(1, 19))
def test_what_lies_between_lattice_points_is_refused(units, bits):
    value = (units + 2.0**-bits) * UNIT
    with pytest.raises(BadInput, match="lattice: w: expected multiples of 2\\^-20"):
        to_units({"v": np.zeros(2), "w": np.array([[0.0, value]])})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, LARGEST, -LARGEST, 1e300, UNIT / 2])
def test_numbers_that_the_lattice_does_not_hold_are_refused_by_the_tensors_name(value):
    with pytest.raises(BadInput, match="^lattice: layer1.b_f: expected .*, found other values$"):
        digest({"layer1.W_xf": np.zeros((2, 2)), "layer1.b_f": np.array([0.0, value])})


def test_the_largest_number_below_the_end_of_the_lattice_is_allowed():
    assert to_units({"w": np.array([LARGEST - UNIT])})["w"].tolist() == [2**53 - 1]


def test_the_digest_is_sha256_over_little_endian_int64_units():
    packed = struct.pack("<5q", *TINY_UNITS)
    assert digest(TINY) == hashlib.sha256(packed).hexdigest()


def test_the_digest_of_a_known_array_stays_what_it_was():
    assert digest(TINY) == TINY_DIGEST


def test_a_digest_depends_on_the_order_of_the_tensors_and_not_on_their_layout():
    swapped = {"b": TINY["b"], "a": TINY["a"]}
    assert digest(swapped) != digest(TINY)
    assert digest(TINY | {"a": np.asfortranarray(TINY["a"])}) == digest(TINY)
    assert digest(TINY | {"a": TINY["a"].T}) != digest(TINY)


def test_a_digest_sees_one_unit_and_not_the_sign_of_zero():
    moved = TINY["a"].copy()
    moved[0, 0] += UNIT
    assert digest(TINY | {"a": moved}) != digest(TINY)
    moved[0, 0] = -0.0
    assert digest(TINY | {"a": moved}) == digest(TINY)


def test_float32_parameters_on_the_lattice_have_the_digest_of_their_values():
    narrow = {name: array.astype("float32") for name, array in TINY.items()}
    assert digest(narrow) == digest(TINY)
