"""A results folder may come from anybody: nothing outside of it is read, written or deleted."""

import os
import shutil
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from conformance.__main__ import main
from tests.conformance.helpers import assert_one_line, fingerprint, judge, record

pytestmark = pytest.mark.once

TRAIN = ("train", "--backend", "numpy", "--cell", "rnn", "--epochs", "1", "--quiet")
RUN = "equations-rnn-quick-float32"


@pytest.fixture
def ours(tmp_path) -> Path:
    """A folder of ours, with what would be deleted or overwritten."""
    folder = tmp_path / "ours"
    (folder / "arrays").mkdir(parents=True)
    for name in ("arrays/precious.txt", "journal.jsonl", "given.safetensors", "record.json"):
        (folder / name).write_text("ours")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        ".numpy-cpu.partial",
        ".numpy-cpu.old",
        ".numpy-cpu.lock",
        "numpy-cpu",
        ".numpy-cpu.partial/arrays",
        ".numpy-cpu.partial/worker.log",
        ".numpy-cpu.partial/journal.jsonl",
        "numpy-cpu/record.json",
    ],
)
def test_record_follows_no_link(name, ours, tmp_path, capsys):
    link = tmp_path / "results" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(
        ours / "journal.jsonl" if "." in name.split("/")[-1][1:] and "/" in name else ours
    )
    before = fingerprint(tmp_path)
    assert record(tmp_path / "results", "--quiet", cases=("lstm-L1",)) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert str(link) in line and "a link to" in line
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    [
        "training",
        "training/numpy-cpu",
        f"training/numpy-cpu/{RUN}",
        f"training/numpy-cpu/.{RUN}.partial",
        f"training/numpy-cpu/.{RUN}.partial/checkpoint.safetensors",
        f"training/numpy-cpu/.{RUN}.lock",
        "training/numpy-cpu/worker.log",
    ],
)
def test_train_follows_no_link(name, ours, tmp_path, capsys):
    link = tmp_path / "results" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(ours)
    before = fingerprint(tmp_path)
    assert main([*TRAIN, "--out", str(tmp_path / "results")]) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert str(link) in line and "a link to" in line
    assert fingerprint(tmp_path) == before


KINDS = {
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "numpy-cpu/record.json",
        "numpy-cpu/given.safetensors",
        "numpy-cpu/arrays/equations/float64/lstm-L2.safetensors",
        "pytorch-cpu",
        "verdict.json",
        "training",
    ],
)
@pytest.mark.parametrize("command", ["judge", "report", "witness"])
def test_no_command_reads_what_is_no_file(command, name, kind, out, capsys):
    path = out / name
    if path.exists():
        path.unlink()
    KINDS[kind](path)
    before = fingerprint(out)
    capsys.readouterr()
    assert main([command, str(out), "--quiet"]) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    if command == "report" and "packages" in line:
        pytest.skip("the report's packages are not here")
    assert f"{path}: expected a file or a folder, found {kind}" in line
    assert fingerprint(out) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["--json", "--svg", "--readme"])
def test_the_judge_writes_over_files_only(option, kind, out, tmp_path, capsys):
    path = tmp_path / "written"
    KINDS[kind](path)
    before = Path("/etc/hostname").read_bytes()
    capsys.readouterr()
    assert judge(out, "--quiet", option, str(path)) == EXIT_BAD_INPUT
    assert str(path) in assert_one_line(capsys.readouterr().err)
    assert Path("/etc/hostname").read_bytes() == before
    assert not path.is_file() or path.is_symlink()


def test_a_results_folder_may_itself_be_a_link(out, tmp_path):
    (tmp_path / "link").symlink_to(out)
    assert judge(tmp_path / "link", "--quiet") == EXIT_PASS
    assert record(tmp_path / "link", "--quiet", cases=("lstm-L1",)) == EXIT_PASS
    shutil.rmtree(out)
