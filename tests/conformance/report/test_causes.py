"""One fault is one entry of the page, whatever fails by it."""

from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="needs the packages of requirements/report.txt")

from common.corpus import load_corpus
from conformance.cases.given import gather
from conformance.cases.quick import quick_cases
from conformance.judge.everything import judge_all
from conformance.judge.reasons import NUMBERS_AGREE
from conformance.progress import Progress
from conformance.report import page
from conformance.report.causes import NOT_ALL, UNEXPLAINED, entries
from conformance.run.ladder import Request, record
from conformance.verdict.outcome import FAIL
from conformance.verdict.results import Verdict
from tests.conformance.helpers import worker_script
from tests.conformance.report.helpers import failing, result, verdict

SAID = {
    "gates-i-f-g-o": "the gates i,f,o,g are taken for i,f,g,o",
    "gates-r-z-n": "the gates z,r,n are taken for r,z,n",
    "forget-bias-of-one": "1 is added to the forget gate's pre-activation",
    "no-clip": "gradients are not clipped",
    "state-not-carried": "every minibatch starts from the first state",
    "dropout-ignored": "nothing is dropped",
    "lengths-ignored": "the examples' lengths are ignored: all have T steps",
    "projection-reversed": "the projected units are in reverse order",
    "directions-exchanged": "the directions' weights are exchanged",
    "rows-beyond-64-lost": "inputs are 0 for rows from the 65th on",
    "inputs-below-1e-4-flushed": "inputs below 1e-4 are 0",
    "biases-doubled": f"{NOT_ALL}; 3 of 9 by: the layers' biases are added twice",
    "no-gradient-of-the-state": f"{NOT_ALL}; 3 of 9 by: the gradient of the initial state is zero",
}
"""What the page must say of each fault. The last two are no conventions of the catalogue, and look
like one where there is no C, or no number."""


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
        (UNEXPLAINED, ["d", "e", "f"]),
    ]
    assert [entry.extent for entry in found][0::2] == [
        "float32, 2 cases",
        "float32 and float64, 3 cases",
    ]


def test_what_was_not_searched_is_an_entry_of_its_own_where_the_rest_is_explained():
    found = entries(
        verdict([made(case="a", suspects=["no clip"]), made(case="b", why="not searched: see …")])
    )
    assert [entry.cause for entry in found] == ["no clip", "not searched: see …"]


def test_what_explains_some_and_is_refuted_by_others_is_of_one_entry_with_these():
    found = entries(
        verdict(
            [
                made(case="a", suspects=["b is added twice"]),
                made(case="b", suspects=["no clip"]),
                made(case="c", searched=True, refuted=["b is added twice"]),
                made(case="d", why="not searched: see the smaller cases"),
            ]
        )
    )
    assert [(entry.cause, [r["case"] for r in entry.results]) for entry in found] == [
        ("no clip", ["b"]),
        (f"{NOT_ALL}; 1 of 3 by: b is added twice", ["c", "d", "a"]),
    ]


def test_what_fails_beside_right_numbers_is_no_convention():
    found = entries(
        verdict(
            [
                made(case="a", searched=True),
                made(case="b", why=NUMBERS_AGREE),
                made(case="c", why=NUMBERS_AGREE, dtype="float64"),
            ]
        )
    )
    assert [(entry.cause, len(entry.results)) for entry in found] == [
        (UNEXPLAINED, 1),
        (NUMBERS_AGREE, 2),
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


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> tuple[dict, Verdict]:
    """What the page is made of, and what the terminal is: the real record and judge of the quick
    main job's cases, with an implementation for each fault."""
    out, quiet = tmp_path_factory.mktemp("faulty") / "results", Progress(quiet=True)
    sample = gather(load_corpus(None), None)
    with pytest.MonkeyPatch.context() as patch:
        worker_script(patch, Path(__file__).parents[1] / "one_fault_worker.py")
        record(Request("numpy", "cpu", ["float64"], list(quick_cases()), sample, out), quiet)
        verdict = judge_all(out, quiet)
    return verdict.to_json(), verdict


@pytest.mark.once
@pytest.mark.parametrize("fault", SAID)
def test_a_run_with_one_fault_put_in_shows_one_entry(faulty, fault):
    """Of whatever kind it is, and however many cases fail by it."""
    row = f"numpy:equations-{fault}"
    alone = faulty[0] | {"results": [r for r in faulty[0]["results"] if r["implementation"] == row]}
    wrong = [r for r in alone["results"] if r["status"] == FAIL]
    (entry,) = entries(alone)
    assert sorted(r["case"] for r in entry.results) == sorted(r["case"] for r in wrong) != []
    assert entry.cause == SAID[fault]
    assert page.render(alone, "today").count('class="told"') == 1


@pytest.mark.once
def test_page_and_terminal_name_the_same_tensor_and_what_is_sound_has_no_entry(faulty):
    told, verdict = faulty
    wrong = [r for r in told["results"] if r["status"] != "pass" and r["failed"]]
    assert len(wrong) > 2 * len(SAID)
    for each, failed in zip(wrong, verdict.failures, strict=True):
        named = failed.first_failure()
        assert named and each["failed"][0]["tensor"] == named.tensor
    assert "numpy:equations" not in {entry.first["implementation"] for entry in entries(told)}
