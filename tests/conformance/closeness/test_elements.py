"""Comparing by element, and with answers that hold a NaN."""

import math

import numpy as np
import pytest

from conformance.closeness.compare import Bound, compare
from conformance.closeness.elements import (
    agreement_in_regime,
    compare_elements,
    compare_undefined,
    multiple_in_regime,
    zero_behind,
)

BOUND = Bound(1e-12, units=16.0)
WANTED = np.array([1.0, 1e-9, 1e-30])
ALLOWED = 1e-16 * WANTED


def by_element(got, wanted=WANTED, allowed=ALLOWED):
    return compare_elements("forward/O", got, wanted, allowed, BOUND, 1e-16)


def test_a_small_element_that_is_lost_fails_though_the_largest_hides_it():
    found = by_element(np.array([1.0, 0.0, 1e-30]))
    assert "times what rounding may make of this element, above 16" in found.problem
    assert found.index == (1,) and found.wanted == 1e-9 and found.got == 0
    assert found.units == pytest.approx(1e16)
    assert found.error == pytest.approx(1e-9) and found.error > found.bound > 0


def test_every_element_may_err_by_sixteen_of_its_units():
    coarse = 1e-12 * WANTED
    assert by_element(WANTED * (1 + 15e-12), allowed=coarse).passed
    assert not by_element(WANTED * (1 + 17e-12), allowed=coarse).passed
    assert by_element(WANTED).units == 0


def test_what_may_not_err_at_all_must_be_the_same():
    exactly = np.array([1e-16, 0.0, 1e-46])
    assert by_element(WANTED, allowed=exactly).passed
    found = by_element(np.array([1.0, 1.0000001e-9, 1e-30]), allowed=exactly)
    assert found.units == math.inf and not found.passed


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_fails(value):
    assert not by_element(np.array([1.0, value, 1e-30])).passed
    assert multiple_in_regime(np.array([value]), WANTED[:1], BOUND, 1, ALLOWED[:1], False) > 1


def test_missing_tensors_and_other_shapes_fail():
    assert by_element(None).problem == "missing"
    assert by_element(WANTED[:2]).problem.startswith("shape")
    assert by_element(np.zeros(3), wanted=np.zeros(3)).problem.startswith("nothing to compare")


NANS = np.array([1.0, math.nan, 3.0])


def undefined(got, wanted=NANS):
    return compare_undefined("forward/O", got, wanted, BOUND, 1e-16)


def test_a_nan_must_be_where_the_equations_have_one():
    assert undefined(NANS.copy()).passed
    swallowed = undefined(np.array([1.0, 0.0, 3.0]))
    assert swallowed.problem == "0 where the equations say that it is not a number"
    assert swallowed.index == (1,) and swallowed.error == 1.0 > swallowed.bound


def test_a_nan_anywhere_else_fails_and_nothing_excuses_it():
    found = undefined(np.array([math.nan, math.nan, 3.0]))
    assert not found.passed and math.isnan(found.error)
    assert not undefined(np.full(3, math.nan), np.ones(3)).passed


def test_the_numbers_beside_a_nan_are_compared():
    found = undefined(np.array([1.0, math.nan, 3.1]))
    assert "above the bound" in found.problem and found.index == (2,)


def test_an_infinity_must_be_the_same_one():
    wanted = np.array([1.0, math.inf])
    assert undefined(wanted.copy(), wanted).passed
    for other in (-math.inf, math.nan, 5.0):
        assert not undefined(np.array([1.0, other]), wanted).passed


def test_all_nan_is_an_answer_where_it_is_the_answer():
    nothing = np.full(2, math.nan)
    assert undefined(nothing.copy(), nothing).passed
    assert not undefined(np.array([math.nan, 1.0]), nothing).passed


@pytest.mark.parametrize("is_undefined", [True, False])
def test_the_multiple_of_the_bound_is_by_the_same_rules(is_undefined):
    wanted = NANS if is_undefined else np.array([1.0, 2.0, 3.0])
    rules = BOUND, 1e-16, None, is_undefined
    assert multiple_in_regime(wanted.copy(), wanted, *rules) == 0
    assert multiple_in_regime(np.array([1.0, 2.5, 3.0]), wanted, *rules) > 1e9
    assert agreement_in_regime(wanted.copy(), wanted, *rules) == 0
    assert agreement_in_regime(np.array([1.0, 2.5, 3.0]), wanted, *rules) is None
    assert agreement_in_regime(None, wanted, *rules) is None


def test_agreement_by_element_is_by_element():
    assert agreement_in_regime(WANTED, WANTED, BOUND, 1e-16, ALLOWED, False) == 0
    lost = np.array([1.0, 0.0, 1e-30])
    assert agreement_in_regime(lost, WANTED, BOUND, 1e-16, ALLOWED, False) is None


@pytest.mark.parametrize(("shape", "place"), [((3, 2, 4), (2, 1, 3)), ((3, 5, 2, 4), (2, 4, 1, 0))])
def test_what_is_behind_an_end_is_exactly_zero(shape, place):
    """(T, n, q) of outputs, (T, rows, n, h) of states; the second example has two steps."""
    behind = np.arange(3)[:, None] >= [3, 2]
    wanted = np.ones(shape)
    wanted[2, ..., 1, :] = 0
    got = wanted.copy()
    found = compare("trace/H", got, wanted, BOUND, 1e-16)
    assert found.passed and zero_behind(found, got, behind) is found
    got[place] = 1e-300  # which no bound would notice
    found = compare("trace/H", got, wanted, BOUND, 1e-16)
    failed = zero_behind(found, got, behind)
    assert found.passed and failed.index == place and "behind the end" in failed.problem
