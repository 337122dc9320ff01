"""The command line as a user meets it: help, tables, pipes and the README's markers."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common import SUITE_VERSION
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput
from common.storage.pages import replace_part
from conformance.__main__ import main
from conformance.cases.table import suite_cases
from conformance.options import Help
from conformance.parser import COMMANDS as PLACES
from conformance.parser import examples, find_command, make_parser
from conformance.progress import WIDTH_OF_A_PIPE
from tests.conformance.helpers import (
    CASES,
    assert_one_line,
    fingerprint,
    judge,
    record,
    spoil,
    started,
)

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("cases", "record", "train", "judge", "witness", "ensemble", "certify", "diagnose"),
    *(
        "capture",
        "diff",
        "convert",
        "verify",
        "shrink",
        "compare",
        "report",
        "bench",
        "atlas",
        "gpu",
        "check-backend",
    ),
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The real thing, with both streams in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "conformance", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


def test_the_help_shows_every_command_and_the_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert set(PLACES) == set(COMMANDS)
    assert examples(*map(find_command, PLACES)) in shown
    assert all(f"\n    {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    usage, does, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: python -m conformance {command}")
    assert " ".join(does.split()) == find_command(command).does
    assert all(len(line) <= 80 for line in does.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_says_what_every_option_is_and_its_default(command):
    parser = argparse.ArgumentParser(formatter_class=Help)
    find_command(command).add_arguments(parser)
    formatter = parser._get_formatter()
    for action in parser._actions:
        about = formatter._get_help_string(action)
        assert about, action.option_strings or action.dest
        takes_a_value = action.option_strings and action.nargs != 0
        assert not takes_a_value or action.required or "default" in about, action.option_strings


def test_a_command_imports_no_other_command_s_room():
    code = "import sys; from conformance.__main__ import main; main(['cases']); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    imported = set(run.stdout.splitlines()[-1].split())
    assert "conformance.cases.command" in imported
    others = {f"conformance.{place}" for place in PLACES.values()} - {"conformance.cases.command"}
    assert not imported & others


def test_a_usage_line_names_all_commands_whichever_is_asked():
    assert make_parser("record").format_usage() == make_parser().format_usage()


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(
        rf"deep-rnn {SUITE_VERSION}, Python 3\S+, NumPy \S+\n", capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "line", examples(*map(find_command, PLACES)).splitlines()[1:], ids=str.strip
)
def test_the_examples_of_the_help_are_understood(line):
    words = line.replace("'", "").split()
    assert words[:3] == ["python", "-m", "conformance"]
    assert make_parser().parse_args(words[3:]).command in COMMANDS


def test_the_cases_are_listed_one_in_a_line(capsys):
    assert main(["cases", "--random", "2", "--seed", "7"]) == EXIT_PASS
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "│" in line]
    listed = [row[0].strip() for row in rows]
    assert listed == [*suite_cases(), "random-7-0", "random-7-1"]
    sizes = {row[0].strip(): [cell.strip() for cell in row[1:8]] for row in rows}
    assert sizes["text-lstm"] == ["lstm", "32", "35", "28", "256", "28", "2"]


def test_only_the_cases_that_were_asked_for_are_listed(capsys):
    assert main(["cases", "--cases", "rnn-tanh-relu"]) == EXIT_PASS
    shown = capsys.readouterr().out
    assert "tanh, relu, invariances" in shown
    assert "lstm" not in shown


def test_a_pipe_gets_plain_text_of_one_width(out, tmp_path):
    listed = run("cases", COLUMNS="40")
    recorded = run("record", "--backend", "numpy", "--cases", *CASES, "--out", str(tmp_path / "r"))
    judged = run("judge", str(out), COLUMNS="40")
    for process in (listed, recorded, judged):
        assert process.returncode == EXIT_PASS
        shown = process.stdout + process.stderr
        assert shown
        assert all(character.isprintable() or character == "\n" for character in shown)
    assert recorded.stdout == listed.stderr == judged.stderr == ""
    assert 80 < max(map(len, judged.stdout.splitlines())) <= WIDTH_OF_A_PIPE


def test_colours_can_be_forced_and_no_color_wins(out):
    forced = run("judge", str(out), FORCE_COLOR="1", TERM="xterm-256color")
    plain = run("judge", str(out), FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[32m" in forced.stdout
    # Bold is no colour; red and green are.
    assert not any(f"\x1b[{code}m" in plain.stdout for code in (31, 32, 33, "1;31", "1;32"))


def test_the_exit_code_of_the_process_is_the_verdict(out):
    spoil(out / "numpy-cpu", "lstm-L2", lambda arrays: arrays.pop("loss/loss"))
    process = run("judge", str(out))
    assert process.returncode == EXIT_FAIL
    assert "Traceback" not in process.stderr
    process = run("judge", str(out / "nowhere"))
    assert process.returncode == EXIT_BAD_INPUT
    assert_one_line(process.stderr)


def test_a_reader_that_leaves_early_gets_no_traceback(out):
    """As in ``python -m conformance cases | head -1``."""
    with started([sys.executable, "-m", "conformance", "cases"]) as process:
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == EXIT_PASS
    assert errors == ""


def test_quiet_says_nothing_but_results(out, tmp_path, capsys):
    capsys.readouterr()
    assert record(tmp_path / "r", "--quiet") == EXIT_PASS
    assert capsys.readouterr() == ("", "")
    assert judge(out, "--quiet") == EXIT_PASS
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "PASS: 1 implementation" in captured.out


def test_without_quiet_a_record_counts_what_it_did_on_standard_error(tmp_path, capsys):
    capsys.readouterr()
    record(tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[:2] == [f"numpy:equations {d}: 2 recorded" for d in ("float64", "float32")]
    assert lines[2].startswith(f"{tmp_path / 'numpy-cpu'}: 2 cases in ")


def test_the_judge_writes_the_table_as_a_picture(out, tmp_path):
    path = tmp_path / "table.svg"
    assert judge(out, "--quiet", "--svg", str(path)) == EXIT_PASS
    picture = path.read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "numpy:equations" in picture.replace("&#160;", " ")


BEFORE, AFTER = "# Title\n\ntext\n", "\n\nmore <!-- results --> text\n"
MARKED = f"{BEFORE}<!-- results -->\nold\nold\n<!-- /results -->{AFTER}"


def test_the_readme_changes_between_its_markers_only(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(MARKED, encoding="utf-8")
    replace_part(path, "results", "new ✓\n")
    wanted = f"{BEFORE}<!-- results -->\nnew ✓\n<!-- /results -->{AFTER}"
    assert path.read_text(encoding="utf-8") == wanted
    replace_part(path, "results", "new ✓\n")
    assert path.read_text(encoding="utf-8") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Title\n",
        "<!-- results -->\n",
        "<!-- /results -->",
        "<!-- /results --><!-- results -->\n",
    ],
    ids=["empty", "none", "no end", "no start", "the wrong way round"],
)
def test_a_readme_without_both_markers_is_refused_and_stays(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    before = fingerprint(tmp_path)
    with pytest.raises(BadInput, match="the markers"):
        replace_part(path, "results", "new\n")
    assert fingerprint(tmp_path) == before


def test_the_judge_puts_its_table_into_the_readme(out, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(MARKED, encoding="utf-8")
    assert judge(out, "--quiet", "--readme", str(path)) == EXIT_PASS
    text = path.read_text(encoding="utf-8")
    assert text.startswith(BEFORE) and text.endswith(AFTER)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len({row.count("|") for row in rows}) == 1
    assert re.match(r"\| numpy \| ✓ 4 of 4 \| \d+\.\d× \| \d+\.\d× \| – \| – \|", rows[2])
    assert "PASS: 1 implementation agrees with the oracle on 4 case results" in text
    assert "old" not in text


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["absent", "empty", "not UTF-8"])
def test_a_readme_that_cannot_be_used_is_one_line(content, out, tmp_path, capsys):
    path = tmp_path / "README.md"
    if content is not None:
        path.write_bytes(content)
    capsys.readouterr()
    assert judge(out, "--quiet", "--readme", str(path)) == EXIT_BAD_INPUT
    assert str(path) in assert_one_line(capsys.readouterr().err)
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    examples = capsys.readouterr().out.partition("examples:")[2]
    assert f"python -m conformance {command}" in examples


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """As argcomplete's hook in bash and zsh asks, which finds the mark in the file's beginning."""
    source = Path(sys.modules["conformance.__main__"].__file__)
    assert "PYTHON_ARGCOMPLETE_OK" in source.read_text(encoding="utf-8")[:1024]
    for line, wanted in (
        ("conformance rep", {"report"}),
        ("conformance judge results --read", {"--readme"}),
        ("conformance train --cell l", {"lstm"}),
    ):
        told = tmp_path / "told"
        asked = {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(told),
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
        }
        run = [sys.executable, "-m", "conformance"]
        subprocess.run(run, env=os.environ | asked, cwd=ROOT, check=False, timeout=60)
        assert {word.strip() for word in told.read_text().splitlines()} == wanted


def test_no_color_is_respected(tmp_path: Path) -> None:
    """FORCE_COLOR stands for a terminal; the verdict's sentence is green there."""
    assert record(tmp_path / "results", cases=("lstm-L2",)) == EXIT_PASS
    known = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    command = [sys.executable, "-m", "conformance", "judge", str(tmp_path / "results")]
    coloured = []
    for setting in ({}, {"NO_COLOR": "1"}):
        environment = known | {"FORCE_COLOR": "1"} | setting
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "PASS: 1 implementation" in done.stdout
        coloured.append("\x1b[1;32m" in done.stdout or "\x1b[32m" in done.stdout)
    assert coloured == [True, False]
