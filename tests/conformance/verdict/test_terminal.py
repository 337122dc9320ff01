"""The verdict on a terminal is read as it is meant, however little there is and however narrow."""

import io
import re

import pytest
from rich.console import Console

from conformance.closeness.compare import Comparison
from conformance.verdict.outcome import NOT_COMPARED, NOT_RUN, PASS
from conformance.verdict.results import CaseResult, TrainingResult, Verdict
from conformance.verdict.terminal import show, summary
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


def shown_at(width: int) -> str:
    """What a terminal of so many columns shows of two rows and two runs."""
    rows = [result("float32"), result("float64")]
    runs = [trained(PASS), trained(NOT_COMPARED)]
    shown = io.StringIO()
    show(Verdict([], rows, ["jax"], [], runs), Console(file=shown, width=width))
    return shown.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 150])
def test_no_table_is_cut_and_no_word_broken(width):
    narrow, wide = shown_at(width), shown_at(200)
    assert "…" not in narrow
    assert all(len(line) <= width for line in narrow.splitlines() if line[:1] in "│┃└┏")
    words = set(re.split(r"[\s│┃·:]+", wide)) - {""}
    words = {word for word in words if not re.search("[━─┏└]", word)}
    headings = {"implementation", "dtype", "numerics", "other"}
    assert words - set(re.split(r"[\s│┃·:]+", narrow)) <= headings
    for dtype in ("float32", "float64"):
        assert f"│ {dtype}" in narrow


def test_a_table_that_has_room_is_shown_as_it_is():
    assert "┃ dtype" in shown_at(200) and "┃ dtype" not in shown_at(80)
