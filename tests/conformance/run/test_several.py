"""A record that several workers share: it is what one makes, whatever becomes of one of them."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import INTERRUPTED, main
from conformance.cases import command as cases_command
from conformance.run import command as run_command
from conformance.run import ladder
from conformance.run.child import Child
from tests.conformance.helpers import (
    all_arrays,
    assert_one_line,
    record,
    started,
    use_faulty_worker,
    wait_until_gone,
)

pytestmark = pytest.mark.once

TWO = ("--quiet", "--processes", "2")
GOOD, BAD = "gru-before-L1", "lstm-L2"
"""In the order of the table."""

CASES = (GOOD, BAD)
DRIVER = """
import sys
from tests.conformance.helpers import use_faulty_worker
from conformance.__main__ import main
use_faulty_worker()
sys.exit(main())
"""


@pytest.fixture
def asked(monkeypatch, tmp_path) -> Path:
    """The file that gets a line for every case that a worker is asked about."""
    monkeypatch.setattr(Child, "__init__", Child.__init__)  # put back afterwards
    use_faulty_worker()
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return tmp_path / "asked"


def by_worker(asked: Path) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for line in asked.read_text(encoding="utf-8").splitlines():
        found.setdefault(int(line.split()[0]), []).append(line.split()[1])
    return found


def told(folder: Path) -> dict:
    """What record.json says of every case, but for its costs; in the file's order."""
    data = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    costs = {"seconds", "peak MiB"}
    return {
        (name, dtype, case): {k: v for k, v in entry.items() if k not in costs}
        for name, dtypes in data["entries"].items()
        for dtype, cases in dtypes.items()
        for case, entry in cases.items()
    }


def test_two_workers_make_the_record_that_one_makes(asked, tmp_path) -> None:
    assert record(tmp_path / "one", "--quiet") == EXIT_PASS
    assert len(by_worker(asked)) == 1
    asked.unlink()
    assert record(tmp_path / "two", *TWO) == EXIT_PASS
    assert [sorted(cases) for cases in by_worker(asked).values()] == [sorted(CASES)] * 2
    wait_until_gone(by_worker(asked))
    one, two = (tmp_path / name / "numpy-cpu" for name in ("one", "two"))
    assert [*told(one).items()] == [*told(two).items()]
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    wanted, found = all_arrays(one), all_arrays(two)
    assert wanted.keys() == found.keys() and wanted
    assert all(wanted[name].tobytes() == found[name].tobytes() for name in wanted)


def test_a_case_that_ends_its_worker_is_crashed_and_the_rest_goes_on(
    asked, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FAULTS", f"segfault@{BAD}")
    assert record(tmp_path / "results", *TWO) == EXIT_FAIL
    found = told(tmp_path / "results" / "numpy-cpu")
    assert {case: entry["status"] for (*_, case), entry in found.items()} == {
        GOOD: "recorded",
        BAD: "crashed",
    }
    assert len(found) == 4
    wait_until_gone(by_worker(asked))


def test_more_workers_than_there_is_work_for_are_not_started(asked, tmp_path) -> None:
    options = ("--dtype", "float64", "--quiet", "--processes", "1000")
    assert record(tmp_path / "results", *options) == EXIT_PASS
    assert len(by_worker(asked)) == 1


@pytest.mark.parametrize(
    ("free", "options", "workers"),
    [(2, ["--quick"], 2), (1, ["--quick"], 1), (2, ["--quick", "--processes", "1"], 1), (2, [], 1)],
)
def test_a_quick_record_has_two_workers_where_there_are_two_cores(
    free, options, workers, asked, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(run_command, "cores", lambda: free)
    monkeypatch.setattr(cases_command, "quick_cases", lambda: list(CASES))
    which = options if "--quick" in options else ["--cases", *CASES]
    command = ["record", "--backend", "numpy", "--out", str(tmp_path), "--quiet", *which]
    assert main(command) == EXIT_PASS
    assert len(by_worker(asked)) == workers


def test_both_workers_import_their_framework_at_the_same_time(asked, tmp_path, monkeypatch) -> None:
    """The second is not started only when the first has greeted."""
    launched, heard = [], []
    launch, hear = Child.launch, Child.hear

    def launch_and_say(self: Child) -> None:
        launch(self)
        launched.append(len(heard))

    def hear_and_say(self: Child) -> dict:
        heard.append(self)
        return hear(self)

    monkeypatch.setattr(Child, "launch", launch_and_say)
    monkeypatch.setattr(Child, "hear", hear_and_say)
    assert record(tmp_path / "results", *TWO) == EXIT_PASS
    assert launched == [0, 0] and len(heard) == 2
    wait_until_gone(by_worker(asked))


def test_a_backend_that_is_not_there_leaves_no_worker(asked, tmp_path, monkeypatch, capsys) -> None:
    launched = []
    monkeypatch.setenv("FAULTS", "bad-input@start")
    launch = Child.launch
    monkeypatch.setattr(Child, "launch", lambda self: (launched.append(self), launch(self)))
    assert record(tmp_path / "results", *TWO) == EXIT_BAD_INPUT
    assert_one_line(capsys.readouterr().err)
    assert len(launched) == 2 and [child.process for child in launched] == [None, None]
    assert not [*(tmp_path / "results").glob("[!.]*")]


def test_control_c_ends_all_and_the_same_command_goes_on(tmp_path) -> None:
    asked, out = tmp_path / "asked", tmp_path / "results"
    command = [sys.executable, "-c", DRIVER, "record", "--backend", "numpy", "--out", str(out)]
    command += ["--cases", *CASES, *TWO]
    environment = os.environ | {"FAULTS": f"hang@{BAD}", "ASKED": str(asked)}
    journal = out / ".numpy-cpu.partial" / "journal.jsonl"
    with started(command, env=environment) as process:
        deadline = time.monotonic() + 60
        while not (asked.exists() and asked.read_text("utf-8").count(BAD) == 2):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    workers = by_worker(asked)
    assert len(workers) == 2
    wait_until_gone(workers)
    done = [json.loads(line)[0] for line in journal.read_text("utf-8").splitlines()]
    assert [case for *_, case in done] == [GOOD] * 2, "nobody has answered the other"
    assert record(out, *TWO) == EXIT_PASS
    assert {entry["status"] for entry in told(out / "numpy-cpu").values()} == {"recorded"}


def test_what_a_further_worker_cannot_do_is_told_when_all_are_at_an_end(
    tmp_path, monkeypatch, capsys
) -> None:
    """It finds the disk full."""
    run_case, tried = ladder._run_case, threading.Event()

    def full_for_the_other(*question):
        if threading.current_thread() is threading.main_thread():
            assert tried.wait(60)
            return run_case(*question)
        tried.set()
        raise OSError(28, "No space left on device", "arrays")

    monkeypatch.setattr(ladder, "_run_case", full_for_the_other)
    assert record(tmp_path / "results", *TWO) == EXIT_BAD_INPUT
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "results" / "numpy-cpu").exists()
