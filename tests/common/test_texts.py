"""Getting a text: the sample, a file, and The Time Machine."""

import hashlib
import os
import socket
import string
from pathlib import Path

import pytest

from common import texts
from common.corpus import Vocabulary, preprocess
from common.errors import BadInput
from common.texts import Text, cache_folder, read_text
from common.texts.download import Download


def test_the_sample_has_every_letter_several_times_and_enough_of_them_to_train_on() -> None:
    text = read_text()
    characters = preprocess(text.raw)
    assert text == read_text("sample")
    assert text.name == "sample"
    assert len(characters) >= 12_000
    assert len(Vocabulary.of(characters)) == 28
    assert min(characters.count(letter) for letter in string.ascii_lowercase) >= 5
    assert set(string.ascii_lowercase) <= set(characters[:10_000])


def test_the_sample_is_plain_ascii_in_short_lines() -> None:
    data = texts.SAMPLE.read_bytes()
    assert data.isascii()
    assert b"\r" not in data
    assert max(len(line) for line in data.split(b"\n")) <= 72
    assert hashlib.sha256(data).hexdigest() == texts.SAMPLE_SHA256


def test_no_paragraph_of_the_sample_is_there_twice() -> None:
    paragraphs = [p for p in texts.SAMPLE.read_text("ascii").split("\n\n") if len(p) > 40]
    assert len(paragraphs) > 30
    assert len(set(paragraphs)) == len(paragraphs)


def test_a_changed_sample_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "sample.txt"
    changed.write_bytes(texts.SAMPLE.read_bytes().replace(b"seven", b"eight", 1))
    monkeypatch.setattr(texts, "SAMPLE", changed)
    with pytest.raises(BadInput, match=f"expected .*{texts.SAMPLE_SHA256}.*, found sha256"):
        read_text("sample")


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_bytes("Caf\u00e9\r\n\u0434\u0430\r\n".encode())
    assert (
        read_text(file) == read_text(str(file)) == Text("book.txt", "Caf\u00e9\r\n\u0434\u0430\r\n")
    )


def test_a_file_called_sample_can_be_had_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert read_text("./sample") == read_text(Path("sample")) == Text("sample", "mine")


def test_a_text_that_is_not_utf8_is_refused_with_the_offset(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes(b"caf\xe9 au lait")
    with pytest.raises(BadInput, match="latin.txt: expected UTF-8, found byte 0xe9 at offset 3$"):
        read_text(file)


@pytest.mark.parametrize("raw, found", [("", "an empty file"), ("12, 3\n", "6 characters without")])
def test_a_text_without_a_letter_is_refused(tmp_path: Path, raw: str, found: str) -> None:
    file = tmp_path / "text.txt"
    file.write_text(raw)
    with pytest.raises(BadInput, match=f"at least one letter from A to Z, found {found}"):
        read_text(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gone.txt: expected a text file, found no such file"):
        read_text(tmp_path / "gone.txt")


def test_a_folder_a_pipe_and_an_impossible_name_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path, tmp_path / "pipe", ""):
        with pytest.raises(BadInput, match="expected a text file, found something else"):
            read_text(source)
    with pytest.raises(
        BadInput, match="expected a text file that can be read, found File name too"
    ):
        read_text("a" * 5000)


def test_the_time_machine_is_taken_from_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"The Time Machine, for once a short one"
    sha256 = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(texts, "TIME_MACHINE", Download("nowhere:", len(data), sha256))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "deep-rnn-reference" / "timemachine.txt"
    cached.parent.mkdir()
    cached.write_bytes(data)
    assert read_text("timemachine") == Text("timemachine", data.decode())


def test_without_a_network_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/text.txt"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(texts, "TIME_MACHINE", Download(address, 9, "f" * 64))
        with pytest.raises(BadInput) as error:
            read_text("timemachine")
    line = str(error.value)
    assert line.startswith(f"{address}: expected 9 bytes with sha256 {'f' * 64}")
    assert "--text PATH" in line
    assert "found" in line and "Connection refused" in line
    assert "\n" not in line


def test_the_cache_is_in_the_home_folder_unless_an_absolute_path_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path("/home/somebody/.cache/deep-rnn-reference")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/deep-rnn-reference")
