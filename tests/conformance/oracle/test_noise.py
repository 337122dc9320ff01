"""The noise floor: several float32 evaluations of neighbours that rounding cannot tell apart."""

import numpy as np
import pytest

from conformance.closeness.compare import UNIT_ROUNDOFF, noise_floor, relative_error
from conformance.oracle.equations import expected
from conformance.oracle.formats import neighbour
from conformance.oracle.truth import (
    EVALUATIONS,
    EVALUATIONS_AT_SIZE,
    UNIT_IN_THE_LAST_PLACE,
    evaluations,
)
from tests.conformance.helpers import curated, numbers

CASE = "lstm-L2"


def test_a_case_is_evaluated_in_float32_on_its_own_numbers_and_on_their_neighbours():
    case = curated(CASE)
    given = numbers(case)
    found = evaluations(case, given)
    assert len(found) == EVALUATIONS == 6
    own = expected(case, given, "float32")
    assert all(found[0][tensor].tobytes() == own[tensor].tobytes() for tensor in own)
    assert all(array.dtype == np.float32 for answers in found for array in answers.values())
    outputs = [answers["forward/O"].tobytes() for answers in found]
    assert len(set(outputs)) == EVALUATIONS


def test_a_case_on_text_is_evaluated_less_often(monkeypatch):
    monkeypatch.setattr("conformance.oracle.truth.expected", lambda case, given, dtype: dtype)
    case = curated("text-lstm")
    assert evaluations(case, numbers(case)) == ["float32"] * EVALUATIONS_AT_SIZE


def test_a_neighbour_is_at_most_one_unit_in_the_last_place_away_and_answers_the_same_question():
    given = numbers(curated(CASE))
    near = neighbour(given, UNIT_IN_THE_LAST_PLACE, 1)
    assert np.array_equal(near.Y, given.Y)
    pairs = [(near.X, given.X), *((near.params[name], a) for name, a in given.params.items())]
    for moved, array in pairs + [(near.state[part], a) for part, a in given.state.items()]:
        relative = (moved - array) / array
        assert set(np.rint(relative / UNIT_IN_THE_LAST_PLACE).ravel()) <= {-1, 0, 1}
        assert np.abs(relative).max() == pytest.approx(UNIT_IN_THE_LAST_PLACE, rel=1e-6)
    assert (
        neighbour(given, UNIT_IN_THE_LAST_PLACE, 1).digest()
        == near.digest()
        != neighbour(given, UNIT_IN_THE_LAST_PLACE, 2).digest()
    )


@pytest.mark.parametrize("name", ["rnn-relu-L4", "gru-before-L2", "lstm-one-unit"])
def test_the_floor_is_that_of_float32_and_more_evaluations_never_lower_it(name):
    case = curated(name)
    wanted, found = expected(case, numbers(case)), evaluations(case, numbers(case))
    raised = 0
    for tensor, array in wanted.items():
        one, six = (noise_floor(array, [e[tensor] for e in some]) for some in (found[:1], found))
        assert UNIT_ROUNDOFF <= one <= six < 1e-4, tensor
        assert six == max(UNIT_ROUNDOFF, *(relative_error(e[tensor], array) for e in found))
        raised += one < six
    assert raised > len(wanted) / 4
