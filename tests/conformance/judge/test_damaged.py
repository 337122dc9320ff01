"""A record or a run that cannot be read is that backend's failure, and the rest is judged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import main
from conformance.run.ladder import array_path
from tests.conformance.helpers import assert_one_line, edit_record, judge, verdict_of

pytestmark = pytest.mark.once

GIVEN = "given.safetensors"
ARRAYS = array_path("equations", "float64", "lstm-L2").as_posix()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "no JSON": lambda folder: (folder / "record.json").write_text("{"),
    "no record.json": lambda folder: (folder / "record.json").unlink(),
    "another version": lambda folder: edit_record(folder, lambda data: data.update(suite="0")),
    "a number": lambda folder: edit_record(folder, lambda data: data.update(cases=[1])),
    "no text": lambda folder: (folder / GIVEN).unlink(),
    "half a text": lambda folder: cut(folder / GIVEN),
    "half an array file": lambda folder: cut(folder / ARRAYS),
    "no array file": lambda folder: (folder / ARRAYS).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_record_that_cannot_be_read_fails_and_the_other_is_judged(damage, out):
    """Two records of one backend: the other one stands on another machine's GPU, it says."""
    other = out / "numpy-gpu"
    shutil.copytree(out / "numpy-cpu", other)
    edit_record(other, lambda data: data.update(device="gpu"))
    damage(other)
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    told = [*verdict["claims"], *(result["reason"] for result in verdict["results"])]
    assert any("numpy-gpu/" in line for line in told)
    assert not any(str(out) in line for line in told), "wherever the results lie"
    whole = [result for result in verdict["results"] if result["device"] == "cpu"]
    assert whole and all(result["status"] == "pass" for result in whole)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_where_no_record_is_left_the_input_cannot_be_used(damage, out, capsys):
    damage(out / "numpy-cpu")
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert str(out / "numpy-cpu") in assert_one_line(capsys.readouterr().err)


def test_a_run_that_cannot_be_read_fails_and_the_rest_is_judged(out):
    train = ["train", "--backend", "numpy", "--cell", "rnn", "--numerics", "lattice", "--quiet"]
    assert main([*train, "--epochs", "1", "--out", str(out)]) == EXIT_PASS
    run = out / "training" / "numpy-cpu" / "equations-rnn-quick-lattice"
    (run / "run.json").write_text(json.dumps({"suite": "0.1.0"}))
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    (line,) = [line for line in verdict["claims"] if "run.json" in line]
    assert line.startswith("not judged: training/numpy-cpu/equations-rnn-quick-lattice/run.json: ")
    assert all(result["status"] == "pass" for result in verdict["results"])
