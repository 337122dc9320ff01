"""SHA-256 of files, lists of them as ``sha256sum`` writes and checks them, and of JSON objects."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.files import write_text

NAME = "SHA256SUMS"
"""The list of a folder, in the folder: ``sha256sum -c SHA256SUMS`` there checks it."""


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes; BadInput if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(path, "", "a file that can be read", error.strerror) from None


def sums_of(paths: Iterable[Path], top: Path) -> dict[str, str]:
    """The hashes of files by their names from ``top`` on, in the order of these names."""
    paths = sorted(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing does not hold the interpreter
        hashes = list(pool.map(sha256_of, paths))
    return {p.relative_to(top).as_posix(): h for p, h in zip(paths, hashes, strict=True)}


def lines(sums: dict[str, str]) -> str:
    """The text of a list. A name that is no line by itself is written as ``sha256sum`` does it."""
    found: list[str] = []
    for name, digest in sums.items():
        safe = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        found.append(f"{chr(92) if safe != name else ''}{digest}  {safe}\n")
    return "".join(found)


def write_sums(folder: Path, pattern: str = "*.json") -> None:
    """Write the list of a folder's files."""
    write_text(folder / NAME, lines(sums_of(folder.glob(pattern), folder)))


def check_sums(folder: Path, again: str, pattern: str = "*.json") -> None:
    """BadInput, with the file at fault, unless a folder holds the files of its list, and no others.

    again: the command that writes the files and the list
    """
    path = folder / NAME
    try:
        pairs = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        listed = {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        raise BadInput(path, "", "a list of hashes and names", error) from None
    there = sums_of(folder.glob(pattern), folder)
    for name in {**listed, **there}:
        if there.get(name) != listed.get(name):
            expected = f"the file that {NAME} names ({again} writes both)"
            found = "no such file" if name not in there else "another file"
            raise BadInput(folder / name, "", expected, found)


def seal(value: dict[str, Any]) -> str:
    """The SHA-256 over all of a JSON object but its seal: what was damaged or edited has another.
    (Who edits on purpose can seal again; see docs/trust.md for signatures.)"""
    rest = {key: part for key, part in value.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The object with its seal."""
    return value | {"seal": seal(value)}


def check_seal(path: Path, value: dict[str, Any], what: str) -> None:
    """BadInput unless the object is as it was written. what: such as "a verdict" """
    if value["seal"] != seal(value):
        raise BadInput(path, "seal", f"{what} as it was written", "one that was changed")
