"""Records that cannot be judged: one line that names the file, exit code 2."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL
from common.weights import read_arrays, write_arrays
from tests.conformance.helpers import (
    CASES,
    arrays_file,
    assert_one_line,
    copy_backend,
    edit_record,
    judge,
    record,
    verdict_of,
)

pytestmark = pytest.mark.once

CASE = "lstm-L2"
LONG = "x" * 5000
ESCAPES = "\x1b[31mred\x1b[0m \x9b2J \r\b \u202eevil [bold]loud[/bold] [/] \ud800"


@pytest.fixture
def refused(out, capsys, tmp_path):
    """Judge; returns the line. No verdict is written."""

    def give(*options: str, folder: Path = out) -> str:
        capsys.readouterr()
        path = tmp_path / "verdict.json"
        assert judge(folder, "--quiet", "--json", str(path), *options) == EXIT_BAD_INPUT
        assert not path.exists()
        captured = capsys.readouterr()
        assert captured.out == ""
        return assert_one_line(captured.err)

    return give


def test_a_folder_that_is_not_there_is_refused(refused, tmp_path):
    assert "expected a folder of records, found no such folder" in refused(
        folder=tmp_path / "nowhere"
    )


def test_a_file_in_the_place_of_the_folder_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "expected a folder of records" in refused(folder=tmp_path / "file")


def test_a_folder_without_a_record_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "expected at least one record, found none" in refused(folder=tmp_path / "empty")
    (tmp_path / "empty" / "verdict.json").write_text("{}", encoding="utf-8")
    assert "expected at least one record, found none" in refused(folder=tmp_path / "empty")


@pytest.mark.parametrize(
    "lost", ["record.json", "given.safetensors", f"arrays/equations/float64/{CASE}.safetensors"]
)
def test_half_a_record_is_refused_by_the_file_that_it_lacks(lost, out, refused):
    (out / "numpy-cpu" / lost).unlink()
    line = refused()
    assert str(out / "numpy-cpu" / lost) in line
    assert "no such file" in line


def test_half_a_record_is_a_failure_where_another_is_whole(out):
    (copy_backend(out, "pytorch") / "record.json").unlink()
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert any("pytorch-cpu/record.json" in line for line in verdict["claims"])


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
@pytest.mark.parametrize("name", ["arrays", "given"])
def test_a_file_that_was_cut_short_is_refused(name, kept, out, refused):
    folder = out / "numpy-cpu"
    path = arrays_file(folder, CASE) if name == "arrays" else folder / "given.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: expected a whole safetensors file" in refused()


def test_the_arrays_of_another_case_are_refused(out, refused):
    folder = out / "numpy-cpu"
    shutil.copy(arrays_file(folder, CASES[1]), arrays_file(folder, CASES[0]))
    assert "metadata 'digest'" in refused()


def test_an_answer_to_other_numbers_is_refused(out, refused):
    """Both places where the digest stands agree, and yet it is not this suite's case."""
    other, path = "0" * 64, arrays_file(out / "numpy-cpu", CASE)
    write_arrays(path, read_arrays(path)[0], {"digest": other})
    edit_record(
        out / "numpy-cpu",
        lambda data: data["entries"]["equations"]["float64"][CASE].update(digest=other),
    )
    assert f"digest of {CASE}: expected" in refused()


def test_a_tensor_of_no_known_rung_is_refused(out, refused):
    path = arrays_file(out / "numpy-cpu", CASE)
    arrays, metadata = read_arrays(path)
    write_arrays(path, arrays | {"surprise/O": np.ones(2)}, metadata)
    assert "surprise/O" in refused()


def test_a_record_of_another_version_of_the_suite_is_refused(out, refused):
    edit_record(out / "numpy-cpu", lambda data: data.update(suite="0.0.9"))
    assert "suite: expected version 0.1.0, found version 0.0.9" in refused()


def test_records_of_different_texts_are_refused(out, refused, tmp_path):
    text = tmp_path / "other.txt"
    text.write_text("another text, and long enough, or so it seems. " * 100, encoding="utf-8")
    record(tmp_path / "other", "--quiet", "--text", str(text))
    shutil.copytree(tmp_path / "other" / "numpy-cpu", out / "pytorch-cpu")
    line = refused()
    assert "pytorch-cpu/record.json: text: expected" in line
    assert "as in numpy-cpu" in line


def test_a_record_of_another_text_than_the_one_named_is_refused(refused, tmp_path):
    text = tmp_path / "other.txt"
    text.write_text("another text, and long enough, or so it seems. " * 100, encoding="utf-8")
    assert "record.json: text: expected" in refused("--text", str(text))


def test_a_pattern_that_chooses_no_case_is_refused(refused):
    assert "--cases" in refused("--cases", "lstn-*")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"suite": 1}', "\x00", '{"suite": NaN}', "[" * 100_000]
)
def test_a_record_that_is_no_json_object_of_ours_is_refused(text, out, refused):
    (out / "numpy-cpu" / "record.json").write_text(text, encoding="utf-8")
    assert str(out / "numpy-cpu" / "record.json") in refused()


NAMES = ("suite", "device", "dtypes", "implementations", "text", "cases", "entries")
VALUES = (None, 3, [], ["a", 3], [[]], {}, {"equations": []}, "word")


@pytest.mark.parametrize(
    ("field", "value"),
    # Any name will do for a backend; a passport must fit it, which is no matter of its form.
    [
        *itertools.product(NAMES, VALUES),
        *itertools.product(("backend",), (None, [], "../numpy", "", "a b", "-x", "x" * 500)),
        ("passport", None),
        ("dtypes", ["float64", "float64"]),
        ("dtypes", ["float16"]),
        ("implementations", ["equations", "equations"]),
        ("implementations", ["../../../outside"]),
        ("cases", [CASE, CASE]),
        ("cases", ["../" + CASE]),
        ("device", "tpu"),
        ("weights", "none"),
        ("text", {"name": "sample"}),
        ("made", "yesterday"),
        ("seconds", True),
        ("seconds", -1),
        ("peak MiB", "3"),
        ("surprise", 1),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_refused(field, value, out, refused):
    edit_record(out / "numpy-cpu", lambda data: data.update({field: value}))
    assert str(out / "numpy-cpu") in refused()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"status": "pass"},
        {"status": "recorded"},
        {"status": "recorded", "digest": 5},
        {"status": "crashed"},
        {"status": "unsupported", "reason": None},
        {"status": "recorded", "digest": "0", "inapplicable": 3},
        {"status": "recorded", "digest": "0" * 64, "inapplicable": {"split": 3}},
        {"status": "crashed", "reason": "", "seconds": "long"},
        {"status": "crashed", "reason": "", "more": 1},
    ],
)
def test_an_entry_that_says_nothing_is_refused_by_its_case(entry, out, refused):
    def change(data: dict) -> None:
        data["entries"]["equations"]["float32"][CASE] = entry

    edit_record(out / "numpy-cpu", change)
    assert f"record.json: equations float32 {CASE}:" in refused()


def test_a_case_that_is_listed_and_has_no_entry_is_refused(out, refused):
    edit_record(out / "numpy-cpu", lambda d: d["entries"]["equations"]["float32"].pop(CASE))
    assert f"equations float32 {CASE}" in refused()


def test_an_unknown_case_in_a_record_is_refused(out, refused):
    def rename(data: dict) -> None:
        data["cases"] = ["lstm-L99"]
        for dtype, cases in data["entries"]["equations"].items():
            data["entries"]["equations"][dtype] = {"lstm-L99": cases[CASE]}

    edit_record(out / "numpy-cpu", rename)
    arrays = out / "numpy-cpu" / "arrays" / "equations"
    for dtype in ("float64", "float32"):
        (arrays / dtype / f"{CASE}.safetensors").rename(arrays / dtype / "lstm-L99.safetensors")
        (arrays / dtype / f"{CASES[1]}.safetensors").unlink()
    assert "lstm-L99" in refused()


HOSTILE = (ESCAPES, LONG, "two\nlines", "[link=http://x]y[/link]")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["backend", "implementations", "cases"])
def test_a_name_that_could_do_harm_is_no_name(field, hostile, out, refused):
    edit_record(
        out / "numpy-cpu", lambda d: d.update({field: hostile if field == "backend" else [hostile]})
    )
    assert f"record.json: {field}: expected" in refused()


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("status", ["crashed", "unsupported"])
def test_hostile_text_in_a_record_reaches_no_terminal(status, hostile, out, capsys, tmp_path):
    def change(data: dict) -> None:
        data["passport"]["version"] = hostile
        for entries in data["entries"]["equations"].values():
            for case in entries:
                entries[case] = {"status": status, "reason": hostile}
        data["backend"] = "mine"

    shutil.rmtree(out / "numpy-cpu" / "arrays")
    edit_record(out / "numpy-cpu", change)
    capsys.readouterr()
    verdict, svg, readme = (tmp_path / name for name in ("v.json", "v.svg", "README.md"))
    readme.write_text("<!-- results -->\n<!-- /results -->\n", encoding="utf-8")
    options = ["--json", str(verdict), "--svg", str(svg), "--readme", str(readme)]
    assert judge(out, *options) == EXIT_FAIL
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert all(character.isprintable() or character == "\n" for character in shown)
    ladder = captured.out.partition("Errors of all tensors")[0].splitlines()[1:-1]
    assert len(ladder) > 4
    assert len({len(line) for line in ladder}) == 1
    assert "[bold]" in shown or hostile != ESCAPES  # not taken for markup
    for path in (verdict, svg, readme):
        text = path.read_text(encoding="utf-8")
        assert all(character.isprintable() or character in "\n\t\xa0" for character in text)
    assert json.loads(verdict.read_text(encoding="utf-8"))["results"][0]["reason"] == hostile
