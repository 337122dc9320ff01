"""The vote: who agrees with whom when several implementations answered a case."""

from dataclasses import dataclass

import numpy as np

from common.corpus import load_corpus
from conformance.cases.given import gather
from conformance.closeness.compare import Comparison, load_bounds
from conformance.judge.reasons import Failure, give_reasons
from conformance.mutants import CATALOGUE
from conformance.oracle.evaluation import evaluate
from conformance.progress import Progress
from conformance.verdict.outcome import FAIL, PASS
from conformance.verdict.results import CaseResult
from tests.answers import right_once

ANSWER = right_once("lstm-L2", gather(load_corpus(None), None))
BOUNDS = load_bounds()["cpu"]["float64"]
BY_NAME = {mutant.name: mutant for mutant in CATALOGUE}


@dataclass(frozen=True)
class Recorded:
    """A record in memory, of one implementation that makes one mistake."""

    mistake: str

    def arrays(self, name: str, dtype: str, case: str) -> dict[str, np.ndarray]:
        return evaluate(BY_NAME[self.mistake].conventions, ANSWER.case, ANSWER.numbers, dtype)


def result(implementation: str, status: str) -> CaseResult:
    compared = [Comparison("forward/O")]
    return CaseResult(implementation, "cpu", "float64", "lstm-L2", status, comparisons=compared)


def reasons(wrong: dict[str, str], right: list[str]) -> dict[str, CaseResult]:
    failed = [
        Failure(result(name, FAIL), Recorded(mistake), ANSWER, BOUNDS)
        for name, mistake in wrong.items()
    ]
    results = [f.result for f in failed] + [result(name, PASS) for name in right]
    give_reasons(failed, results, Progress(quiet=True))
    return {r.implementation: r for r in results}


def test_one_against_the_rest_is_the_odd_one_out():
    found = reasons({"a:layers": "W_h transposed"}, ["b:layers", "c:layers", "d:layers"])
    assert found["a:layers"].vote == "3 of 4 agree with the oracle; a:layers is the odd one out"
    assert found["a:layers"].why.endswith("if every recurrent matrix is transposed")
    assert found["b:layers"].vote == found["b:layers"].why == ""


def test_two_that_are_wrong_in_different_ways_are_odd_each():
    found = reasons({"a:l": "W_h transposed", "b:l": "biases doubled"}, ["c:l", "d:l"])
    assert found["a:l"].vote == "2 of 4 agree with the oracle; a:l is the odd one out"
    assert found["b:l"].vote == "2 of 4 agree with the oracle; b:l is the odd one out"


def test_a_majority_against_the_oracle_is_said():
    mistake = "forget bias 1 at run time"
    found = reasons({"a:l": mistake, "b:l": mistake, "c:l": mistake}, ["d:l"])
    said = "a:l, b:l, c:l agree with one another against the oracle: 3 of 4"
    assert found["b:l"].vote == said


def test_two_cannot_vote():
    assert reasons({"a:l": "W_h transposed"}, ["b:l"])["a:l"].vote == ""
