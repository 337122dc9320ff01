"""Whatever a framework does in one case, the other cases are recorded and nothing is left running.

The faults are in faulty_worker.py; everything else is the real thing.
"""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from common.errors import EXIT_FAIL, EXIT_PASS
from conformance.run.child import Child
from tests.conformance.helpers import (
    arrays_file,
    edit_record,
    is_running,
    judge,
    record,
    use_faulty_worker,
    verdict_of,
    wait_until_gone,
)

pytestmark = pytest.mark.once

CASES = ("lstm-L1", "gru-after-L1", "rnn-tanh-L1")
"""In the order of the table: rnn-tanh-L1, gru-after-L1, lstm-L1."""

BAD = "gru-after-L1"
LIMIT = 2.0


@pytest.fixture
def faults(monkeypatch, tmp_path):
    """Set what goes wrong; returns the pid of every worker that was asked and what it was asked."""
    monkeypatch.setattr(Child, "__init__", Child.__init__)  # put back afterwards
    use_faulty_worker()
    asked = tmp_path / "asked"
    monkeypatch.setenv("ASKED", str(asked))

    def set_faults(text: str) -> Path:
        monkeypatch.setenv("FAULTS", text)
        return asked

    return set_faults


def asked_of(path: Path) -> list[tuple[int, str]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def run(out: Path, *options: str) -> tuple[int, dict[str, dict]]:
    """Record in float64; the exit code and the entries by case."""
    code = record(out, "--dtype", "float64", *options, cases=CASES)
    data = json.loads((out / "numpy-cpu" / "record.json").read_text(encoding="utf-8"))
    return code, data["entries"]["equations"]["float64"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", r"RuntimeError: the kernel said no"),
        ("memory", r"MemoryError: no message"),
        ("segfault", r"the process was ended by SIGSEGV"),
        ("sigkill", r"the process was ended by SIGKILL \(out of memory\?\)"),
        ("exit", r"the process ended with exit code 3"),
        ("hang", rf"no answer within {LIMIT:g} s"),
    ],
)
def test_a_case_that_fails_is_crashed_with_the_reason_and_the_rest_goes_on(
    fault, reason, faults, tmp_path, capsys
):
    asked = faults(f"{fault}@{BAD}")
    out = tmp_path / "results"
    began = time.monotonic()
    code, entries = run(out, "--limit", str(LIMIT))
    assert time.monotonic() - began < LIMIT + 15
    assert code == EXIT_FAIL
    assert {case: entry["status"] for case, entry in entries.items()} == {
        "rnn-tanh-L1": "recorded",
        "gru-after-L1": "crashed",
        "lstm-L1": "recorded",
    }
    assert re.fullmatch(reason, entries[BAD]["reason"])
    assert re.search(f"numpy:equations float64 {BAD}: crashed: {reason}", capsys.readouterr().err)
    assert [case for _, case in asked_of(asked)] == ["rnn-tanh-L1", "gru-after-L1", "lstm-L1"]
    assert not any(is_running(pid) for pid, _ in asked_of(asked))

    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    found = {result["case"]: result for result in verdict["results"]}
    assert {case: result["status"] for case, result in found.items()} == {
        "rnn-tanh-L1": "pass",
        "gru-after-L1": "crashed",
        "lstm-L1": "pass",
    }
    assert found[BAD]["reason"] == entries[BAD]["reason"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fork", None),
        ("fork-exit", "the process ended with exit code 3"),
        ("fork-hang", f"no answer within {LIMIT:g} s"),
    ],
)
def test_a_process_that_a_worker_forked_is_ended_with_it_and_not_waited_for(
    fault, reason, faults, tmp_path, monkeypatch
):
    """It holds the pipe in which the worker answers, and would live for an hour."""
    forked = tmp_path / "forked"
    monkeypatch.setenv("FORKED", str(forked))
    asked = faults(f"{fault}@{BAD}")
    code, entries = run(tmp_path / "results", "--limit", str(LIMIT))
    assert code == (EXIT_FAIL if reason else EXIT_PASS)
    assert entries[BAD].get("reason") == reason
    others = {case: entry["status"] for case, entry in entries.items() if case != BAD}
    assert set(others.values()) == {"recorded"}
    pids = [int(line) for line in forked.read_text(encoding="utf-8").splitlines()]
    assert len(pids) == 1
    wait_until_gone(pids + [pid for pid, _ in asked_of(asked)])  # the kernel ends them in its time


def test_the_table_shows_a_crash_and_how_to_run_that_case_again(faults, tmp_path, capsys):
    faults(f"segfault@{BAD}")
    run(tmp_path)
    capsys.readouterr()
    assert judge(tmp_path) == EXIT_FAIL
    shown = capsys.readouterr().out
    assert "1 crashed" in shown
    assert f"{BAD}: crashed: the process was ended by SIGSEGV" in shown
    assert f"record --backend numpy --device cpu --dtype float64 --cases {BAD}" in shown
    assert shown.rstrip().splitlines()[-1].startswith("FAIL: 1 case result failed")


def test_every_case_may_crash(faults, tmp_path):
    faults("segfault@*")
    code, entries = run(tmp_path)
    assert code == EXIT_FAIL
    assert {entry["status"] for entry in entries.values()} == {"crashed"}
    code, verdict = verdict_of(tmp_path)
    assert code == EXIT_FAIL
    assert verdict["grid"]["elements"] == 0


def test_what_a_framework_prints_reaches_the_log_and_no_answer(faults, tmp_path, capfd):
    faults("print@*")
    code, entries = run(tmp_path, "--quiet")
    assert code == EXIT_PASS
    assert {entry["status"] for entry in entries.values()} == {"recorded"}
    log = (tmp_path / "numpy-cpu" / "worker.log").read_bytes()
    assert log.count(b"WARNING \xff from C") == 3
    assert capfd.readouterr() == ("", "")
    assert judge(tmp_path) == EXIT_PASS


def test_the_traceback_of_a_case_is_in_the_log(faults, tmp_path, capfd):
    faults(f"raise@{BAD}")
    run(tmp_path)
    assert "Traceback" in (tmp_path / "numpy-cpu" / "worker.log").read_text(encoding="utf-8")
    assert "Traceback" not in capfd.readouterr().err


def test_a_worker_that_dies_after_its_answer_costs_the_next_case_only(faults, tmp_path):
    asked = faults("die-afterwards@rnn-tanh-L1")
    code, entries = run(tmp_path)
    assert code == EXIT_FAIL
    assert entries["rnn-tanh-L1"]["status"] == entries["lstm-L1"]["status"] == "recorded"
    assert entries["gru-after-L1"]["status"] == "crashed"
    assert not any(is_running(pid) for pid, _ in asked_of(asked))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise@start", "the process ended with exit code 1"),
        ("segfault@start", "the process was ended by SIGSEGV"),
        ("greet-garbage@start", "it answered 'hello', which is not JSON"),
        ("hang@start", "no answer within 0.5 s"),
    ],
)
def test_a_framework_that_dies_or_hangs_at_its_import_makes_every_case_crashed(
    fault, reason, faults, tmp_path, monkeypatch
):
    if fault == "hang@start":
        monkeypatch.setattr("conformance.run.child.START_LIMIT", 0.5)
    asked = faults(fault)
    began = time.monotonic()
    code, entries = run(tmp_path)
    assert time.monotonic() - began < 15
    assert code == EXIT_FAIL
    assert set(entries) == set(CASES)
    for entry in entries.values():
        assert entry["status"] == "crashed"
        assert reason in entry["reason"]
    assert asked_of(asked) == []
    assert judge(tmp_path) == EXIT_FAIL


def test_a_worker_that_does_not_start_is_given_up_after_two_attempts(faults, tmp_path, monkeypatch):
    faults("segfault@start")
    launched = []

    class Counted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            launched.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    run(tmp_path)
    assert len(launched) == 2
    assert not any(is_running(pid) for pid in launched)


def test_a_crash_in_float64_leaves_float32_alone(faults, tmp_path):
    faults("")
    record(tmp_path, cases=CASES)

    def crash(data: dict) -> None:
        data["entries"]["equations"]["float64"][BAD] = {"status": "crashed", "reason": "it broke"}

    edit_record(tmp_path / "numpy-cpu", crash)
    arrays_file(tmp_path / "numpy-cpu", BAD).unlink()
    code, verdict = verdict_of(tmp_path)
    assert code == EXIT_FAIL
    wrong = [(r["dtype"], r["case"]) for r in verdict["results"] if r["status"] != "pass"]
    assert wrong == [("float64", BAD)]
