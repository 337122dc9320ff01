"""Files that are written whole or not at all, and folders in which nothing leads elsewhere.

How files are read is in common/storage/reading.py, who may write into a folder in locks.py there.
"""

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.reading import kind_of
from common.storage.reading import read_json as read_json  # beside write_json


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it into place.

    A reader sees the old file or the new one, never half of one, also when the process is killed,
    the disk is full (the ``OSError`` is passed on, and what was at ``path`` stays) or the machine
    loses its power: file and folder are on the disk when this returns.

    Raises BadInput if a link, a device or a pipe lies at ``path``.
    """
    if (mode := _mode(path)) is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadInput(path, "", "a file, or none yet", kind_of(mode))
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; these are meant to be shared
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:  # a full disk does not say which file was being written
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically. Half a surrogate, out of JSON, is written as \\udxxx."""
    data = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, because JSON has neither."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, which is on the disk when this returns."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(path, flags, 0o644), "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it, on the disk; nothing happens if it is there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def move(old: Path, new: Path) -> None:
    """Rename a folder, on the disk."""
    old.rename(new)
    sync_folder(new.parent)


def replace_folder(new: Path, path: Path, old: Path) -> None:
    """Put the folder ``new`` in the place of ``path``, which is kept as ``old`` until it is there.
    If that fails, what was at ``path`` is there again."""
    remove_folder(old)
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    try:
        sync_folder(path.parent)
    finally:
        remove_folder(old)


def remove_folder(path: Path) -> None:
    """Remove a folder and all that is in it, following no link; it may be absent."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def sync_folder(path: Path) -> None:
    """Have a folder's entries on the disk: a file's own fsync does not do it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_inside(*paths: Path) -> None:
    """BadInput unless each is absent, a file, or a folder of nothing but files and folders.

    A results folder may come from anybody. A link in it could lead a command to read, overwrite or
    delete what lies elsewhere; a pipe or a device could keep it waiting for ever.
    """
    for path in paths:
        for found, mode in _below(path):
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise BadInput(found, "", "a file or a folder", kind_of(mode, found))


def check_folder(path: Path, what: str = "a folder") -> None:
    """The same of all that lies in a folder that somebody named. It may itself be a link: then that
    is what was asked for."""
    if not path.is_dir():
        found = "something else" if path.exists() else "no such folder"
        raise BadInput(path, "", what, found)
    check_inside(*sorted(path.iterdir()))


def _below(path: Path) -> Iterator[tuple[Path, int]]:
    mode = _mode(path)
    if mode is None:
        return
    yield path, mode
    if stat.S_ISDIR(mode):
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            yield from _below(Path(entry.path))


def _mode(path: Path) -> int | None:
    """The type and rights of what lies there, of a link itself; None if nothing does."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a zero byte
        raise BadInput(path, "", "a name for a file", error) from None
