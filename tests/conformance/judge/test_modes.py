"""Rows of modes: asked for they must be there and trained, and whoever has one says what it ran."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.judge import command, everything, ladder
from conformance.judge.required import load_matrix
from conformance.judge.training import judge_training
from conformance.verdict.asked import Asked
from conformance.verdict.outcome import NOT_RUN
from tests.conformance.helpers import CASES, assert_one_line, edit_record, judge, verdict_of

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("few_suspects")]

EXPECTED = ("--expect", "numpy", "--cases", *CASES)


@pytest.fixture(autouse=True)
def numpy_has_a_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can what the equations can."""
    matrix = load_matrix()
    can = matrix["numpy"].implementations["equations"]
    matrix["numpy"] = dataclasses.replace(matrix["numpy"], modes={"abacus": can})
    for module in (command, everything, ladder):
        monkeypatch.setattr(module, "load_matrix", lambda more=(): matrix)


def add_mode(folder: Path, **passport: object) -> None:
    """The equations once more, as if a mode had computed them."""
    shutil.copytree(folder / "arrays" / "equations", folder / "arrays" / "abacus")

    def change(data: dict) -> None:
        data["implementations"].append("abacus")
        data["entries"]["abacus"] = data["entries"]["equations"]
        data["passport"] |= passport

    edit_record(folder, change)


def test_a_mode_is_a_row_like_any_other(out):
    add_mode(out / "numpy-cpu", modes={"abacus": {"beads": 70}})
    code, verdict = verdict_of(out, *EXPECTED, "--modes", "numpy:abacus")
    assert code == EXIT_PASS, verdict["sentence"]
    rows = {r["implementation"] for r in verdict["results"]}
    assert rows == {"numpy:equations", "numpy:abacus"}
    assert Asked.from_json(verdict["asked"]).modes == ("numpy:abacus",)


def test_a_mode_that_was_asked_for_and_is_not_there_fails(out):
    assert verdict_of(out, *EXPECTED)[0] == EXIT_PASS
    code, verdict = verdict_of(out, *EXPECTED, "--modes", "*:*")
    assert code == EXIT_FAIL
    missing = {r["implementation"] for r in verdict["results"] if r["status"] == NOT_RUN}
    assert missing == {"numpy:abacus"}


def test_a_mode_of_which_nobody_says_what_it_ran_is_told(out):
    add_mode(out / "numpy-cpu")
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    assert verdict["claims"] == ["numpy-cpu: passport: it does not say what abacus really ran"]


@pytest.mark.parametrize("glob", ["numpy:sliderule", "abacus", "pytorch:*"])
def test_a_pattern_that_asks_for_nothing_is_one_line(out, capsys, glob):
    assert judge(out, *EXPECTED, "--modes", glob) == EXIT_BAD_INPUT
    assert repr(glob) in assert_one_line(capsys.readouterr().err)


def test_a_mode_that_was_asked_for_must_have_trained(tmp_path):
    made = judge_training(tmp_path, ("numpy",), modes=("numpy:abacus",))
    missing = {r.implementation for r in made if r.numerics == "lattice" and r.status == NOT_RUN}
    assert missing == {"numpy:abacus", "numpy:equations"}
    in_float32 = {r.implementation for r in made if r.numerics == "float32"}
    assert in_float32 == {"numpy:equations"}, "these the layers train, and no mode"
