"""What was compared with nothing is no PASS: a failure where it was asked for, and else a verdict
and an exit code of its own."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_INCOMPLETE, EXIT_PASS
from common.storage.files import read_json, write_json
from conformance.__main__ import main
from conformance.judge import basis
from conformance.judge.training import judge_training
from conformance.records.witness import Witness, load_witnesses
from conformance.verdict.outcome import NOT_COMPARED, PASS, decide
from tests.conformance.helpers import CASES, assert_one_line, judge, verdict_of
from tests.conformance.lattice_helpers import RECIPE, Implementation, scaled, train_here, witness

pytestmark = pytest.mark.once

CELLS = ("rnn", "gru", "lstm")
EXPECTED = ("--expect", "numpy", "--cases", *CASES)


def train(out: Path, *options: str, numerics: tuple[str, ...] = ("lattice",)) -> None:
    quick = ["train", "--backend", "numpy", "--cell", "rnn", "--out", str(out), "--quiet"]
    assert main([*quick, "--numerics", *numerics, *options]) == EXIT_PASS


def test_training_with_another_learning_rate_is_not_what_was_asked_for(out, capsys):
    options = ("--learning-rate", "3", "--epochs", "2", "--cell", *CELLS)
    train(out, *options, "--reset", "after", "before", numerics=("lattice", "float32"))
    code, verdict = verdict_of(out, "--training", *EXPECTED)
    assert code == EXIT_FAIL
    statuses = [r["status"] for r in verdict["training"]]
    assert (statuses.count("not run"), statuses.count("not compared")) == (8, 8)
    assert verdict["sentence"].startswith("FAIL: 8 training runs failed")
    code, verdict = verdict_of(out)
    assert code == EXIT_INCOMPLETE
    assert verdict["outcome"] == "INCOMPLETE" and verdict["passed"] is False
    said = "INCOMPLETE: 8 training runs were compared with nothing"
    assert verdict["sentence"].startswith(said)


def test_one_epoch_of_fifteen_is_not_what_was_asked_for(out, capsys):
    train(out, "--epochs", "1")
    code, verdict = verdict_of(out, "--training", *EXPECTED)
    assert code == EXIT_FAIL
    assert "quick-rnn" in {r["title"] for r in verdict["training"] if r["status"] == "not run"}
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS, "what it asked, it answered"
    assert verdict["training"][0]["reason"] == "1 of the 15 epochs of witness quick-rnn"
    capsys.readouterr()
    judge(out, "--quiet")
    assert "1 of the 15 epochs of witness quick-rnn" in capsys.readouterr().out


def test_a_run_that_goes_on_after_its_witness_is_compared_only_so_far(tmp_path):
    made = train_here(tmp_path, "mxnet", Implementation())
    digests = [row["digest"] for row in made["epochs"]]
    (found,) = judge_training(tmp_path, witnesses=[shortened(digests)], ensembles=[])
    assert (found.status, found.agreed) == (NOT_COMPARED, 2)
    assert found.reason == "witness quick-lstm ends after 2 epochs"


def shortened(digests: list[str]) -> Witness:
    """A witness of two epochs."""
    whole, recipe = witness(tuple(digests)), dataclasses.replace(RECIPE, epochs=2)
    losses = whole.losses[:2]
    return dataclasses.replace(whole, recipe=recipe, digests=digests[:2], losses=losses)


def test_two_runs_of_one_implementation_do_not_confirm_each_other(tmp_path):
    train_here(tmp_path, "mxnet", Implementation())
    folder = next(tmp_path.glob("training/*/*"))
    shutil.copytree(folder, folder.with_name("again"))
    found = judge_training(tmp_path, witnesses=[], ensembles=[])
    assert [r.status for r in found] == [NOT_COMPARED, NOT_COMPARED]
    train_here(tmp_path, "pytorch", Implementation())
    found = judge_training(tmp_path, witnesses=[], ensembles=[])
    assert {r.status for r in found} == {PASS}


def test_an_implementation_has_one_vote_however_many_runs_it_has(tmp_path):
    """Where two implementations differ, the oracle's own first epoch says who is right."""
    train_here(tmp_path, "pytorch", Implementation(of_gradients=scaled("layer1.W_xf", 1.01)))
    folder = next(tmp_path.glob("training/*/*"))
    for copy in ("again", "and-again"):
        shutil.copytree(folder, folder.with_name(copy))
    for backend in ("mxnet", "tensorflow"):
        train_here(tmp_path, backend, Implementation())
    found = judge_training(tmp_path, witnesses=[], ensembles=[])
    right = {r.implementation for r in found if r.status == PASS}
    assert right == {"mxnet:layers", "tensorflow:layers"}


def test_a_run_that_was_begun_later_and_is_not_finished_is_no_pass(out):
    train(out, "--epochs", "1")
    folder = next(out.glob("training/*/*/run.json")).parent
    shutil.copytree(folder, folder.with_name(f".{folder.name}.partial"))
    code, verdict = verdict_of(out)
    assert code == EXIT_INCOMPLETE
    name = f"training/numpy-cpu/{folder.name}"
    assert verdict["open"][0].startswith(f"{name} was begun again later and is not finished")


@pytest.fixture
def stored(tmp_path, monkeypatch) -> Path:
    """The stored witnesses and ensembles in a folder of their own."""
    for name in ("WITNESSES", "ENSEMBLES"):
        copy = tmp_path / "stored" / name
        shutil.copytree(getattr(basis, name), copy)
        monkeypatch.setattr(basis, name, copy)
    return tmp_path / "stored"


@pytest.mark.parametrize(
    "file", ["WITNESSES/quick-rnn.json", "ENSEMBLES/quick-rnn.json", "WITNESSES/SHA256SUMS"]
)
def test_without_a_stored_witness_or_ensemble_nothing_is_judged(file, out, stored, capsys):
    assert judge(out, "--quiet") == EXIT_PASS
    (stored / file).unlink()
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert file in assert_one_line(capsys.readouterr().err)


def test_a_stored_witness_that_was_changed_or_put_in_is_refused(out, stored, capsys):
    path = stored / "WITNESSES" / "quick-rnn.json"
    data = read_json(path)
    write_json(path, data | {"epochs": data["epochs"][::-1]})
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert "quick-rnn.json: expected the file that SHA256SUMS names" in capsys.readouterr().err
    write_json(path, data)
    write_json(stored / "WITNESSES" / "one-more.json", data)
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert "one-more.json" in assert_one_line(capsys.readouterr().err)


def test_who_stores_a_witness_writes_its_hash(tmp_path):
    for backend in ("mxnet", "pytorch", "tensorflow"):
        train_here(tmp_path / "runs", backend, Implementation())
    out = tmp_path / "witness"
    assert main(["witness", str(tmp_path / "runs"), "--out", str(out), "--quiet"]) == EXIT_PASS
    basis.check_sums(out, "")
    assert [w.name for w in load_witnesses(out)] == ["quick-lstm"]


ROW, OTHER = ("numpy:equations", "cpu", "float64"), ("numpy:equations", "cpu", "float32")
NOTHING = {"training": [], "absent": [], "stale": [], "claims": [], "open": []}


@pytest.mark.parametrize(
    ("results", "others", "word"),
    [
        ([(ROW, "pass")], {}, "PASS"),
        ([(ROW, "pass"), (ROW, "unsupported")], {}, "PASS"),
        ([(ROW, "pass"), (ROW, "not run")], {}, "FAIL"),
        ([(ROW, "unsupported")], {}, "FAIL"),
        ([(ROW, "declared deviation")], {}, "FAIL"),
        ([(ROW, "declared deviation"), (OTHER, "pass")], {}, "PASS"),
        ([(ROW, "unsupported"), (OTHER, "pass")], {}, "FAIL"),
        ([(ROW, "declared deviation"), (ROW, "fail"), (OTHER, "pass")], {}, "FAIL"),
        ([], {}, "FAIL"),
        ([], {"training": ["pass"]}, "PASS"),
        ([], {"training": ["pass", "not compared"]}, "INCOMPLETE"),
        ([], {"training": ["not compared"]}, "INCOMPLETE"),
        ([], {"training": ["not compared", "crashed"]}, "FAIL"),
        ([], {"training": ["straddle"]}, "FAIL"),
        ([(ROW, "pass")], {"open": ["something"]}, "INCOMPLETE"),
        ([(ROW, "pass")], {"claims": ["something"], "open": ["something"]}, "FAIL"),
        ([(ROW, "pass")], {"absent": ["jax"]}, "FAIL"),
        ([(ROW, "pass")], {"stale": ["a deviation"]}, "FAIL"),
    ],
)
def test_one_rule_decides(results, others, word):
    found = decide(results, **(NOTHING | others))
    assert found.word == word
    assert found.exit_code == {"PASS": 0, "FAIL": 1, "INCOMPLETE": 4}[word]
    assert bool(found.why) == (word != "PASS")
