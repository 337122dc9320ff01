"""Cases that leave the comfortable middle: that their numbers are where they claim to be."""

import numpy as np
import pytest

from common.errors import BadInput
from conformance.cases.regimes import (
    AT_THETA,
    GROWN,
    INFINITE,
    LARGE,
    LOGITS,
    NOT_A_NUMBER,
    OVERFLOW,
    REGIMES,
    SATURATED,
    TINY,
    ZEROS,
)
from conformance.cases.table import select
from conformance.cases.wider import LARGE_WIDER
from conformance.oracle.equations import expected
from tests.conformance.helpers import curated, numbers

CASES = [*REGIMES, *LARGE]
QUICK = [case for case in CASES if case.size < 10**4]


def test_large_cases_are_chosen_by_their_own_pattern_only():
    names = [case.name for case in (*LARGE, *LARGE_WIDER)]
    assert all(name.startswith("large-") for name in names)
    assert select(["large-*"], 0, 0) == names
    assert not set(names) & set(select(["*"], 0, 0)) and not set(names) & set(select([], 0, 0))
    with pytest.raises(BadInput):
        select(["*-nan-in-W-gru-before"], 0, 0)


def test_names_are_unique_and_find_their_case():
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(curated(case.name) is case for case in CASES)


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_every_number_is_exactly_a_float32_and_is_drawn_again(case):
    given = numbers(case)
    for array in (*given.params.values(), given.X, *given.state.values()):
        same = array.astype("float32").astype("float64")
        assert np.array_equal(array, same, equal_nan=True)
    assert given.digest() == numbers(case).digest()


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_a_case_is_in_its_regimes(case):
    with np.errstate(all="ignore"):
        given, answers = numbers(case), expected(case, numbers(case))
    part = "C" if case.spec.cell == "lstm" else "H"
    facts = {
        SATURATED: max(abs(a).max() for n, a in given.params.items() if ".b_" in n) > 99,
        GROWN: abs(answers[f"trace/{part}"]).max() > 100,
        LOGITS: abs(answers["forward/O"]).max() > 1000,
        TINY: 0 < abs(given.X).max() < 2.0**-126,
        NOT_A_NUMBER: any(np.isnan(place.value) for place in case.planted),
        INFINITE: any(np.isinf(place.value) for place in case.planted),
        ZEROS: not np.any(given.X) and not np.any(answers["trace/H"]),
        AT_THETA: abs(answers["clip/norm"] / case.recipe.clip - 1) < 1e-15,
        OVERFLOW: answers["clip/norm"] > 1e15,
    }
    for regime, true in facts.items():
        assert true == (regime in case.regimes) or regime in (GROWN, LOGITS, OVERFLOW), regime
        assert true or regime not in case.regimes, regime


INFINITIES = [case for case in LARGE if INFINITE in case.regimes]


@pytest.mark.parametrize("case", INFINITIES, ids=lambda case: case.name)
def test_with_an_infinity_all_gradients_by_parameters_are_nan_or_none_is(case):
    """So it does not matter what a clip makes of a norm that is none."""
    with np.errstate(all="ignore"):
        answers = expected(case, numbers(case))
    found = [np.isnan(answers[f"gradients/{name}"]) for name in numbers(case).params]
    assert all(a.all() for a in found) or not any(a.any() for a in found)
    assert np.isnan(answers["clip/norm"]) == found[0].all()


def test_where_a_nan_is_planted_some_outputs_are_numbers_still():
    for case in (case for case in REGIMES if case.undefined):
        wrong = np.isnan(expected(case, numbers(case))["trace/H"])
        assert 0 < wrong.mean() < 1, case.name
