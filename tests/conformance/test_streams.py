"""Readers that leave, terminals that know ASCII alone, and faults of the suite itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_INTERNAL, EXIT_PASS
from common.storage.pages import replace_part
from conformance.__main__ import main
from conformance.parser import find_command
from tests.conformance.helpers import assert_one_line, edit_record, record, spoil, started

pytestmark = pytest.mark.once

MARKED = "# Title\n<!-- results -->\n<!-- /results -->\nend\n"


def judge_without_reader(out: Path, stream: str, *options: str) -> tuple[int, str]:
    """The exit code of a judge whose output nobody reads, and what it says on the other stream."""
    command = [sys.executable, "-m", "conformance", "judge", str(out), *options]
    with started(command) as process:
        getattr(process, stream).close()
        other = process.stderr if stream == "stdout" else process.stdout
        said = other.read()
        return process.wait(60), said


@pytest.mark.parametrize("passes", [True, False])
def test_a_reader_that_leaves_changes_neither_the_verdict_nor_what_is_written(
    passes, out, tmp_path
):
    """As in ``judge results --json verdict.json | head -1``."""
    if not passes:
        spoil(out / "numpy-cpu", "lstm-L2", lambda arrays: arrays.pop("loss/loss"))
    (tmp_path / "README.md").write_text(MARKED)
    files = ("--json", "v.json"), ("--svg", "v.svg"), ("--readme", "README.md")
    options = [word for option, name in files for word in (option, str(tmp_path / name))]
    code, said = judge_without_reader(out, "stdout", "--quiet", *options)
    assert (code, said) == (EXIT_PASS if passes else EXIT_FAIL, "")
    sentence = "PASS" if passes else "FAIL"
    for _, name in files:
        assert sentence in (tmp_path / name).read_text(encoding="utf-8")


def test_errors_that_nobody_reads_do_not_change_the_verdict(out):
    code, said = judge_without_reader(out, "stderr")
    assert code == EXIT_PASS
    assert "PASS" in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_streams_may_be_closed_from_the_start(closed, out):
    command = f"{sys.executable} -m conformance judge {out} --quiet {closed}"
    done = subprocess.run(["bash", "-c", command], timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == EXIT_PASS


def test_a_full_output_is_the_systems_fault_and_the_files_are_there(out, tmp_path):
    path = tmp_path / "v.json"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "conformance", "judge", str(out), "--json", str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == EXIT_BAD_INPUT
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert path.exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", ["judge", "cases"])
def test_a_terminal_that_knows_ascii_alone_shows_the_verdict(command, encoding, out, tmp_path):
    arguments = [str(out), "--json", str(tmp_path / "v.json")] if command == "judge" else []
    done = subprocess.run(
        [sys.executable, "-m", "conformance", command, *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == EXIT_PASS
    assert b"Traceback" not in done.stderr
    assert b"lstm" in done.stdout if command == "cases" else b"PASS: 1" in done.stdout
    done.stdout.decode(encoding)


def test_a_fault_of_the_suite_has_an_exit_code_of_its_own(out, tmp_path, monkeypatch, capsys):
    """One line that asks for a report, and the traceback in a file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(*arguments):
        raise KeyError("a key\nthat is\x1b[2J not there")

    monkeypatch.setattr("conformance.judge.command.judge_all", broken)
    capsys.readouterr()
    assert main(["judge", str(out)]) == EXIT_INTERNAL
    captured = capsys.readouterr()
    assert captured.out == ""
    line = assert_one_line(captured.err)
    assert line.startswith("internal error: KeyError: ")
    assert "please report it" in line
    path = Path(re.search(r"traceback is in (\S+)$", line)[1])
    assert path.parent == tmp_path
    text = path.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text and "in broken" in text


def test_a_fault_of_the_suite_is_told_where_no_file_can_be_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    object.__setattr__(find_command("cases"), "run", find_command("cases").run)

    def broken(*arguments):
        raise RuntimeError("it")

    monkeypatch.setattr("conformance.cases.command.select", broken)
    assert main(["cases"]) == EXIT_INTERNAL
    assert "traceback is in nowhere (" in assert_one_line(capsys.readouterr().err)


def test_too_little_memory_is_the_systems_fault(monkeypatch, capsys):
    def hungry(*arguments):
        raise MemoryError

    monkeypatch.setattr("conformance.cases.command.select", hungry)
    assert main(["cases"]) == EXIT_BAD_INPUT
    assert assert_one_line(capsys.readouterr().err) == "system: not enough memory"


HOSTILE = "<!-- /results --> <script>x</script> | @you `a` <!-- results -->\n"


def test_a_readme_does_not_grow_whatever_a_text_is_called(out, tmp_path, capsys):
    """Neither do tags out of a record reach it."""
    edit_record(out / "numpy-cpu", lambda data: data["text"].update(name=HOSTILE))
    path = tmp_path / "README.md"
    path.write_text(MARKED, encoding="utf-8")
    seen = set()
    for _ in range(3):
        main(["judge", str(out), "--quiet", "--readme", str(path)])
        seen.add(path.read_text(encoding="utf-8"))
    assert len(seen) == 1
    text = seen.pop()
    assert text.endswith("<!-- /results -->\nend\n")
    assert "<script" not in text
    assert text.count("<!--") == 2


def test_a_readme_with_what_was_written_before_is_the_same_again(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(MARKED, encoding="utf-8")
    for _ in range(2):
        replace_part(path, "results", "new\n")
        assert path.read_text() == MARKED.replace("-->\n<!-- /", "-->\nnew\n<!-- /")


def test_two_records_are_the_same_bytes_but_for_times(tmp_path):
    """And but for the memory that was in use, and for what frameworks print into the log."""
    for name in "ab":
        assert record(tmp_path / name, "--quiet", cases=("lstm-L2", "text-rnn-tanh")) == EXIT_PASS
    found = []
    for name in "ab":
        folder = tmp_path / name / "numpy-cpu"
        files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        (log,) = [path for path in files if path.name == "worker.log"]
        del files[log]
        text = files[Path("record.json")].decode()
        text = re.sub(r'"(seconds|peak MiB)": [0-9.]+|"(made|seal)": "[^"]+"', "", text)
        found.append(files | {Path("record.json"): text})
    assert found[0] == found[1]


def test_two_runs_are_the_same_bytes_but_for_times(tmp_path):
    train = ("train", "--backend", "numpy", "--cell", "lstm", "--epochs", "2", "--quiet")
    found = []
    for name in "ab":
        out = tmp_path / name
        assert main([*train, "--held-out", "0.2", "--out", str(out)]) == EXIT_PASS
        folder = out / "training" / "numpy-cpu" / "equations-lstm-quick-float32"
        files = {p.name: p.read_bytes() for p in folder.iterdir()}
        text = files["run.json"].decode()
        text = re.sub(r'"(seconds|peak MiB)": [0-9.e-]+|"(made|seal)": "[^"]+"', "", text)
        found.append(files | {"run.json": text})
    assert found[0] == found[1]
