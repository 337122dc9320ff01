"""Masks with gaps: the steps that count, and what stands behind them."""

import numpy as np
import pytest

from common.masks import has_gaps, lengths_of, places, repeats, with_zeros, without_gaps, zero_at

MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)


def test_only_what_is_not_at_the_end_is_a_gap():
    assert has_gaps(MASK) and has_gaps(MASK[:1]) and has_gaps(MASK[1:2])
    assert not has_gaps(MASK[2:]) and not has_gaps(np.array([[1, 1, 0]], bool))


def test_steps_that_count_come_first_and_the_last_one_again_and_again():
    assert lengths_of(MASK).tolist() == [3, 2, 4, 0]
    assert places(MASK).tolist() == [[0, 2, 3, 3], [1, 2, 2, 2], [0, 1, 2, 3], [0, 1, 2, 3]]
    X = np.arange(16.0).reshape(4, 4, 1)
    assert without_gaps(X, MASK)[0, :, 0].tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize("place", [(0, 1), (1, 0), (1, 3)])
def test_outputs_at_masked_steps_are_those_of_the_step_before(place):
    O = np.array([[1, 1, 2, 3], [0, 4, 5, 5], [1, 2, 3, 4], [0, 0, 0, 0]], float)[..., None]
    assert repeats(O, MASK)
    O[place] += 1e-16 if O[place] == 0 else 1e-9
    assert not repeats(O, MASK)


def test_outputs_of_both_directions_are_zero_at_masked_steps_and_behind_an_end():
    O = np.arange(1.0, 17).reshape(4, 4, 1) * MASK[..., None]
    assert zero_at(O, MASK)
    closed = with_zeros(without_gaps(O, MASK), lengths_of(MASK))
    assert closed[..., 0].tolist() == [[1, 3, 4, 0], [6, 7, 0, 0], [9, 10, 11, 12], [0, 0, 0, 0]]
    O[1, 3] = 1e-9
    assert not zero_at(O, MASK)
