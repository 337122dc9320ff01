"""Whatever goes wrong in one training run, the others are trained and nothing good is lost.

The faults are in faulty_trainee.py; everything else is the real thing.
"""

import re
import subprocess

import numpy as np
import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from common.weights import load_weights, read_arrays, write_arrays
from conformance.run import training
from tests.conformance.helpers import assert_one_line, is_running
from tests.conformance.training_helpers import (
    CHECKPOINT,
    EPOCHS,
    asked_of,
    content,
    epochs_in,
    folder_of,
    partial_of,
    run_in,
    train,
    trained,
    use_faulty_trainee,
)

pytestmark = pytest.mark.once

LIMIT = 3.0
TITLE = "numpy:equations-lstm-quick"
BOTH = ("--numerics", "float32", "lattice")


@pytest.fixture
def faults(monkeypatch, tmp_path):
    """Set what goes wrong; returns the file that gets a line for every epoch."""
    use_faulty_trainee(monkeypatch)
    asked = tmp_path / "asked"
    monkeypatch.setenv("ASKED", str(asked))

    def set_faults(text: str):
        monkeypatch.setenv("FAULTS", text)
        return asked

    return set_faults


@pytest.fixture
def always_a_checkpoint(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 0.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, dict]:
    """By numerics, what a run came to that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert train(out, "--quiet", *BOTH) == EXIT_PASS
    return {numerics: trained(folder_of(out, numerics)) for numerics in BOTH[1:]}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", r"RuntimeError: the kernel said no"),
        ("memory", r"MemoryError: no message"),
        ("segfault", r"the process was ended by SIGSEGV"),
        ("sigkill", r"the process was ended by SIGKILL \(out of memory\?\)"),
        ("exit", r"the process ended with exit code 3"),
        ("garbage", r"it answered 'hello', which is not JSON"),
        ("hang", rf"no answer within {LIMIT:g} s"),
    ],
)
def test_a_run_that_fails_is_crashed_with_the_reason_and_the_next_one_is_trained(
    fault, reason, faults, undisturbed, tmp_path, capfd
):
    asked = faults(f"{fault}@float32:3")
    out = tmp_path / "results"
    assert train(out, "--quiet", "--limit", str(LIMIT), *BOTH) == EXIT_FAIL
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.fullmatch(f"{TITLE}-float32: crashed: {reason}", assert_one_line(captured.err))
    made = run_in(folder_of(out))
    assert made["status"] == "crashed"
    assert re.fullmatch(reason, made["reason"])
    assert made["passport"]["framework"] == "numpy"
    assert trained(folder_of(out, "lattice")) == undisturbed["lattice"]
    epochs = [(numerics, epoch) for _, numerics, epoch in asked_of(asked)]
    assert epochs == [("float32", k) for k in (1, 2, 3)] + [("lattice", k) for k in range(1, 7)]
    assert not any(is_running(pid) for pid, *_ in asked_of(asked))
    assert not list(out.rglob("*.partial"))


def test_the_traceback_is_in_the_log_and_nowhere_else(faults, tmp_path, capfd):
    faults("raise@2")
    train(tmp_path)
    log = folder_of(tmp_path).parent / "worker.log"
    assert "Traceback" in log.read_text(encoding="utf-8")
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err


def test_what_a_framework_prints_reaches_the_log_and_no_answer(faults, tmp_path, capfd):
    faults("print@*")
    assert train(tmp_path, "--quiet") == EXIT_PASS
    log = folder_of(tmp_path).parent / "worker.log"
    assert log.read_bytes().count(b"WARNING \xff from C") == EPOCHS
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["segfault@4", "raise@4", "garbage@4", "raise@finish"])
def test_a_crashed_run_goes_on_from_its_checkpoint(
    fault, faults, undisturbed, tmp_path, always_a_checkpoint
):
    asked = faults(fault)
    out = tmp_path / "results"
    assert train(out, "--quiet") == EXIT_FAIL
    checkpoint = partial_of(out) / CHECKPOINT
    done = len(epochs_in(checkpoint))
    assert done == (EPOCHS if "finish" in fault else 3)
    assert run_in(partial_of(out))["status"] == "crashed"
    assert not folder_of(out).exists()
    asked.unlink()
    faults("")
    assert train(out, "--quiet") == EXIT_PASS
    assert [epoch for *_, epoch in asked_of(asked)] == list(range(done + 1, EPOCHS + 1))
    assert trained(folder_of(out)) == undisturbed["float32"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("segfault@start", "the worker did not start: the process was ended by SIGSEGV"),
        ("exit@start", "the worker did not start: the process ended with exit code 3"),
    ],
)
def test_a_worker_that_does_not_start_makes_every_run_crashed_and_is_given_up(
    fault, reason, faults, tmp_path, capfd, monkeypatch
):
    faults(fault)
    launched = []

    class Counted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            launched.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    assert train(tmp_path, "--quiet", "--cell", "rnn", "gru", "lstm") == EXIT_FAIL
    assert len(launched) == 2
    assert not any(is_running(pid) for pid in launched)
    lines = capfd.readouterr().err.splitlines()
    cells = ("rnn", "gru-after", "lstm")
    assert lines == [f"numpy:equations-{c}-quick-float32: crashed: {reason}" for c in cells]
    for cell in cells:
        made = run_in(folder_of(tmp_path, name=f"equations-{cell}-quick"))
        assert (made["status"], made["reason"], made["epochs"]) == ("crashed", reason, [])


def stopped(out, capfd, *options: str) -> str:
    """Train what cannot go on; the line that says so."""
    capfd.readouterr()
    assert train(out, "--quiet", *options) == EXIT_BAD_INPUT
    captured = capfd.readouterr()
    assert captured.out == ""
    return assert_one_line(captured.err)


@pytest.mark.parametrize("fault", ["full@4", "raise@save"])
def test_a_checkpoint_that_cannot_be_written_stops_the_run_and_the_last_good_one_is_kept(
    fault, faults, undisturbed, tmp_path, capfd, always_a_checkpoint
):
    out = tmp_path / "results"
    faults("segfault@4")
    assert train(out, "--quiet") == EXIT_FAIL
    checkpoint = partial_of(out) / CHECKPOINT
    before = checkpoint.read_bytes()
    faults(fault)
    line = stopped(out, capfd)
    assert str(out) in line
    assert ("File too large" if fault == "full@4" else "the kernel said no") in line
    assert checkpoint.read_bytes() == before
    assert len(epochs_in(checkpoint)) == 3
    assert not list(partial_of(out).glob(".*.tmp"))
    faults("")
    assert train(out, "--quiet") == EXIT_PASS
    assert trained(folder_of(out)) == undisturbed["float32"]


def test_a_disk_that_is_full_before_the_first_checkpoint_leaves_half_of_nothing(
    faults, tmp_path, capfd, always_a_checkpoint
):
    faults("full@1")
    stopped(tmp_path, capfd)
    assert not (partial_of(tmp_path) / CHECKPOINT).exists()
    assert content(partial_of(tmp_path)) == ["given.safetensors"]
    assert not folder_of(tmp_path).exists()


IN_LATTICE = ("--learning-rate", "1e12", "--numerics", "lattice")
OVERFLOWS = {
    "loss": (("--learning-rate", "1e38", "--clip", "100"), r"step \d: {} loss: inf"),
    "rnn": (
        ("--learning-rate", "1e38", "--clip", "100", "--cell", "rnn"),
        r"step \d: {} loss: inf",
    ),
    "parameter": (("--learning-rate", "1e60"), r"step 1: {} parameter \S+: -?(inf|nan) at \("),
    "beyond the lattice": (IN_LATTICE, r"step 1: {} parameter \S+: -?\d{{10,}}\.\d+ at \("),
    "step digests": ((*IN_LATTICE, "--digests", "step"), r"step 1: {} parameter \S+: -?\d{{10,}}"),
    "float64": (
        ("--learning-rate", "1e308", "--clip", "100", "--numerics", "float64"),
        r"step \d: {} loss: inf",
    ),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_numbers_that_overflow_stop_the_run_and_epoch_step_and_tensor_are_named(
    name, tmp_path, capfd
):
    options, said = OVERFLOWS[name]
    said = said.format("expected finite numbers, found")
    line = stopped(tmp_path, capfd, *options)
    assert re.search(f"equations-[a-z]+-quick-[a-z0-9]+: epoch 1, {said}", line), line
    assert line.endswith("; the checkpoint of epoch 0 is kept")
    assert "again" not in line
    (checkpoint,) = tmp_path.rglob(CHECKPOINT)
    assert epochs_in(checkpoint) == []
    assert not list(tmp_path.rglob("run.json"))


def test_a_run_that_overflows_late_keeps_the_epochs_before(
    faults, tmp_path, capfd, always_a_checkpoint
):
    """The parameters in the checkpoint of the third epoch are made so large that the next product
    overflows."""
    out = tmp_path / "results"
    faults("sigkill@4")
    assert train(out, "--quiet") == EXIT_FAIL
    checkpoint = partial_of(out) / CHECKPOINT
    arrays, metadata = read_arrays(checkpoint)
    arrays["output.W_hq"] = np.full_like(arrays["output.W_hq"], 3e38)
    write_arrays(checkpoint, arrays, metadata)
    faults("")
    line = stopped(out, capfd)
    assert re.search("epoch 4, step 1: expected finite numbers, found .*: -?(inf|nan)", line)
    assert line.endswith("the checkpoint of epoch 3 is kept")
    assert len(epochs_in(checkpoint)) == 3
    assert stopped(out, capfd) == line


def test_an_overflow_in_one_run_does_not_keep_the_next_from_being_trained(tmp_path, capfd):
    """What is too large for float32 is not for float64."""
    line = stopped(tmp_path, capfd, *OVERFLOWS["loss"][0], "--numerics", "float32", "float64")
    assert "quick-float32: epoch 1, step " in line
    assert run_in(folder_of(tmp_path, "float64"))["status"] == "finished"


def test_the_weights_of_a_finished_run_can_be_loaded_and_are_finite(tmp_path):
    assert train(tmp_path, "--quiet", "--epochs", "1") == EXIT_PASS
    spec, params = load_weights(folder_of(tmp_path) / "weights.safetensors")
    assert spec.h == 6 and params
