"""A full disk is the disk's fault: exit code 2, no framework blamed, and the good record stays."""

import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, EXIT_PASS
from conformance.__main__ import main
from tests.conformance import full_disk
from tests.conformance.full_disk import FullDisk
from tests.conformance.helpers import (
    assert_one_line,
    fingerprint,
    judge,
    record,
    worker_script,
)

pytestmark = pytest.mark.once

CASES = ("lstm-L1",)
TRAIN = ("train", "--backend", "numpy", "--cell", "rnn", "--epochs", "2", "--quiet")
NEVER = 10**9
AS_BEFORE = EXIT_INCOMPLETE
"""What the judge says of the good folder: nothing is wrong, and its short run has no ensemble."""
FULL = "No space left on device"


def record_again(out: Path) -> int:
    return record(out, "--quiet", cases=CASES)


def train_again(out: Path) -> int:
    return main([*TRAIN, "--out", str(out)])


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A record and a run; no test may write to it."""
    out = tmp_path_factory.mktemp("good")
    assert record_again(out) == EXIT_PASS
    assert train_again(out) == EXIT_PASS
    return out


def with_full_disk(command, out: Path, at: int) -> tuple[int, int]:
    """The exit code, and how many writes there were."""
    disk = FullDisk(at)
    disk.start()
    try:
        return command(out), disk.writes
    finally:
        disk.stop()


@pytest.mark.parametrize("command", [record_again, train_again])
def test_every_write_of_the_parent_may_fail(command, good, tmp_path, capsys):
    """One after another is the one at which the disk is full; as soon as there is room again, the
    same command does what it did."""
    shutil.copytree(good, tmp_path / "counted")
    code, writes = with_full_disk(command, tmp_path / "counted", NEVER)
    assert code == EXIT_PASS
    assert writes > 10
    looked_at = set()
    for at in range(1, writes + 1):
        out = tmp_path / f"full-{at}"
        shutil.copytree(good, out)
        before = {k: v for k, v in fingerprint(out).items() if "/." not in f"/{k}"}
        capsys.readouterr()
        assert with_full_disk(command, out, at)[0] == EXIT_BAD_INPUT, at
        assert FULL in assert_one_line(capsys.readouterr().err), at
        after = {k: v for k, v in fingerprint(out).items() if "/." not in f"/{k}"}
        logs = [name for name in after if name.endswith("worker.log")]
        if at < writes:  # the last one is the folder's fsync: the new one is there
            assert {k: v for k, v in after.items() if k not in logs} == {
                k: v for k, v in before.items() if k not in logs
            }, f"write {at}: the good record stays"
        # Looked at as it is, and once there is room. The good files are as they were, so that only
        # another name beside them is news to the judge.
        names = frozenset(fingerprint(out))
        if names not in looked_at or at == writes:
            assert judge(out, "--quiet") == AS_BEFORE, at
        looked_at.add(names)
        shutil.rmtree(out)
    assert len(looked_at) > 1
    out = tmp_path / "room"
    shutil.copytree(good, out)
    assert with_full_disk(command, out, writes // 2)[0] == EXIT_BAD_INPUT
    assert command(out) == EXIT_PASS
    assert judge(out, "--quiet") == AS_BEFORE


def test_every_write_of_a_worker_may_fail(good, tmp_path, monkeypatch, capsys):
    worker_script(monkeypatch, Path(full_disk.__file__))
    monkeypatch.setenv("FULL_AT", str(NEVER))
    monkeypatch.setenv("COUNTED", str(tmp_path / "counted"))
    assert record_again(tmp_path / "out") == EXIT_PASS
    writes = len((tmp_path / "counted").read_text().splitlines())
    assert writes >= 8  # of two cases
    monkeypatch.delenv("COUNTED")
    for at in range(1, writes + 1):
        out = tmp_path / f"full-{at}"
        shutil.copytree(good, out)
        before = fingerprint(out)
        monkeypatch.setenv("FULL_AT", str(at))
        capsys.readouterr()
        assert record_again(out) == EXIT_BAD_INPUT, at
        line = assert_one_line(capsys.readouterr().err)
        assert FULL in line and "crashed" not in line
        partial = out / ".numpy-cpu.partial"
        journal = partial / "journal.jsonl"
        told = journal.read_text() if journal.exists() else ""
        assert '"crashed"' not in told
        shutil.rmtree(partial)
        assert fingerprint(out) == before
        shutil.rmtree(out)


def test_what_was_done_before_the_disk_was_full_is_not_done_again(
    good, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        worker_script(patch, Path(full_disk.__file__))
        patch.setenv("FULL_AT", "13")  # making folders, the first case takes 11 writes
        assert record_again(out) == EXIT_BAD_INPUT
    assert len((out / ".numpy-cpu.partial" / "journal.jsonl").read_text().splitlines()) == 1
    assert record_again(out) == EXIT_PASS
    data = json.loads((out / "numpy-cpu" / "record.json").read_text())
    statuses = [e["status"] for d in data["entries"]["equations"].values() for e in d.values()]
    assert statuses == ["recorded", "recorded"]
    assert judge(out, "--quiet") == EXIT_PASS


@pytest.mark.parametrize("size", [0, 500, 3000, 20_000])
def test_files_that_cannot_grow_are_the_systems_fault(size, good, tmp_path, capsys):
    """The kernel's own error, in the parent and in the worker that inherits the limit: files of
    more than ``size`` bytes cannot be written."""
    out = tmp_path / "out"
    shutil.copytree(good, out)
    before = {k: v for k, v in fingerprint(out).items() if not k.startswith(".")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        code = record_again(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == EXIT_BAD_INPUT
    assert os.strerror(27) in assert_one_line(capsys.readouterr().err)
    assert {k: v for k, v in fingerprint(out).items() if not k.startswith(".")} == before
    assert record_again(out) == EXIT_PASS
    assert judge(out, "--quiet") == AS_BEFORE


@pytest.mark.parametrize("option", ["--json", "--svg", "--readme"])
def test_every_write_of_the_judge_may_fail(option, good, tmp_path, capsys):
    path = tmp_path / "written"
    old = "<!-- results -->\n<!-- /results -->\n"
    path.write_text(old)
    disk = FullDisk(NEVER)
    disk.start()
    try:
        assert judge(good, "--quiet", option, str(path)) == AS_BEFORE
    finally:
        disk.stop()
    for at in range(1, disk.writes + 1):
        path.write_text(old)
        capsys.readouterr()
        full = FullDisk(at)
        full.start()
        try:
            code = judge(good, "--quiet", option, str(path))
        finally:
            full.stop()
        assert code == EXIT_BAD_INPUT
        assert FULL in assert_one_line(capsys.readouterr().err)
        if at < disk.writes:  # after the last one, of the folder, the new file is there
            assert path.read_text() == old
        assert [p.name for p in tmp_path.iterdir()] == ["written"]
