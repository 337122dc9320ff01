"""A record that is interrupted: the earlier one stays, and the next run goes on from there."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from multiprocessing import connection
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, EXIT_PASS
from conformance.__main__ import INTERRUPTED
from conformance.run.child import Child
from conformance.run.ladder import array_path
from tests.conformance.helpers import (
    all_arrays,
    assert_one_line,
    edit_record,
    fingerprint,
    judge,
    record,
    started,
    use_faulty_worker,
    wait_until_gone,
)

pytestmark = pytest.mark.once

PATTERN = "gru-*[er]-L[1-4]"
CASES = [f"gru-{reset}-L{L}" for reset in ("before", "after") for L in (1, 2, 3, 4)]
PARTIAL = ".numpy-cpu.partial"
DRIVER = """
import sys
from tests.conformance.helpers import use_faulty_worker
from conformance.__main__ import main
use_faulty_worker()
sys.exit(main())
"""


def interrupt(out: Path, asked: Path, how: int, faults: str) -> tuple[int, str]:
    """Start a slow record, and send it a signal once three cases are in its journal. Returns its
    exit code and what it wrote to standard error, when its workers are gone."""
    environment = os.environ | {"FAULTS": faults, "ASKED": str(asked)}
    command = [sys.executable, "-c", DRIVER, "record", "--backend", "numpy", "--out", str(out)]
    with started([*command, "--cases", PATTERN], env=environment) as process:
        journal = out / PARTIAL / "journal.jsonl"
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.read_text(encoding="utf-8").count("\n") >= 3):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
        errors = process.communicate(timeout=30)[1]
    wait_until_gone({int(line.split()[0]) for line in asked.read_text("utf-8").splitlines()})
    return process.returncode, errors


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict:
    """The arrays of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert record(out, "--quiet", cases=(PATTERN,)) == EXIT_PASS
    return all_arrays(out / "numpy-cpu")


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A results folder with an earlier, other record, and a run over it that was killed."""
    folder = tmp_path_factory.mktemp("killed")
    out = folder / "results"
    record(out, "--quiet", cases=("lstm-L1",))
    before = fingerprint(out / "numpy-cpu")
    code, _ = interrupt(out, folder / "asked", signal.SIGKILL, "slow@*")
    assert code == -signal.SIGKILL
    assert fingerprint(out / "numpy-cpu") == before
    return out


@pytest.fixture
def out(killed, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(killed, tmp_path / "results")  # copies modification times as well
    return tmp_path / "results"


def journal_of(out: Path) -> list[str]:
    return (out / PARTIAL / "journal.jsonl").read_text(encoding="utf-8").splitlines()


def done_in(out: Path) -> list[Path]:
    return [array_path(*json.loads(line)[0]) for line in journal_of(out)]


def made(folder: Path) -> dict[str, int]:
    """Every file of arrays, and when it was made."""
    return {name: times for name, (_, times) in fingerprint(folder).items() if "arrays/" in name}


def assert_same_arrays(folder: Path, wanted: dict) -> None:
    found = all_arrays(folder)
    assert found.keys() == wanted.keys()
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)


def test_a_killed_run_leaves_the_earlier_record_to_be_judged(out, capsys):
    assert (out / PARTIAL).is_dir()
    assert judge(out) == EXIT_INCOMPLETE
    assert "numpy-cpu was begun again later and is not finished" in capsys.readouterr().out


def test_a_killed_run_is_resumed_and_what_was_done_is_not_done_again(out, undisturbed):
    done = {str(path) for path in done_in(out)}
    before = made(out / PARTIAL)
    assert 3 <= len(done) < 2 * len(CASES)
    assert record(out, "--quiet", cases=(PATTERN,)) == EXIT_PASS
    after = made(out / "numpy-cpu")
    assert len(after) == 2 * len(CASES)
    assert {name for name in after if after[name] == before.get(name)} == done
    assert_same_arrays(out / "numpy-cpu", undisturbed)
    assert {path.name for path in out.iterdir()} == {"numpy-cpu"}
    assert judge(out) == EXIT_PASS


def test_a_journal_whose_last_line_is_cut_short_costs_that_case_only(out, undisturbed):
    path = out / PARTIAL / "journal.jsonl"
    lines = path.read_text(encoding="utf-8")
    path.write_text(lines[:-20], encoding="utf-8")
    whole = {str(array_path(*json.loads(line)[0])) for line in lines.splitlines()[:-1]}
    before = made(out / PARTIAL)
    assert record(out, "--quiet", cases=(PATTERN,)) == EXIT_PASS
    after = made(out / "numpy-cpu")
    assert {name for name in after if after[name] == before.get(name)} == whole
    assert_same_arrays(out / "numpy-cpu", undisturbed)
    assert judge(out) == EXIT_PASS


@pytest.mark.parametrize(
    ("options", "cases"),
    [
        (("--threads", "2"), (PATTERN,)),
        (("--dtype", "float64"), (PATTERN,)),
        ((), ("gru-*-L2", "lstm-L1")),
    ],
    ids=["threads", "dtype", "cases"],
)
def test_changed_options_start_afresh(options, cases, out):
    before = made(out / PARTIAL)
    assert record(out, "--quiet", *options, cases=cases) == EXIT_PASS
    data = json.loads((out / "numpy-cpu" / "record.json").read_text(encoding="utf-8"))
    after = made(out / "numpy-cpu")
    assert not [name for name in after if after[name] == before.get(name)]
    assert len(after) == len(data["cases"]) * len(data["dtypes"])
    assert {path.name for path in out.iterdir()} == {"numpy-cpu"}
    assert judge(out) == EXIT_PASS


def test_another_text_starts_afresh(out, tmp_path):
    text = tmp_path / "other.txt"
    text.write_text("Quite another text, of no great length. " * 100, encoding="utf-8")
    before = made(out / PARTIAL)
    assert record(out, "--quiet", "--text", str(text), cases=(PATTERN,)) == EXIT_PASS
    after = made(out / "numpy-cpu")
    assert not [name for name in after if after[name] == before.get(name)]
    assert judge(out, "--text", str(text)) == EXIT_PASS


def test_a_framework_that_is_gone_in_between_does_not_lose_what_was_done(
    out, undisturbed, capsys, monkeypatch
):
    before = made(out / PARTIAL)
    done = {str(path) for path in done_in(out)}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Child, "__init__", Child.__init__)  # put back afterwards
        use_faulty_worker()
        patch.setenv("FAULTS", "bad-input@start")
        assert record(out, cases=(PATTERN,)) == EXIT_BAD_INPUT
    assert "its framework installed" in assert_one_line(capsys.readouterr().err)
    assert record(out, "--quiet", cases=(PATTERN,)) == EXIT_PASS
    after = made(out / "numpy-cpu")
    assert {name for name in after if after[name] == before.get(name)} == done
    assert_same_arrays(out / "numpy-cpu", undisturbed)


def test_an_interrupted_run_without_an_earlier_record_is_half_a_record(out, capsys):
    shutil.rmtree(out / "numpy-cpu")
    capsys.readouterr()
    assert judge(out) == EXIT_BAD_INPUT
    assert "interrupted" in assert_one_line(capsys.readouterr().err)


def test_an_interrupted_first_run_beside_other_records_is_half_a_record(out, capsys):
    (out / "numpy-cpu").rename(out / "pytorch-cpu")
    edit_record(out / "pytorch-cpu", lambda data: data.update(backend="pytorch"))
    capsys.readouterr()
    assert judge(out) == EXIT_BAD_INPUT
    assert PARTIAL in assert_one_line(capsys.readouterr().err)


def test_control_c_says_how_to_go_on_and_leaves_no_worker_running(tmp_path, undisturbed):
    out = tmp_path / "results"
    code, errors = interrupt(out, tmp_path / "asked", signal.SIGINT, "slow@*")
    assert code == INTERRUPTED
    assert "goes on from here" in assert_one_line(errors)
    done = {str(path) for path in done_in(out)}
    before = made(out / PARTIAL)
    assert record(out, "--quiet", cases=(PATTERN,)) == EXIT_PASS
    after = made(out / "numpy-cpu")
    assert {name for name in after if after[name] == before.get(name)} == done
    assert_same_arrays(out / "numpy-cpu", undisturbed)


def test_control_c_ends_a_worker_that_hangs(tmp_path):
    faults = "slow@* hang@gru-before-L4"
    code, _ = interrupt(tmp_path / "results", tmp_path / "asked", signal.SIGINT, faults)
    assert code == INTERRUPTED


def test_a_record_that_was_started_with_control_c_ignored_goes_on(tmp_path, undisturbed):
    """As a shell starts it in the background: Ctrl-C is meant for what stands before."""
    out, asked = tmp_path / "results", tmp_path / "asked"
    command = ["record", "--backend", "numpy", "--out", str(out), "--quiet", "--cases", PATTERN]
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", DRIVER]
    environment = os.environ | {"FAULTS": "slow@*", "ASKED": str(asked)}
    with started([*ignoring, *command], env=environment, start_new_session=True) as process:
        while not asked.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == EXIT_PASS
    assert_same_arrays(out / "numpy-cpu", undisturbed)


def test_an_interruption_while_an_answer_is_awaited_leaves_nothing_to_wait_for(
    tmp_path, monkeypatch
):
    """A thread that goes on would keep the process for the whole limit of a case."""
    wait, threads = connection.wait, threading.enumerate()

    def interrupted(*arguments):
        if (tmp_path / PARTIAL / "journal.jsonl").exists() and done_in(tmp_path):
            raise KeyboardInterrupt
        return wait(*arguments)

    monkeypatch.setattr(connection, "wait", interrupted)
    assert record(tmp_path, "--quiet", cases=(PATTERN,)) == INTERRUPTED
    assert threading.enumerate() == threads
    assert len(done_in(tmp_path)) == 1
