"""JUnit XML, the summary, the badge, and what changed between two verdicts."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from common.storage.sums import seal
from conformance.__main__ import main
from conformance.report.changes import FAILING, GONE, LARGER, NEW, OTHER, PASSING, changes, versions
from conformance.report.formats import badge, junit, summary
from tests.conformance.report.helpers import failing, hostile, record, result, run, rung, verdict

pytestmark = pytest.mark.once

WHO = "numpy:equations"
LONGEST_COMMENT = 65_536
"""Of a comment on GitHub."""


def kinds(new: dict, old: dict) -> list[tuple[str, str]]:
    return [(change.kind, change.case) for change in changes(new, old)]


def test_junit_counts_every_outcome() -> None:
    crashed = result(WHO, "b", status="crashed", reason="segmentation fault")
    left_out = result(WHO, "c", status="unsupported", reason="no such cell")
    found = [result(WHO, "a"), failing(WHO, "d"), crashed, left_out]
    root = ET.fromstring(junit(verdict(found, [run(WHO)], absent=["mxnet"])))
    cases, training, expected = root
    counts = {key: cases.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert training.get("name") == f"{WHO} cpu lattice training"
    assert expected.find("testcase").get("name") == "record of mxnet"
    assert "segmentation fault" in cases[2][0].get("message")


@pytest.mark.parametrize("write", [junit, badge])
def test_xml_of_a_hostile_record_is_well_formed(write: object) -> None:
    root = ET.fromstring(write(hostile()))
    assert all("\x1b" not in (e.text or "") for e in root.iter())


def test_the_badge_says_which() -> None:
    assert "2 results agree" in badge(verdict([result(WHO, "a"), result(WHO, "b")]))
    assert "failing" in badge(verdict([failing(WHO, "a")]))


def test_the_summary_is_short_whatever_happens() -> None:
    found = verdict([failing(WHO, f"case-{i}") for i in range(5000)])
    text = summary(found, changes(found, verdict([])))
    assert len(text) < LONGEST_COMMENT / 8
    assert "**5000 failed:**" in text
    assert "and 4990 more" in text
    assert "5000 newly failing" in text


def test_the_summary_of_a_hostile_record_holds_no_markup_and_no_mention() -> None:
    text = summary(hostile())
    assert "<script" not in text
    assert "@all" not in text
    assert "](y)" not in text.replace("\\](y)", "")


def test_the_summary_of_a_pass() -> None:
    text = summary(verdict([result(WHO, "a")], [run(WHO)]), [])
    assert text.startswith("### ✅ PASS")
    assert f"| {WHO} float32 | 1/1 |" in text
    assert "1 of 1 runs agree" in text
    assert "nothing changed" in text


def test_nothing_changes_between_a_verdict_and_itself() -> None:
    found = verdict([result(WHO, "a"), failing(WHO, "b")], [run(WHO)])
    assert changes(found, found) == []
    assert versions(found, found) == []


def test_newly_failing_and_newly_passing() -> None:
    old = verdict([result(WHO, "a"), failing(WHO, "b"), result(WHO, "gone")])
    new = verdict([failing(WHO, "a"), result(WHO, "b"), result(WHO, "new")])
    assert kinds(new, old) == [(FAILING, "a"), (GONE, "gone"), (PASSING, "b"), (NEW, "new")]
    assert kinds(
        verdict([result(WHO, "a", status="unsupported")]), verdict([result(WHO, "a")])
    ) == [(OTHER, "a")]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(1.0, 2.1, 1), (1.0, 1.9, 0), (0.001, 0.9, 0), (3.0, 5.9, 0), (3.0, 6.1, 1), (6.1, 3.0, 0)],
)
def test_an_error_that_grew_more_than_two_fold(before: float, after: float, told: int) -> None:
    """Below one noise floor there is nothing but rounding."""
    old, new = (
        verdict([result(WHO, "a", rungs={"outputs": rung(ratio), "loss": rung(None)})])
        for ratio in (before, after)
    )
    assert kinds(new, old) == [(LARGER, "a")] * told


def test_training_that_parts_is_told() -> None:
    old = verdict([result(WHO, "a")], [run(WHO)])
    new = verdict([result(WHO, "a")], [run(WHO, status="fail", reason="digest of epoch 2")])
    (change,) = changes(new, old)
    assert (change.kind, change.case) == (FAILING, "quick-lstm")
    assert "digest of epoch 2" in change.detail


def test_a_gpu_is_held_against_the_cpu_of_the_earlier_run() -> None:
    old = verdict([result(WHO, "a"), result(WHO, "b")])
    new = verdict([result(WHO, "a", device="gpu"), failing(WHO, "b") | {"device": "gpu"}])
    assert kinds(new, old) == [(FAILING, "b")]


def test_versions_that_changed_are_told() -> None:
    old, new = verdict([result(WHO, "a")]), verdict([result(WHO, "a")])
    new["records"] = [record("numpy", version="2.0")]
    assert versions(new, old) == [("numpy", "version", "1.0", "2.0")]


def test_the_command_compares_two_folders(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("vl_convert", reason="needs the packages of requirements/report.txt")
    old = tmp_path / "old.json"
    text = (results / "verdict.json").read_text(encoding="utf-8")
    old.write_text(text, encoding="utf-8")
    ask = ["report", str(results), "--quiet", "--against"]
    assert main([*ask, str(old)]) == 0
    assert "newly" not in capsys.readouterr().out
    found = json.loads(text)
    found["results"][0] |= {"status": "fail", "reason": "made up"}
    found |= {"outcome": "FAIL", "passed": False, "sentence": "FAIL: made up"}
    found["seal"] = seal(found)
    (results / "verdict.json").write_text(json.dumps(found), encoding="utf-8")
    told = tmp_path / "changes.json"
    assert main([*ask, str(old), "--changes", str(told)]) == 1
    assert "newly failing: numpy:equations (cpu, float64)" in capsys.readouterr().out
    assert json.loads(told.read_text(encoding="utf-8"))[0]["kind"] == FAILING
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "newly failing" in page
    (results / "verdict.json").write_text(text, encoding="utf-8")
    assert main([*ask, str(tmp_path / "nothing")]) == 2
