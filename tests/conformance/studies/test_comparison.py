"""``compare``: what is trained, by which Python, and what the tables, files and pictures say."""

import argparse
import json
import math
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput
from common.storage.files import write_json
from common.storage.sums import sealed
from conformance.progress import Progress
from conformance.studies import compare_runs
from conformance.studies.command import add_compare, run_compare
from conformance.studies.compare_runs import find_python, plan
from conformance.studies.compare_texts import parse_texts
from tests.conformance.helpers import assert_one_line, fingerprint

pytestmark = pytest.mark.once

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b>&\x1b[31m"
SMALL = ("--epochs", "2", "--hidden", "8", "--batch", "4", "--steps", "8", "--threads", "1")


def parse(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quiet", action="store_true")
    add_compare(parser)
    return parser.parse_args([*SMALL, *map(str, arguments)])


def compare(*arguments: object) -> int:
    """``python -m conformance compare``, in this process; returns the exit code."""
    try:
        return run_compare(parse(*arguments))
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT


def texts_of(picture: Path) -> list[str]:
    return [element.text for element in ElementTree.parse(picture).iter(f"{SVG}text")]


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def stand_in(path: Path, command: str) -> Path:
    """A Python that has every framework, as far as it says, and does this when it is to train."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\n{command}\n')
    path.chmod(0o755)
    return path


# --- cells and frameworks ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """A comparison of two cells; no test may write to it."""
    out = tmp_path_factory.mktemp("cells")
    files = ("--json", out / "found.json", "--plot", out / "found.svg")
    assert compare("--cells", "rnn", "lstm", "--quiet", "--out", out, *files) == EXIT_PASS
    return out


def runs_below(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.rglob("run.json"))


def test_every_cell_has_a_row_with_what_its_run_says(cells):
    rows = read(cells / "found.json")["rows"]
    lstm, rnn = (read(folder / "run.json") for folder in runs_below(cells))
    assert [(row["cell"], row["backend"]) for row in rows] == [("rnn", "numpy"), ("lstm", "numpy")]
    for row, made in zip(rows, (rnn, lstm), strict=True):
        assert row["status"] == "finished"
        assert row["prediction"] == made["prediction"]["text"]
        assert len(row["training"]) == len(row["held out"]) == 2
        assert row["epochs to target"] is None


def test_finished_runs_are_reused_and_shown_again(cells, capsys):
    before = fingerprint(cells)
    assert compare("--cells", "rnn", "lstm", "lstm", "--out", cells, "--target", "25") == EXIT_PASS
    assert fingerprint(cells) == before
    shown = capsys.readouterr()
    assert shown.err.count("finished before, reused") == 2
    rows = [line.split("│")[1:-1] for line in shown.out.splitlines() if "│ numpy" in line]
    assert [row[0].strip() for row in rows] == ["rnn", "lstm"]
    found = read(cells / "found.json")["rows"]
    assert [row[3].strip() for row in rows] == [f"{row['training'][-1]:.4g}" for row in found]
    assert all("not reached" not in cell for row in rows for cell in row)


@pytest.mark.parametrize(
    "change", [["--seed", "2"], ["--prefix", "a"], ["--held-out", "0.2"], ["--fresh"]], ids=str
)
def test_runs_with_other_settings_are_not_reused(cells, change):
    same, other = (
        plan(parse("--out", cells, *more), "rnn", "numpy", [], "") for more in ([], change)
    )
    progress = Progress(quiet=True)
    assert compare_runs.carry_out([same], {}, progress)[0]["status"] == "finished"
    # It is to be trained, so it wants a Python.
    with pytest.raises(BadInput, match="backend numpy"):
        compare_runs.carry_out([other], {"numpy": Path("/nowhere")}, progress)


def test_the_picture_has_a_panel_for_each_cell(cells):
    texts = texts_of(cells / "found.svg")
    assert {"rnn", "lstm", "numpy", "training", "held-out text"} <= set(texts)
    root = ElementTree.parse(cells / "found.svg").getroot()
    assert len(list(root.iter(f"{SVG}polyline"))) == 4


# --- texts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    """Two authors, one of them of two files and with a z; no test may write to it."""
    out = tmp_path_factory.mktemp("texts")
    (out / "a.txt").write_text("a cab fed a bad bee " * 10)
    (out / "b.txt").write_text("a zed faced a maze z " * 10)
    (out / "c.txt").write_text("bad cafe decaf " * 60)  # long enough to be read in two rows
    files = ("--json", out / "found.json", "--plot", out / "found.svg")
    assert compare(*asked(out), *files, "--quiet") == EXIT_PASS
    return out


def asked(out: Path) -> tuple[object, ...]:
    both = f"{HOSTILE}={out / 'a.txt'},{out / 'b.txt'}"
    which = ("--texts", both, out / "c.txt", "--held-out", "0.25", "--prefix", "a")
    return (*which, "--out", out / "results")


def run_on(out: Path, name: str) -> dict:
    [folder] = (out / "results" / "compare" / name).rglob("run.json")
    return read(folder)


def test_the_diagonal_is_what_the_runs_themselves_found(texts):
    [matrix] = read(texts / "found.json")["matrices"]
    assert matrix["texts"] == [HOSTILE, "c.txt"]
    assert [row["trained_on"] for row in matrix["rows"]] == [HOSTILE, "c.txt", "all together"]
    assert [row["characters"] for row in matrix["rows"]][2] == sum(
        row["characters"] for row in matrix["rows"][:2]
    )
    for place, name in enumerate(("a.txt+b.txt", "c.txt")):
        made = run_on(texts, name)
        found = matrix["rows"][place]["scores"][place]["perplexity"]
        expected = mean_perplexity(made["epochs"][-1]["held out"], made["held out"])
        assert found == pytest.approx(expected, rel=1e-6)  # float32, summed by one BLAS or another


def mean_perplexity(losses: dict[str, float], lengths: dict[str, int]) -> float:
    total = sum(losses[name] * lengths[name] for name in losses)
    return math.exp(total / sum(lengths.values()))


def test_every_model_is_evaluated_on_what_is_held_out_of_every_text(texts):
    [matrix] = read(texts / "found.json")["matrices"]
    alone, other, together = (row["scores"] for row in matrix["rows"])
    assert [score["characters"] for score in alone] == [50 + 52, 225]
    assert len({score["perplexity"] for row in (alone, other, together) for score in row}) == 6


def test_characters_that_a_model_does_not_know_are_counted_and_reported(texts, capsys):
    [matrix] = read(texts / "found.json")["matrices"]
    unknown = [[score["unknown"] for score in row["scores"]] for row in matrix["rows"]]
    left_out = ("a zed faced a maze z " * 10).strip()[-52:]
    count = left_out.count("z") + left_out.count("m")
    assert unknown == [[0, 0], [count, 0], [0, 0]]
    assert count > 5
    assert compare(*asked(texts)) == EXIT_PASS
    shown = capsys.readouterr()
    assert f"trained on c.txt, evaluated on <b>&\\x1b[31m: {count} of 102 characters" in shown.out
    assert shown.err.count("reused") == 3


def test_a_hostile_name_is_shown_as_text_everywhere(texts, capsys):
    shown = "<b>&\\x1b[31m"
    assert texts_of(texts / "found.svg").count(shown) == 2
    compare(*asked(texts), "--quiet")
    printed = capsys.readouterr().out
    assert shown in printed
    assert "\x1b" not in printed


def test_a_text_is_a_file_or_a_name_with_files():
    assert parse_texts(["books/a.txt", "wells=b.txt,x/c.txt"]) == {
        "a.txt": ["books/a.txt"],
        "wells": ["b.txt", "x/c.txt"],
    }


# --- interpreters -----------------------------------------------------------------------------


def test_a_python_that_was_named_and_has_no_framework_is_one_line(tmp_path, capsys):
    out = tmp_path / "results"
    asked_for = ("--backends", "mxnet", "--python", "mxnet=/nowhere/python", "--out", out)
    assert compare(*asked_for) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert "tox -e mxnet --notest" in line
    assert "/nowhere/python" in line
    assert not out.exists()


def test_no_python_at_all_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare_runs, "_imports", lambda python, backend: False)
    assert compare("--backends", "tensorflow", "--out", tmp_path / "results") == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert line.startswith("backend tensorflow: expected a Python that has its framework")
    assert "--python tensorflow=PATH" in line


def test_the_python_of_tox_is_found_where_this_one_lacks_the_framework(tmp_path, monkeypatch):
    python = stand_in(tmp_path / ".tox" / "pytorch" / "bin" / "python", "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare_runs.sys, "executable", "/nowhere/python")
    assert find_python("pytorch") == python


def test_this_python_is_taken_if_it_has_the_framework():
    assert find_python("numpy") == Path(sys.executable)


# --- runs that do not finish ------------------------------------------------------------------


def compare_with(tmp_path: Path, command: str, *arguments: object) -> tuple[int, dict]:
    """Compare with a Python that does this instead of training; the exit code and the JSON."""
    python = stand_in(tmp_path / "python", command)
    found = tmp_path / "found.json"
    options = ("--python", f"numpy={python}", "--json", found, "--plot", tmp_path / "found.svg")
    return compare(*arguments, *options, "--out", tmp_path / "results"), read(found)


@pytest.mark.parametrize(
    ("command", "code", "status", "reason"),
    [
        ("echo 'it broke' >&2; exit 1", EXIT_FAIL, "crashed", "it broke"),
        ("echo 'not finite' >&2; exit 2", EXIT_BAD_INPUT, "stopped", "not finite"),
        ("kill -9 $$", EXIT_FAIL, "crashed", "the process was ended by SIGKILL (out of memory?)"),
    ],
)
def test_a_run_that_does_not_finish_is_a_row_that_says_so(
    command, code, status, reason, tmp_path, capsys
):
    found, data = compare_with(tmp_path, command, "--cells", "rnn")
    assert found == code
    [row] = data["rows"]
    assert (row["status"], row["reason"]) == (status, reason)
    assert f"{status}: {reason}" in capsys.readouterr().out
    ElementTree.parse(tmp_path / "found.svg")


def test_what_a_framework_cannot_express_is_a_row_and_no_failure(tmp_path, capsys):
    job = plan(parse("--out", tmp_path / "results"), "rnn", "numpy", [], "")
    made = {"status": "unsupported", "reason": "no such layer", "passport": {}, "epochs": []}
    made |= {"made": "2026-01-01T00:00:00+00:00", "seconds": 0.5}
    job.run.folder.mkdir(parents=True)
    write_json(job.run.folder / "run.json", sealed(job.run.settings() | made))
    code, data = compare_with(tmp_path, "exit 0", "--cells", "rnn")
    assert code == EXIT_PASS
    assert data["rows"][0]["status"] == "unsupported"
    assert "unsupported: no such layer" in capsys.readouterr().out


def test_a_matrix_says_which_model_there_is_none_of(tmp_path, capsys):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("time traveller " * 40)
    sources = ("--texts", tmp_path / "a.txt", tmp_path / "b.txt")
    code, data = compare_with(tmp_path, "echo 'it broke' >&2; exit 1", *sources)
    assert code == EXIT_FAIL
    assert [row["scores"] for row in data["matrices"][0]["rows"]] == [None] * 3
    assert "trained on all together: crashed: it broke" in capsys.readouterr().out
    assert texts_of(tmp_path / "found.svg").count("–") == 6


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--backends", "theano"], "--backend: expected one of"),
        (["--python", "theano=python"], "--python: expected BACKEND=PATH"),
        (["--python", "numpy"], "--python: expected BACKEND=PATH"),
        (["--target", "1"], "--target: expected a perplexity above 1"),
        (["--target", "nan"], "--target: expected a perplexity above 1"),
        (["--texts", "sample"], "--texts: expected at least two texts"),
        (["--texts", "sample", "=a.txt"], "--texts: expected a file, or name=file,file"),
        (["--texts", "sample", "a=sample,,"], "--texts: expected a file, or name=file,file"),
        (["--texts", "sample", "x/sample"], "--texts: expected another name"),
        (["--texts", "all together=sample", "a"], "--texts: expected another name"),
        (["--texts", "a=sample", "b=sample"], "text: sample: expected texts of different names"),
        (["--texts", "a", "b", "--held-out", "0"], "--held-out: expected a share above 0"),
        (["--held-out", "1.5"], "held out: expected a share"),
        (["--prefix", "7"], "--prefix: expected a character of sample"),
        (["--numerics", "mixed"], "--numerics: mixed: expected --device gpu"),
        (["--max-tokens", "30"], "sample: expected at least 41 characters"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_one_line(arguments, start, tmp_path, capsys):
    out = tmp_path / "results"
    assert compare(*arguments, "--out", out) == EXIT_BAD_INPUT
    assert assert_one_line(capsys.readouterr().err).startswith(start)
    assert not out.exists()
