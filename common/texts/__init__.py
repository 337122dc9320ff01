"""The texts that models are trained on, as they come, before any preprocessing."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadInput
from common.storage.reading import check_size
from common.texts.download import Download, fetch

SAMPLE = Path(__file__).with_name("sample.txt")
SAMPLE_SHA256 = "1e3868e7f8f82aa1608f0251a8c66f090c838d3cbaa7d833d9988045744ce17b"

# D2L 0.17's DATA_HUB["time_machine"], where it is pinned by its SHA-1,
# 090b5e7e70c295757f55df93cb0a180b9691891a.
TIME_MACHINE = Download(
    address="http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
    size=178_979,
    sha256="8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
)


LARGEST_TEXT = 64 * 2**20
"""Bytes; all of Shakespeare has 5.5 MB. A text is held several times while it is taken apart."""


@dataclass(frozen=True)
class Text:
    """A text and what to call it in reports: a file's name, never the folder it is in."""

    name: str
    raw: str


def read_text(source: str | Path | None = None) -> Text:
    """Get a text.

    source: None or "sample": the text that comes with the project
            "timemachine":    The Time Machine as D2L serves it, downloaded once and then cached
            anything else:    the path of a UTF-8 file (./sample is a file of that name)

    Raises BadInput if the text cannot be had, is not what its hash says, is not UTF-8, or has no
    letter in it.
    """
    if source is None or source == "sample":
        return Text("sample", _read_sample())
    if source == "timemachine":
        data = fetch(TIME_MACHINE, cache_folder() / "timemachine.txt")
        return Text("timemachine", data.decode("utf-8"))
    path = Path(source)
    return Text(path.name, _read_file(path))


def cache_folder() -> Path:
    """``deep-rnn-reference`` in ``$XDG_CACHE_HOME``, or in ``~/.cache`` where that is not set."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification has relative paths ignored.
        base = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    except RuntimeError as error:
        raise BadInput("XDG_CACHE_HOME", "", "the absolute path of a folder", error) from None
    return base / "deep-rnn-reference"


def _read_sample() -> str:
    raw = _read_file(SAMPLE)
    found = hashlib.sha256(raw.encode("utf-8")).hexdigest()
    if found != SAMPLE_SHA256:
        expected = f"the text that came with the project, sha256 {SAMPLE_SHA256} (restore the file)"
        raise BadInput(SAMPLE, "", expected, f"sha256 {found}")
    return raw


def _read_file(path: Path) -> str:
    try:
        if not path.is_file():  # asked first, because opening a pipe would wait for ever
            found = "something else" if path.exists() else "no such file"
            raise BadInput(path, "", "a text file", found)
        check_size(path, "a text file", path.stat().st_size, LARGEST_TEXT)
        raw = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BadInput(path, "", "a text file that can be read", error.strerror or error) from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise BadInput(path, "", "UTF-8", byte) from None
    if not re.search("[A-Za-z]", raw):
        found = f"{len(raw)} characters without one" if raw else "an empty file"
        raise BadInput(path, "", "at least one letter from A to Z", found)
    return raw
