"""A training run that is interrupted goes on bit for bit, and an earlier one is never lost."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from common.weights import read_arrays, write_arrays
from conformance.__main__ import INTERRUPTED
from conformance.run import training
from tests.conformance.helpers import assert_one_line, fingerprint, started, wait_until_gone
from tests.conformance.training_helpers import (
    CHECKPOINT,
    COMMAND,
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

NUMERICS = ("lattice", "float32")
OPTIONS = {
    "lattice": ("--numerics", "lattice", "--digests", "step", "--held-out", "0.2"),
    "float32": ("--numerics", "float32", "--order", "random"),
}
OTHER = ("--learning-rate", "0.5")
DRIVER = """
import sys
import pytest
from conformance.run import training
from conformance.__main__ import main
from tests.conformance.training_helpers import use_faulty_trainee
training.CHECKPOINT_EVERY = 0.0
use_faulty_trainee(pytest.MonkeyPatch())
sys.exit(main())
"""


def interrupt(
    out: Path, asked: Path, options: tuple, how: int, whole_group: bool, faults: str = "slow@*"
) -> str:
    """Start a slow run with a checkpoint after every epoch, and end it in its fourth epoch. Returns
    what it wrote to standard error."""
    command = [sys.executable, "-c", DRIVER, *COMMAND, "--quiet", "--out", str(out), *options]
    environment = os.environ | {"FAULTS": faults, "ASKED": str(asked)}
    with started(command, env=environment, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while len(asked_of(asked)) < 4:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if whole_group:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        output, errors = process.communicate(timeout=30)
    assert output == ""
    assert process.returncode == (-how if how == signal.SIGKILL else INTERRUPTED)
    wait_until_gone({pid for pid, *_ in asked_of(asked)})
    return errors


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Lets the workers of this process note what they train; gives the epochs that they did."""
    use_faulty_trainee(monkeypatch)
    asked = tmp_path / "watched"
    monkeypatch.setenv("ASKED", str(asked))
    return lambda: [epoch for *_, epoch in asked_of(asked)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, dict]:
    """By numerics, what a run came to that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    for numerics in NUMERICS:
        assert train(out, "--quiet", *OPTIONS[numerics]) == EXIT_PASS
    return {numerics: trained(folder_of(out, numerics)) for numerics in NUMERICS}


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A results folder in which a run of each was killed, parent and worker at once; of float32
    there is an earlier run, with other settings."""
    folder = tmp_path_factory.mktemp("killed")
    out = folder / "results"
    assert train(out, "--quiet", "--numerics", "float32", *OTHER) == EXIT_PASS
    before = fingerprint(folder_of(out))
    for numerics in NUMERICS:
        asked = folder / f"asked-{numerics}"
        interrupt(out, asked, OPTIONS[numerics], signal.SIGKILL, True)
    assert fingerprint(folder_of(out)) == before
    return out


@pytest.fixture
def out(killed, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(killed, tmp_path / "results")
    return tmp_path / "results"


def assert_goes_on(out: Path, numerics: str, undisturbed: dict, watched) -> None:
    """The same command, without another word, takes up what the checkpoint holds."""
    done = epochs_in(partial_of(out, numerics) / CHECKPOINT)
    assert 3 <= len(done) < EPOCHS
    assert train(out, *OPTIONS[numerics]) == EXIT_PASS
    assert watched() == list(range(len(done) + 1, EPOCHS + 1))
    folder = folder_of(out, numerics)
    assert run_in(folder)["epochs"][: len(done)] == done  # their seconds, too
    assert trained(folder) == undisturbed[numerics]
    files = ["given.safetensors", "run.json", "weights.safetensors"]
    assert content(folder) == files
    assert not partial_of(out, numerics).exists()


def test_what_is_compared_is_something(undisturbed):
    lattice, float32 = undisturbed["lattice"], undisturbed["float32"]
    assert len(lattice["epochs"]) == len(float32["epochs"]) == EPOCHS
    for row in lattice["epochs"]:
        assert len(row["digests"]) == len(row["losses"]) > 1
        assert row["digests"][-1] == row["digest"]
        assert row["held out"]["sample"] > 0
    assert len({row["digest"] for row in lattice["epochs"]}) == EPOCHS
    assert lattice["weights"] != float32["weights"]


@pytest.mark.parametrize("numerics", NUMERICS)
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    numerics, out, undisturbed, watched
):
    assert_goes_on(out, numerics, undisturbed, watched)


def test_a_resumed_run_shows_where_it_goes_on(out, capsys):
    done = len(epochs_in(partial_of(out) / CHECKPOINT))
    capsys.readouterr()
    assert train(out, *OPTIONS["float32"]) == EXIT_PASS
    shown = capsys.readouterr().err
    assert f"epoch {done - 1} of {EPOCHS}" not in shown
    for epoch in range(done, EPOCHS + 1):
        assert f"epoch {epoch} of {EPOCHS}" in shown


@pytest.mark.parametrize("whole_group", [True, False], ids=["as a terminal does", "parent only"])
def test_control_c_takes_one_line_and_loses_nothing(whole_group, tmp_path, undisturbed, watched):
    out, asked = tmp_path / "results", tmp_path / "asked"
    errors = interrupt(out, asked, OPTIONS["lattice"], signal.SIGINT, whole_group)
    assert "the same command goes on from here" in assert_one_line(errors)
    assert not folder_of(out, "lattice").exists()
    assert_goes_on(out, "lattice", undisturbed, watched)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_worker_that_hangs_does_not_survive_its_parent(how, tmp_path):
    asked = tmp_path / "asked"
    interrupt(tmp_path / "results", asked, OPTIONS["lattice"], how, False, "slow@* hang@4")
    assert [epoch for *_, epoch in asked_of(asked)] == [1, 2, 3, 4]


def test_a_run_that_was_killed_after_its_last_epoch_is_only_finished(
    tmp_path, undisturbed, watched, monkeypatch
):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setenv("FAULTS", "sigkill@finish")
    assert train(tmp_path, *OPTIONS["lattice"]) == EXIT_FAIL
    assert len(epochs_in(partial_of(tmp_path, "lattice") / CHECKPOINT)) == EPOCHS
    monkeypatch.setenv("FAULTS", "")
    assert train(tmp_path, *OPTIONS["lattice"]) == EXIT_PASS
    assert watched() == list(range(1, EPOCHS + 1))
    assert trained(folder_of(tmp_path, "lattice")) == undisturbed["lattice"]


def test_what_a_killed_worker_was_writing_is_cleared_away(out):
    (partial_of(out) / f".{CHECKPOINT}.abcd1234.tmp").write_bytes(b"half of a chec")
    assert train(out, *OPTIONS["float32"]) == EXIT_PASS
    assert content(folder_of(out)) == ["given.safetensors", "run.json", "weights.safetensors"]


@pytest.fixture
def refused(out, capsys):
    """Give the command of the killed float32 run, changed; returns the line that refuses it."""

    def give(*options: str) -> str:
        before = fingerprint(out)
        capsys.readouterr()
        assert train(out, *OPTIONS["float32"], *options) == EXIT_BAD_INPUT
        captured = capsys.readouterr()
        assert captured.out == ""
        line = assert_one_line(captured.err)
        assert line.startswith(f"{partial_of(out) / CHECKPOINT}: ")
        assert fingerprint(out) == before
        return line

    return give


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--learning-rate", "0.5"), "recipe: expected learning_rate 0.5"),
        (("--seed", "2"), "recipe: expected seed 2 (--fresh starts anew), found seed 1"),
        (("--perturbation", "2"), "recipe: expected perturbation 2"),
        (("--epochs", "7"), "recipe: expected epochs 7"),
        (("--hidden", "7"), "spec: expected h 7 (--fresh starts anew), found h 6"),
        (("--max-tokens", "201"), "text: expected characters 201"),
        (("--held-out", "0.2"), "text: expected characters 160"),
        (("--threads", "2"), "threads: expected 2 (--fresh starts anew), found 1"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_kept(options, expected, refused):
    assert expected in refused(*options)


def test_a_checkpoint_of_another_text_is_refused(refused, tmp_path):
    text = tmp_path / "other.txt"
    corpus = load_corpus(max_tokens=None)
    text.write_text(corpus.vocabulary.decode(corpus.tokens[::-1]), encoding="utf-8")
    assert "text: expected name other.txt" in refused("--text", str(text))


def edit_checkpoint(out: Path, numerics: str = "float32", change=None, **metadata: str) -> Path:
    path = partial_of(out, numerics) / CHECKPOINT
    arrays, kept = read_arrays(path)
    if change is not None:
        change(arrays)
    write_arrays(path, arrays, kept | metadata)
    return path


def settings_of(out: Path) -> dict:
    return json.loads(read_arrays(partial_of(out) / CHECKPOINT)[1]["settings"])


def test_a_checkpoint_of_another_version_of_the_suite_is_refused(out, refused):
    edit_checkpoint(out, settings=json.dumps(settings_of(out) | {"suite": "0.0.1"}))
    assert "suite: expected 0.1.0 (--fresh starts anew), found 0.0.1" in refused()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"settings": "not JSON"}, "metadata: expected settings and epochs"),
        ({"rows": "not JSON"}, "metadata: expected settings and epochs"),
        ({"settings": "[]"}, "suite: expected 0.1.0 (--fresh starts anew), found None"),
        ({"rows": "{}"}, "metadata 'rows': expected up to 6 epochs"),
        ({"rows": json.dumps([{}] * 7)}, "metadata 'rows': expected up to 6 epochs"),
    ],
)
def test_a_checkpoint_with_foreign_metadata_is_refused(metadata, expected, out, refused):
    edit_checkpoint(out, **metadata)
    assert expected in refused()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda params: params.pop("layer1.W_hf"), "layer1.W_hf: expected shape (6, 6), found no"),
        (lambda params: params["layer1.W_hf"].fill(float("nan")), "expected finite values"),
        (lambda params: params.update(layer2=params["layer1.b_f"]), "layer2: expected no such"),
    ],
    ids=["missing", "NaN", "extra"],
)
def test_a_checkpoint_with_other_parameters_is_refused(change, expected, out, refused):
    edit_checkpoint(out, change=change)
    assert expected in refused()


@pytest.mark.parametrize("kept", [0, 7, 200, -1])
def test_a_truncated_checkpoint_is_refused(kept, out, refused):
    path = partial_of(out) / CHECKPOINT
    path.write_bytes(path.read_bytes()[:kept])
    assert "expected a whole safetensors file" in refused()


def test_garbage_in_the_place_of_a_checkpoint_is_refused(out, refused):
    (partial_of(out) / CHECKPOINT).write_bytes(b"\xff" * 500)
    assert "expected a whole safetensors file" in refused()


@pytest.mark.parametrize("spoilt", [False, True])
def test_fresh_starts_anew_whatever_the_checkpoint_is(spoilt, out, undisturbed, watched):
    if spoilt:
        (partial_of(out) / CHECKPOINT).write_bytes(b"not a checkpoint")
    assert train(out, "--fresh", *OPTIONS["float32"]) == EXIT_PASS
    assert watched() == list(range(1, EPOCHS + 1))
    assert trained(folder_of(out)) == undisturbed["float32"]


def test_the_same_command_again_replaces_a_finished_run(out, undisturbed, watched):
    for _ in range(2):
        assert train(out, *OPTIONS["float32"]) == EXIT_PASS
    assert watched()[-EPOCHS:] == list(range(1, EPOCHS + 1))
    assert trained(folder_of(out)) == undisturbed["float32"]
    assert run_in(folder_of(out))["recipe"]["learning_rate"] != 0.5
    # The other run was killed: it left its lock's file, though nobody is locked out.
    others = [p.name for p in folder_of(out).parent.iterdir() if p.suffix != ".lock"]
    assert sorted(others) == [partial_of(out, "lattice").name, folder_of(out).name, "worker.log"]


@pytest.mark.parametrize("renames", [1, 2])
def test_an_earlier_run_survives_a_kill_while_it_is_being_replaced(
    renames, out, undisturbed, monkeypatch
):
    """Between any two renames there is the earlier run or the new one, under its name or beside
    it, and the next command puts things in order."""
    rename, done = Path.rename, []

    def killed(self, target):
        if self.is_dir():
            done.append(self)
            if len(done) == renames:
                raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        assert train(out, *OPTIONS["float32"]) == INTERRUPTED
    assert len(done) == renames
    places = (folder_of(out), folder_of(out).with_name(f".{folder_of(out).name}.old"))
    earlier = [run_in(path) for path in places if path.exists()]
    assert [made["recipe"]["learning_rate"] for made in earlier] == [0.5]
    with monkeypatch.context() as patch:
        patch.setattr(training.Child, "greet", lambda self: os.kill(os.getpid(), signal.SIGINT))
        assert train(out, *OPTIONS["float32"]) == INTERRUPTED
    assert run_in(folder_of(out))["recipe"]["learning_rate"] == 0.5
    assert train(out, *OPTIONS["float32"]) == EXIT_PASS
    assert trained(folder_of(out)) == undisturbed["float32"]
    assert not any(path.name.endswith(".old") for path in folder_of(out).parent.iterdir())


def test_an_earlier_run_survives_one_that_crashes(out, monkeypatch):
    before = fingerprint(folder_of(out))
    use_faulty_trainee(monkeypatch)
    monkeypatch.setenv("FAULTS", "segfault@2")
    assert train(out, "--fresh", *OPTIONS["float32"]) == EXIT_FAIL
    assert fingerprint(folder_of(out)) == before


def test_an_earlier_run_survives_one_that_overflows(out):
    before = fingerprint(folder_of(out))
    assert train(out, "--fresh", "--learning-rate", "1e60") == EXIT_BAD_INPUT
    assert fingerprint(folder_of(out)) == before
