"""The cases of the quick main job: still enough for every wrong convention, and none too many."""

import pytest

from conformance.calibrate.certify import Certificate, Pair
from conformance.cases.quick import quick_cases
from conformance.cases.table import CURATED
from conformance.closeness.compare import RUNGS
from conformance.mutants import EVERY

pytestmark = pytest.mark.once

ALL = {mutant.name for mutant in EVERY}


@pytest.fixture(scope="module")
def kills(certificate: Certificate) -> dict[str, set[str]]:
    """The wrong conventions that each of the quick cases kills."""
    return {
        case: {pair.mutant for pair in certificate.pairs if pair.case == case and pair.killed}
        for case in quick_cases()
    }


def test_the_quick_cases_kill_every_wrong_convention(kills):
    assert set().union(*kills.values()) == ALL


def test_none_of_the_quick_cases_can_be_left_out(kills):
    for case in kills:
        others = set().union(*(killed for other, killed in kills.items() if other != case))
        assert others != ALL, case


def test_the_quick_cases_are_of_every_cell_and_reset_and_ask_for_invariances():
    cases = [case for case in CURATED if case.name in quick_cases()]
    assert {(case.spec.cell, case.spec.reset) for case in cases} == {
        ("rnn", None),
        ("gru", "before"),
        ("gru", "after"),
        ("lstm", None),
    }
    assert any(case.invariances for case in cases)


def made_up(killers: dict[str, list[str]]) -> Certificate:
    """Every mutant is killed by the first case, but for those that are named."""
    names = sorted({case for cases in killers.values() for case in cases})
    pairs = []
    for mutant in EVERY:
        for case in names:
            killed = case in killers.get(mutant.name, names[:1])
            pairs.append(Pair(mutant.name, case, RUNGS[0], 1e9 if killed else 0.0, 1e9, None))
    return Certificate(pairs)


def test_the_fewest_cases_are_chosen():
    first, second, third = (mutant.name for mutant in EVERY[:3])
    asked = {first: ["gru-after-L1", "lstm-L1"], second: ["lstm-L1"], third: ["gru-after-L1"]}
    assert set(made_up(asked).fewest()) == {"gru-after-L1", "lstm-L1"}
    asked[second] = ["gru-after-L1", "lstm-L1"]
    assert made_up(asked).fewest() == ["gru-after-L1"]


def test_of_as_many_cases_those_that_ask_least_are_chosen():
    dear, cheap = "gru-after-long", "gru-after-wide"
    assert made_up({m: [dear, cheap] for m in ALL}).fewest() == [cheap]


def test_what_no_case_kills_leaves_nothing_to_choose():
    assert made_up({EVERY[0].name: [], EVERY[1].name: ["lstm-L1"]}).fewest() == []
