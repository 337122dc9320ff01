"""One fault is one entry of the page, whatever fails by it."""

from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="needs the packages of requirements/report.txt")

from common.corpus import load_corpus
from conformance.cases.given import gather
from conformance.judge.everything import judge_all
from conformance.judge.ladder import judge
from conformance.progress import Progress
from conformance.report import page
from conformance.report.causes import UNEXPLAINED, entries
from conformance.run.ladder import Request, record
from tests.conformance.helpers import worker_script
from tests.conformance.report.helpers import failing, result, verdict

CASES = ["lstm-L1", "lstm-L2", "lstm-wide", "gru-after-L1", "rnn-tanh-L1"]


def made(**changed) -> dict:
    return failing("numpy:equations", changed.pop("case", "lstm-L2")) | changed


def test_the_cause_of_most_is_taken_for_all_that_it_explains():
    found = entries(
        verdict(
            [
                made(case="a", suspects=["b is added twice", "the gates are exchanged"]),
                made(case="b", suspects=["the gates are exchanged"]),
                made(case="c", suspects=["no clip"]),
                made(case="d", searched=True),
                made(case="e", why="not searched: see the smaller cases"),
                made(case="f", why="not searched: see the smaller cases", dtype="float64"),
            ]
        )
    )
    named = [(entry.cause, [r["case"] for r in entry.results]) for entry in found]
    assert named == [
        ("the gates are exchanged", ["a", "b"]),
        ("no clip", ["c"]),
        (UNEXPLAINED, ["d"]),
        ("not searched: see the smaller cases", ["e", "f"]),
    ]
    assert [entry.extent for entry in found][0::3] == [
        "float32, 2 cases",
        "float32 and float64, 2 cases",
    ]


def test_implementations_and_devices_are_told_apart_and_deviations_come_last():
    declared = {"status": "declared deviation", "reason": "relu-rounds"}
    found = entries(
        verdict(
            [
                result("mxnet:layers", "a", **declared),
                result("mxnet:layers", "b", **declared),
                made(case="a", suspects=["no clip"]),
                made(case="a", suspects=["no clip"], device="gpu"),
                result("jax:layers", "a", status="crashed", reason="ValueError"),
                result("jax:layers", "b", status="crashed", reason="TypeError"),
                result("jax:layers", "c", status="pass"),
            ]
        )
    )
    assert [(e.first["implementation"], e.first["device"], e.cause) for e in found] == [
        ("numpy:equations", "cpu", "no clip"),
        ("numpy:equations", "gpu", "no clip"),
        ("jax:layers", "cpu", "ValueError"),
        ("jax:layers", "cpu", "TypeError"),
        ("mxnet:layers", "cpu", "relu-rounds"),
    ]
    assert len(found[-1].results) == 2


def test_a_page_names_the_other_cases_of_a_cause_with_their_addresses():
    many = [made(case=f"case-{k}", suspects=["no clip"]) for k in range(page.MOST_NAMED + 5)]
    text = page.render(verdict(many), "today")
    assert text.count('class="told"') == 1
    assert text.count('<a href="#case=case-') == 1 + page.MOST_NAMED
    assert "and 4 more" in text


@pytest.mark.once
def test_a_run_with_one_fault_put_in_shows_one_entry(tmp_path, monkeypatch):
    """The real record and judge: no clip, in every LSTM."""
    worker_script(monkeypatch, Path(__file__).parents[1] / "unclipped_worker.py")
    sample = gather(load_corpus(None), None)
    request = Request("numpy", "cpu", ["float64", "float32"], CASES, sample, tmp_path / "results")
    record(request, Progress(quiet=True))
    found = judge_all(tmp_path / "results", Progress(quiet=True)).to_json()
    wrong = [r for r in found["results"] if r["status"] != "pass"]
    assert {(r["case"], r["dtype"]) for r in wrong} == {
        (case, dtype) for case in CASES[:3] for dtype in ("float64", "float32")
    }
    (entry,) = entries(found)
    assert entry.cause == "gradients are not clipped"
    assert page.render(found, "today").count('class="told"') == 1
    verdict_of = judge(tmp_path / "results", Progress(quiet=True))
    for each, failed in zip(wrong, verdict_of.failures, strict=True):
        named = failed.first_failure()
        assert named and each["failed"][0]["tensor"] == named.tensor, "as the terminal has it"
