"""The comparator fails when it should. Every other test in the project rests on this one."""

import math

import numpy as np
import pytest

from common.errors import BadInput
from conformance.cases.halves import HALVES, PRECISIONS
from conformance.closeness.compare import (
    BOUNDS,
    RUNGS,
    UNIT_ROUNDOFF,
    Bound,
    Comparison,
    compare,
    first_divergence,
    load_bounds,
    must_differ,
    noise_floor,
    relative_error,
)

WANTED = np.array([[0.5, -2.0, 0.25], [1.0, 0.125, -0.75]])
BOUND = Bound(error=1e-6)
NOISE = 1e-7


def check(got, wanted=WANTED, bound=BOUND, noise=NOISE, **options) -> Comparison:
    return compare("forward/O", got, wanted, bound, noise, **options)


def changed(value: float, at: tuple[int, ...] = (1, 1), array: np.ndarray = WANTED) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


def test_equal_tensors_pass_and_are_counted():
    found = check(WANTED.copy())
    assert found.passed
    assert (found.elements, found.error, found.ratio) == (6, 0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails(value):
    found = check(changed(value))
    assert not found.passed
    assert found.index == (1, 1)


def test_a_nan_is_found_behind_a_large_error():
    both = changed(math.nan, (1, 2), changed(1e9, (0, 0)))
    found = check(both)
    assert not found.passed
    assert math.isnan(found.error)
    assert found.index == (1, 2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_same_value_that_is_not_finite_on_both_sides_is_no_pass(value):
    assert not check(changed(value), changed(value)).passed


def test_an_expected_nan_fails_whatever_was_got():
    assert not check(WANTED, changed(math.nan)).passed


def test_a_missing_tensor_fails():
    found = check(None)
    assert found.problem == "missing"
    assert found.elements == 0


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        ((1,), ()),
        ((), (1,)),
        ((2, 1), (2, 3)),
        ((1, 2, 3), (2, 3)),
        ((3, 2), (2, 3)),
        ((6,), (2, 3)),
    ],
)
def test_another_shape_fails_even_if_it_broadcasts(got, wanted):
    found = check(np.ones(got), np.ones(wanted))
    assert not found.passed
    assert str(got) in found.problem and str(wanted) in found.problem


def test_an_empty_tensor_fails():
    found = check(np.ones((0, 3)), np.ones((0, 3)))
    assert "empty" in found.problem


def test_an_expected_zero_tensor_fails_unless_the_case_declares_it():
    zeros = np.zeros((2, 3))
    assert "zero throughout" in check(zeros, zeros).problem
    assert check(zeros, zeros, may_be_zero=True).passed


def test_a_declared_zero_must_be_exactly_zero():
    found = check(changed(5e-324, array=np.zeros((2, 3))), np.zeros((2, 3)), may_be_zero=True)
    assert "exactly 0" in found.problem


def test_a_tensor_that_may_be_zero_and_is_not_is_compared_as_any_other():
    assert check(WANTED.copy(), may_be_zero=True).passed
    assert not check(np.zeros((2, 3)), may_be_zero=True).passed


def test_the_error_is_relative_to_the_largest_magnitude_of_the_expected_tensor():
    found = check(changed(0.125 + 0.5))
    assert found.error == 0.25  # 0.5 of 2
    assert (found.got, found.wanted, found.index) == (0.625, 0.125, (1, 1))
    # Not of what was got: a huge answer does not make its own error small.
    assert check(WANTED * 1e9).error == pytest.approx(1e9)


def test_a_difference_of_exactly_the_bound_passes_and_the_next_number_fails():
    bound = Bound(error=2.0**-20)
    assert check(changed(0.125 + 2.0**-19), bound=bound).passed
    above = check(changed(np.nextafter(0.125 + 2.0**-19, 1)), bound=bound)
    assert "above the bound" in above.problem


def test_a_ratio_of_exactly_the_bound_passes_and_the_next_number_fails():
    bound, noise = Bound(error=1.0, ratio=8.0), 2.0**-23
    assert check(changed(0.125 + 2.0**-19), bound=bound, noise=noise).passed
    above = check(changed(np.nextafter(0.125 + 2.0**-19, 1)), bound=bound, noise=noise)
    assert "noise floor" in above.problem
    assert above.ratio > 8


def test_the_backstop_holds_however_noisy_the_floor_is():
    assert not check(changed(0.25), bound=Bound(error=1e-5, ratio=8.0), noise=1.0).passed


def test_a_float32_answer_is_compared_with_the_oracle_unrounded():
    wanted = np.array([1 / 3])
    found = check(wanted.astype("float32"), wanted, bound=Bound(error=0.0))
    assert not found.passed
    assert 0 < found.error <= UNIT_ROUNDOFF


def test_integers_that_would_wrap_around_are_subtracted_as_floats():
    assert check(np.array([0], "uint8"), np.array([1], "uint8")).error == 1


GRID = Bound(error=1.0, grid=True)
UNIT = 2.0 * 2.0**-20  # the largest magnitude is 2, so its exponent is 2


def test_a_value_on_another_grid_point_fails():
    found = check(changed(0.125 + UNIT), bound=GRID)
    assert (found.differing, found.straddles) == (1, 0)
    assert "2^-20" in found.problem


def test_a_difference_within_one_grid_cell_passes():
    found = check(changed(0.125 + UNIT / 4), bound=GRID)
    assert found.passed and found.differing == 0


def test_a_straddle_of_a_boundary_passes_and_is_counted():
    boundary = 0.125 + UNIT / 2
    wanted = changed(boundary - 2.0**-52)
    found = check(changed(boundary + 2.0**-52), wanted, bound=GRID)
    assert found.passed
    assert (found.differing, found.straddles) == (1, 1)


def test_a_difference_across_a_boundary_that_rounding_does_not_explain_is_no_straddle():
    boundary = 0.125 + UNIT / 2
    wanted = changed(boundary - 2.0**-46)
    found = check(changed(boundary + 2.0**-46), wanted, bound=GRID)
    assert not found.passed
    assert (found.differing, found.straddles) == (1, 0)


def test_one_straddle_does_not_hide_a_difference_elsewhere():
    boundary = 0.125 + UNIT / 2
    wanted = changed(boundary - 2.0**-52)
    got = changed(0.25 + UNIT, (0, 2), changed(boundary + 2.0**-52))
    found = check(got, wanted, bound=GRID)
    assert not found.passed
    assert (found.differing, found.straddles) == (2, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", range(4))
def test_weights_with_one_bit_flipped_fail_in_every_tier(dtype, at):
    weights = np.array([0.5, -1.5, 3e-8, -7e-5], dtype)
    bits = weights.copy().view(f"u{weights.itemsize}")
    bits[at] ^= bits.dtype.type(1)
    for device, tables in load_bounds().items():
        bound = tables[dtype]["weights"]
        assert not check(bits.view(dtype), weights, bound=bound).passed, device
        assert check(weights.copy(), weights, bound=bound).passed, device


@pytest.mark.parametrize("apart", [100.0, 0.01])
def test_an_answer_that_must_differ_fails_until_it_differs_by_so_many_bounds(apart):
    bound, noise = Bound(error=1.0, ratio=8.0, apart=apart), 2.0**-13
    least = 2 * apart * 8 * noise  # relative to the largest magnitude, 2
    for size, passes in ((0, False), (least * 0.999, False), (least, True), (1.0, True)):
        found = must_differ(
            "invariance/option-reset/O", changed(0.125 + size), WANTED, bound, noise
        )
        assert found.passed is passes, size


@pytest.mark.parametrize(
    ("got", "own"),
    [
        (None, WANTED),
        (WANTED[:1] + 1, WANTED),
        (changed(math.nan), WANTED),
        (changed(math.inf), WANTED),
        (WANTED, changed(math.nan)),
        (WANTED, changed(math.inf)),
        (np.ones((0, 3)), np.ones((0, 3))),
        (np.ones((2, 3)), np.zeros((2, 3))),
    ],
    ids=["missing", "shape", "NaN", "inf", "own NaN", "own inf", "empty", "own zero"],
)
def test_an_answer_that_must_differ_does_not_pass_for_being_broken(got, own):
    assert not must_differ("invariance/option-reset/O", got, own, BOUND, NOISE).passed


def test_the_noise_floor_is_the_worst_evaluation_and_never_below_one_rounding():
    wanted = np.array([4.0, 1.0])
    assert noise_floor(wanted, [wanted, wanted]) == UNIT_ROUNDOFF
    assert noise_floor(wanted, []) == UNIT_ROUNDOFF
    assert noise_floor(np.zeros(2), [np.ones(2)]) == UNIT_ROUNDOFF
    assert noise_floor(wanted, [wanted, np.array([4.0, 1.5]), wanted]) == 0.125


def test_the_relative_error_of_zero_from_zero_is_zero():
    assert relative_error(np.zeros(3), np.zeros(3)) == 0


def trace() -> np.ndarray:
    return np.random.RandomState(0).uniform(0.5, 1, (4, 3, 2, 5))  # T, L, n, h


def test_a_trace_without_a_difference_has_no_first_divergence():
    assert first_divergence(trace(), trace(), 0.0) is None


@pytest.mark.parametrize("value", [2.0, math.nan, math.inf])
def test_the_first_divergence_is_the_earliest_step_then_the_lowest_layer(value):
    got = trace()
    got[3, 0, 0, 0] = got[1, 2, 1, 4] = value
    assert first_divergence(got, trace(), 1e-6) == (2, 3)
    got[1, 1, 0, 0] = value
    assert first_divergence(got, trace(), 1e-6) == (2, 2)


def test_a_divergence_within_the_bound_is_none():
    got = trace()
    got[0, 0, 0, 0] += 1e-7
    assert first_divergence(got, trace(), 1e-6) is None
    assert first_divergence(got, trace(), 1e-9) == (1, 1)


def test_every_device_dtype_and_rung_has_a_bound():
    bounds = load_bounds()
    assert set(bounds) == {"cpu", "gpu"}
    assert set(bounds["gpu"]) == set(PRECISIONS)
    assert set(bounds["cpu"]) == set(PRECISIONS) - {"tf32"}
    for tables in bounds.values():
        for rungs in tables.values():
            assert tuple(rungs) == RUNGS


def test_no_bound_is_wider_than_the_policy():
    policy = {"float64": (1e-12, 1e-11), "float32": (1e-5, 1e-4)}
    for device, tables in load_bounds().items():
        for dtype, (near, far) in policy.items():
            for rung, bound in tables[dtype].items():
                where = f"{device} {dtype} {rung}"
                exact = rung == "weights"
                most = 0 if exact else near if rung in ("outputs", "loss", "invariances") else far
                assert 0 <= bound.error <= most, where
                if dtype == "float32" and not exact:
                    assert 0 < bound.ratio <= 8, where
                if dtype == "float64" and not exact and rung != "invariances":
                    assert bound.grid, where


def test_half_precision_is_held_to_four_floors_and_to_less_than_the_tensor_itself():
    bounds = load_bounds()
    for tier in HALVES:
        assert bounds["cpu"].get(tier, bounds["gpu"][tier]) == bounds["gpu"][tier]
        for rung, bound in bounds["gpu"][tier].items():
            exact = rung == "weights"
            assert bound.error == (0 if exact else 1), rung
            assert exact or 0 < bound.ratio <= 4, rung
            assert bound.apart == (0.01 if rung == "invariances" else 100), rung


def test_the_bounds_file_has_no_line_that_is_not_a_bound(tmp_path):
    path = tmp_path / "bounds.toml"
    path.write_text(BOUNDS.read_text(encoding="utf-8").replace("ratio", "ration"), "utf-8")
    with pytest.raises(BadInput, match="ration: expected no such field"):
        load_bounds(path)
