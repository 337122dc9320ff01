"""The verdict in a row a framework."""

import pytest

from conformance.closeness.compare import Comparison
from conformance.verdict.compact import counted, markdown
from conformance.verdict.outcome import (
    CRASHED,
    DECLARED,
    FAIL,
    NOT_COMPARED,
    PASS,
    UNSUPPORTED,
)
from conformance.verdict.results import CaseResult, TrainingResult, Verdict

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        ([], "–"),
        ([PASS, PASS], "✓ 2 of 2"),
        ([PASS, FAIL, CRASHED], "✗ 1 of 3"),
        ([PASS, UNSUPPORTED, DECLARED, DECLARED], "✓ 1 of 1, 1 unsupported, 2 declared deviation"),
        ([UNSUPPORTED], "1 unsupported"),
        ([PASS, NOT_COMPARED], "? 1 of 2"),
        ([NOT_COMPARED, FAIL], "✗ 0 of 2"),
    ],
)
def test_what_is_neither_right_nor_wrong_is_told_apart(statuses, wanted):
    assert counted(statuses) == wanted


def result(implementation: str, status: str, ratio: float, device: str = "cpu") -> CaseResult:
    problem = None if status == PASS else "too far"
    found = [Comparison("forward/O", problem, 1, error=1.0, ratio=ratio, bound=1.0)]
    return CaseResult(implementation, device, "float32", "lstm-L2", status, comparisons=found)


def test_a_row_has_both_implementations_of_a_framework_and_the_worst_error_that_passed():
    results = [
        result("jax:equations", PASS, 1.5),
        result("jax:layers", PASS, 2.25),
        result("jax:layers", DECLARED, 1e9),
        result("jax:layers", PASS, 0.5, device="gpu"),
        result("numpy:equations", FAIL, 77.0),
    ]
    training = [TrainingResult("jax:layers", "cpu", "lattice", "quick-lstm", PASS)]
    rows = markdown(Verdict([], results, ["mxnet"], [], training)).splitlines()
    assert rows[2:6] == [
        "| jax | ✓ 2 of 2, 1 declared deviation | – | 2.2× | ✓ 1 of 1 | – |",
        "| jax (gpu) | ✓ 1 of 1 | – | 0.5× | – | – |",
        "| mxnet | ✗ no record | – | – | – | – |",
        "| numpy | ✗ 0 of 1 | – | – | – | – |",
    ]
    assert {row.count("|") for row in rows[:6]} == {7}
