"""How often the diagnosis is right: trials, their score, and the page of all of them."""

import random
import re
from pathlib import Path

import pytest

from common.corpus import load_corpus
from conformance.calibrate import trials
from conformance.calibrate.certify import cases_of_conventions, named
from conformance.calibrate.score import Score, measure, page, trials_of
from conformance.cases.given import gather
from conformance.cases.table import CURATED, TEXT_CASES
from conformance.cases.wider import LARGE_WIDER
from conformance.diagnose.explain import Explanation
from conformance.mutants import CATALOGUE, held_to
from conformance.progress import Progress
from tests.answers import right_once

DOCS = Path(__file__).parents[3] / "docs"
BY_NAME = {mutant.name: mutant for mutant in CATALOGUE}
SMALL = [case.name for case in CURATED if case.spec.L <= 3 and case.T <= 6]
SAMPLE = random.Random(2).sample(SMALL, 6)
QUIET = Progress(quiet=True)
of_the_catalogue = pytest.mark.once  # what names a fault is tested in test_diagnosis.py


@pytest.fixture(scope="module")
def score() -> Score:
    """The page is made of all cases; here are some of them."""
    return measure(SAMPLE, QUIET)


@of_the_catalogue
def test_nearly_every_fault_is_named_first(score):
    assert len(score.of(1)) > 250
    assert score.share(1) >= 0.95, [t for t in score.of(1) if not t.first]


@of_the_catalogue
def test_most_pairs_of_faults_are_named_first(score):
    assert len(score.of(2)) == trials.PAIRS * len(SAMPLE)
    assert score.share(2) >= 0.8, [t for t in score.of(2) if not t.first]


@of_the_catalogue
def test_no_answer_is_false(score):
    assert sum(bool(trial.named) for trial in score.trials) > 250
    assert score.false == 0
    assert score.holds


@of_the_catalogue
def test_the_same_trials_are_made_again(score):
    again = trials_of(SAMPLE[0], pairs=trials.PAIRS, singles=0.1)
    before = [trial for trial in score.trials if trial.case == SAMPLE[0]]
    assert len(set(again)) == len(again) > trials.PAIRS
    assert set(again) < set(before)


def test_an_answer_that_does_not_reproduce_the_numbers_is_counted(monkeypatch):
    wrong = Explanation((BY_NAME["no clip"],), 0.0)
    monkeypatch.setattr(trials, "explain", lambda evidence: [wrong])
    score = measure(["lstm-L1"], QUIET, pairs=1)
    asked = [trial for trial in score.trials if trial.faults != ("no clip",)]
    assert score.false == sum(trial.false for trial in asked) == len(asked) > 50
    assert not score.holds


def test_a_diagnosis_that_names_nothing_does_not_hold(monkeypatch):
    monkeypatch.setattr(trials, "explain", lambda evidence: [])
    score = measure(["rnn-tanh-L1"], QUIET, pairs=1)
    assert score.share(1) == score.share(2) == 0.0
    assert {trial.outcome for trial in score.trials} == {"nothing named"}
    assert not score.holds


def test_a_score_of_nothing_does_not_hold():
    assert not Score([]).holds


def test_a_fault_that_the_first_pass_hides_is_found_beside_another():
    """A state of zeros has no order of layers; that of the next minibatch has."""
    answer = right_once("rnn-tanh-zero-state", gather(load_corpus(None), None))
    faults = BY_NAME["initial state upside down"], BY_NAME["norm without biases"]
    trial = trials.attempt(answer, trials.Memory(answer), faults)
    assert trial.first, trial


@of_the_catalogue
def test_the_page_shows_what_was_not_named_first(score):
    shown = page(score, [*SAMPLE, "text-lstm"])
    assert (
        f"{len(SAMPLE)} of {len(SAMPLE) + 1} cases." in shown and "Not asked: text-lstm." in shown
    )
    missed = [trial for trial in score.trials if not trial.first]
    assert all(f"*{name}*" in shown for trial in missed for name in trial.faults)
    row = next(line for line in shown.splitlines() if line.startswith("| 1 | "))
    assert row.startswith(f"| 1 | {len(score.of(1))} | {sum(t.first for t in score.of(1))} (")
    assert row.endswith("| 0 |")


def pairs_tried(naming: str) -> int:
    """How many wrong conventions can be put into the cases that a page asks, over all of these."""
    left_out = re.search(r"Not asked: (.*)\.\n", naming)
    skipped = left_out[1].split(", ") if left_out else []
    names = {*cases_of_conventions(), *(case.name for case in LARGE_WIDER)}.difference(skipped)
    return sum(mutant.name in BY_NAME for name in names for mutant in held_to(named(name)))


def test_the_stored_page_is_of_every_pair_that_is_killed_in_the_cases_that_it_asks():
    """``certify --markdown docs/detecting-power.md --diagnosis docs/naming-faults.md``"""
    power = (DOCS / "detecting-power.md").read_text(encoding="utf-8")
    naming = (DOCS / "naming-faults.md").read_text(encoding="utf-8")
    sums = re.search(r"(\d+) cases, (\d+) pairs: (\d+) killed", power)
    cases, pairs, killed = map(int, sums.groups())
    asked, known = map(int, re.search(r"(\d+) of (\d+) cases\.", naming).groups())
    tried = pairs_tried(naming)
    single, double = re.findall(r"\| (\d+) \| (\d+) \| \d+ \(([\d.]+)%\) \|.*\| (\d+) \|\n", naming)
    assert known == cases and asked >= cases - len(TEXT_CASES) - len(LARGE_WIDER)
    assert ("Not asked" in naming) == (asked < known)
    # Which pairs are silent is not on the page, only how many; all may be in the cases asked.
    assert tried - (pairs - killed) <= int(single[1]) <= min(tried, killed)
    assert int(double[1]) == trials.PAIRS * asked
    assert float(single[2]) >= 95 and float(double[2]) >= 80
    assert single[3] == double[3] == "0"
