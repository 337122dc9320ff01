"""The verdict on a terminal is read as it is meant, however little there is and however narrow."""

import io

import pytest
from rich.console import Console

from conformance.closeness.compare import Comparison
from conformance.verdict.outcome import NOT_COMPARED, NOT_RUN, PASS
from conformance.verdict.results import CaseResult, TrainingResult, Verdict
from conformance.verdict.terminal import ladder, summary
from conformance.verdict.terminal_training import training_lines

pytestmark = pytest.mark.once


def result(dtype: str, elements: int = 10) -> CaseResult:
    found = [Comparison("forward/O", None, elements, error=1.0, ratio=1.0, bound=2.0)]
    return CaseResult("numpy:equations", "cpu", dtype, "lstm-L2", PASS, comparisons=found)


def trained(status: str) -> TrainingResult:
    return TrainingResult("numpy:equations", "cpu", "lattice", "quick-lstm", status)


def test_one_is_no_plural():
    one = Verdict([], [result("float64")], [], [], [trained(PASS)]).sentence()
    assert "on 1 case result, and on 1 training run" in one
    left = Verdict([], [result("float64")], [], [], [trained(NOT_COMPARED)]).sentence()
    assert "1 training run was compared with nothing" in left


def test_elements_are_millions_only_where_there_are_millions():
    few = summary(Verdict([], [result("float64", 38810)], [], [], []))[0]
    assert "million" not in few and " 0.0 " not in few


def test_a_backend_without_a_run_has_no_empty_place():
    absent = TrainingResult("jax", "cpu", "", "any", NOT_RUN, reason="no run")
    assert training_lines([absent]) == ["✗ jax (cpu): not run: no run"]


def test_dtypes_are_told_apart_at_80_columns():
    rows = [result("float32"), result("float64")]
    shown = io.StringIO()
    Console(file=shown, width=80).print(ladder(Verdict([], rows, [], [], [])))
    lines = shown.getvalue()
    assert "…" not in lines
    names = [line.split("│")[2].strip() for line in lines.splitlines() if line.count("│") > 2]
    assert "".join(names).count("float") == 2 and "64" in "".join(names)
