"""Several records side by side, records that lack something, and records that were moved."""

import shutil

import pytest

from common.errors import EXIT_FAIL, EXIT_PASS
from conformance.records.ladder import load_records
from conformance.verdict.results import Verdict
from tests.conformance.helpers import (
    CASES,
    arrays_file,
    copy_backend,
    edit_record,
    judge,
    record,
    spoil,
    verdict_of,
)

pytestmark = pytest.mark.usefixtures("few_suspects")

CASE = "lstm-L2"


def make_wrong(arrays: dict) -> None:
    arrays["loss/loss"] += 1e-6


def test_two_records_are_judged_side_by_side(out, capsys):
    spoil(copy_backend(out, "mine"), CASE, make_wrong)
    code, verdict = verdict_of(out, "--expect", "numpy", "mine", "--cases", *CASES)
    assert code == EXIT_FAIL
    wrong = [r["implementation"] for r in verdict["results"] if r["status"] != "pass"]
    assert wrong == ["mine:equations"]
    assert len(verdict["results"]) == 8


def test_a_case_that_one_record_lacks_is_not_run_and_fails(out, capsys):
    record(out / "fewer", "--quiet", cases=CASES[:1])
    (out / "fewer" / "numpy-cpu").rename(out / "mine-cpu")
    shutil.rmtree(out / "fewer")
    edit_record(out / "mine-cpu", lambda data: data.update(backend="mine"))
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    wrong = [r for r in verdict["results"] if r["status"] != "pass"]
    assert {(r["implementation"], r["case"], r["status"]) for r in wrong} == {
        ("mine:equations", CASES[1], "not run")
    }
    capsys.readouterr()
    judge(out, "--quiet")
    assert f"{CASES[1]}: not run: mine-cpu was recorded without it" in capsys.readouterr().out


def test_a_case_that_was_asked_for_and_no_record_holds_is_not_run(out):
    code, verdict = verdict_of(out, "--cases", "gru-after-L1", *CASES)
    assert code == EXIT_FAIL
    wrong = {(r["case"], r["status"]) for r in verdict["results"] if r["status"] != "pass"}
    assert wrong == {("gru-after-L1", "not run")}


def test_a_backend_that_is_expected_and_absent_fails_and_the_table_says_so(out, capsys):
    options = ("--expect", "numpy", "mxnet", "--cases", *CASES)
    assert judge(out, "--quiet", *options) == EXIT_FAIL
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if "│ mxnet" in line)
    assert "not run: no record" in row
    assert "FAIL: no record of mxnet" in shown


def test_a_record_that_was_moved_elsewhere_is_judged_alike(out, tmp_path, monkeypatch):
    spoil(out / "numpy-cpu", CASE, make_wrong)
    here = verdict_of(out)
    elsewhere = tmp_path / "ünother machine" / "r"
    elsewhere.parent.mkdir()
    shutil.move(out, elsewhere)
    monkeypatch.chdir(tmp_path)
    assert verdict_of(elsewhere) == here
    assert str(out) not in str(here)


def test_a_record_of_nothing_but_unsupported_cases_does_not_pass(out):
    def nothing_supported(data: dict) -> None:
        for cases in data["entries"]["equations"].values():
            for case in cases:
                cases[case] = {"status": "unsupported", "reason": "no reason"}
        shutil.rmtree(out / "mine-cpu" / "arrays")

    edit_record(copy_backend(out, "mine"), nothing_supported)
    shutil.rmtree(out / "numpy-cpu")
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert {result["status"] for result in verdict["results"]} == {"unsupported"}
    assert verdict["passed"] is False


def test_a_verdict_over_nothing_does_not_pass(out):
    verdict = Verdict(load_records(out), [], [], [])
    assert not verdict.passed
    assert verdict.sentence().startswith("FAIL")


def test_one_implementation_without_a_pass_fails_though_the_other_passes(out):
    folder = copy_backend(out, "mine")

    def nothing_supported(data: dict) -> None:
        for cases in data["entries"]["equations"].values():
            for case in cases:
                cases[case] = {"status": "unsupported", "reason": "no reason"}
        shutil.rmtree(out / "mine-cpu" / "arrays")

    edit_record(folder, nothing_supported)
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert "a row in which nothing was compared" in verdict["sentence"]


def test_an_unsupported_case_counts_as_neither_pass_nor_failure(out, capsys):
    def one_unsupported(data: dict) -> None:
        data["entries"]["equations"]["float64"][CASE] = {
            "status": "unsupported",
            "reason": "this layer has no such option",
        }

    folder = copy_backend(out, "mine")
    edit_record(folder, one_unsupported)
    arrays_file(folder, CASE).unlink()
    shutil.rmtree(out / "numpy-cpu")
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS
    assert "on 3 case results" in verdict["sentence"]
    assert "mine is not in the matrix" in verdict["sentence"]
    capsys.readouterr()
    judge(out, "--quiet")
    shown = capsys.readouterr().out
    assert "unsupported: mine:equations: this layer has no such option (1 case)" in shown
