"""Files are whole or absent."""

import errno
import os
import stat

import pytest

from common.errors import BadInput
from common.storage.files import read_json, write_atomically, write_json, write_text


def test_a_written_file_holds_what_was_written_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    write_text(path, "σ(a)\n")
    assert path.read_bytes() == "σ(a)\n".encode()
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_written_file_may_be_read_by_everyone(tmp_path):
    write_text(tmp_path / "file.txt", "shared")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_a_writer_that_raises_leaves_the_old_file_and_no_temporary(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail_half_way(temporary):
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail_half_way)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path, seen = tmp_path / "file.txt", []
    path.write_text("old")

    def write(temporary):
        temporary.write_text("new")
        seen.append(path.read_text())

    write_atomically(path, write)
    assert (seen, path.read_text()) == (["old"], "new")


def test_a_move_that_fails_leaves_no_temporary(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_text(tmp_path / "taken", "text")
    assert os.listdir(tmp_path) == ["taken"]


def test_json_comes_back_as_it_was_written(tmp_path):
    value = {"name": "H̃", "list": [1, 2.5, None, True], "nested": {"x": -1e-300}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_with_a_number_that_json_lacks_is_not_written(tmp_path, number):
    path = tmp_path / "value.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"new": number})
    assert read_json(path) == {"old": 1}


NOT_JSON = {
    "empty": b"",
    "truncated": b'{"a": 1',
    "text": b"perplexity 1.05",
    "not UTF-8": b'{"a": "\xff"}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "nested too deeply": b"[" * 100_000,
    "a number of 5000 digits": b"1" * 5000,
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_json_is_refused_in_one_line_that_names_the_file(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_json(path)
    assert caught.value.where == str(path)
    assert str(caught.value).startswith(f"{path}: expected a JSON file, found ")
    assert len(str(caught.value).splitlines()) == 1


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"absent\.json: expected a JSON file, found no such file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="expected a JSON file"):
        read_json(tmp_path)


def test_an_error_is_one_line_whatever_it_is_about():
    error = BadInput("file\n\x1b[31m", "layer1.W_xh\r", "shape (2, 3)", "a\x00b\u2028c")
    assert str(error).isprintable()
    assert "\\n\\x1b[31m" in str(error) and "W_xh\\r" in str(error)
