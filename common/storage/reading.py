"""Reading files that somebody else may have made: nothing in them is believed before it is checked.

A file is opened only if it is one: no link, pipe or device. Its size has a limit, and so have the
depth and the numbers of JSON, before anything is allocated for them.
"""

import json
import os
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

from common.errors import BadInput

LARGEST_JSON = 64 * 2**20
"""Bytes. A verdict over everything has 3 MiB, a run of 500 epochs over a long book 20 MiB."""

DEEPEST = 40
"""Objects and lists within each other. The suite's own files have 8."""

LONGEST_INTEGER = 20
"""Characters of a whole number, which is enough for 64 bits."""


def read_bytes(path: Path, what: str, limit: int, follow: bool = False) -> bytes:
    """All bytes of a file; BadInput, which says that ``what`` was expected, if there is none, if it
    is no file, or if it has more than ``limit`` bytes.

    follow: whether ``path`` may be a link, because a user has named it and no other file has
    """
    handle = _open(path, what, follow)
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(path, "", what, kind_of(found.st_mode))
        check_size(path, what, found.st_size, limit)
        try:
            return file.read(limit + 1)
        except OSError as error:
            raise BadInput(path, "", what, error.strerror or error) from None


def check_file(path: Path, what: str, limit: int, follow: bool = False) -> None:
    """The same checks for a library that opens the file itself."""
    handle = _open(path, what, follow)
    try:
        found = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(path, "", what, kind_of(found.st_mode))
    check_size(path, what, found.st_size, limit)


def check_size(path: object, what: str, size: int, limit: int) -> None:
    """BadInput if there are more bytes than may be read into memory."""
    if size > limit:
        raise BadInput(path, "", f"{what} of at most {limit:,} bytes", f"{size:,}")


def _open(path: Path, what: str, follow: bool) -> int:
    """A handle of what lies there. A pipe is not waited for, and a link is not followed."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
        if not stat.S_ISREG(mode):  # to open a device may already do something
            raise BadInput(path, "", what, kind_of(mode, path))
        return os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(path, "", what, "no such file") from None
    except (OSError, ValueError) as error:  # the latter: a name with a zero byte
        raise BadInput(path, "", what, getattr(error, "strerror", None) or error) from None


def kind_of(mode: int, path: Path | None = None) -> str:
    """What lies there, in words."""
    if stat.S_ISLNK(mode):
        return "a link" + (f" to {os.readlink(path)}" if path else "") + ", which is not followed"
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def read_text(path: Path, what: str, limit: int, follow: bool = False) -> str:
    """A file as UTF-8; BadInput if it is none."""
    try:
        return read_bytes(path, what, limit, follow).decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}, not UTF-8"
        raise BadInput(path, "", what, byte) from None


def read_json(path: Path, follow: bool = False) -> Any:
    """Read a JSON file; BadInput if it is absent, no file, too large, not UTF-8 or not JSON."""
    return parse_json(read_text(path, "a JSON file", LARGEST_JSON, follow), path)


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """The tables of a TOML text, with the same limits."""
    try:
        tables = tomllib.loads(text)
        check_depth(tables)
    except (ValueError, RecursionError) as error:
        reason = "nesting beyond all bounds" if isinstance(error, RecursionError) else error
        raise BadInput(where, "", "a TOML file", reason) from None
    return tables


def parse_json(text: str, where: object, field: str = "", what: str = "a JSON file") -> Any:
    """The value of a JSON text, with numbers that a computer holds and names that stand once.

    Python's json alone reads NaN and Infinity, makes 1e999 infinite, takes minutes for a number of
    a million digits, and keeps the last of two values of one name.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
        check_depth(value)
        return value
    except (ValueError, RecursionError) as error:
        reason = "nesting beyond all bounds" if isinstance(error, RecursionError) else error
        raise BadInput(where, field, what, reason) from None


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value out of JSON is an object, whose values may be anything."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value out of JSON is a list, of anything."""
    return isinstance(value, list)


def check_depth(value: Any, deepest: int = DEEPEST) -> None:
    """ValueError if lists and objects lie too deep in each other for whatever goes through them."""
    level = [value]
    for _ in range(deepest):
        inside = [inner for outer in level for inner in _inside(outer)]
        level = [inner for inner in inside if is_object(inner) or is_list(inner)]
        if not level:
            return
    raise ValueError(f"more than {deepest} lists or objects in each other")


def _inside(value: Any) -> Iterable[Any]:
    """What a list or an object holds."""
    return value.values() if is_object(value) else value if is_list(value) else ()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant}, which JSON does not have")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), -float("inf")):
        raise ValueError(f"{digits[:20]}, which no float64 holds")
    return number


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise ValueError(f"a whole number of {len(digits)} characters")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:40]!r} twice in one object")
    return found
