"""The atlas as data: docs/results/versions/<backend>.json, and since when a deviation is there.

A file is a list of versions, each of them

    asked, status, why     what was named; ANSWERED, or NOT_INSTALLED with the reason
    made                   suite, date, Python, the kind of processor, and the cases
    packages               what was really installed
    ladder, witnesses      rows (answers.py), or the trouble that left none
    deviations             by id, the status and why
"""

import re
from itertools import groupby
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.files import read_json, write_json
from common.storage.shape import check_shape
from conformance.verdict.deviations import Deviation
from conformance.versions.answers import GONE, THERE
from conformance.versions.wanted import packages

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "versions"
ANSWERED, NOT_INSTALLED = "answered", "not installed"

MADE = {"suite": str, "date": str, "python": str, "processor": str, "cases": [str]}
ENTRY = {"asked": str, "status": str, "why": str, "made": MADE, "packages": dict}
ENTRY |= {"ladder": dict, "witnesses": dict, "deviations": dict}


def load_atlas(backend: str, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The versions of a backend that are stored; none if there is no file."""
    path = folder / f"{backend}.json"
    if not path.exists():
        return []
    found = read_json(path)
    check_shape(found, [ENTRY], path, exactly=True)
    return found


def store(backend: str, entry: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write an entry, in the place of an older one of the same name. What it does not answer, and
    the older one did, stays: with --only, less is asked."""
    known = {e["asked"]: e for e in load_atlas(backend, folder)}
    known[entry["asked"]] = with_older(entry, known.get(entry["asked"]))
    entries = sorted(known.values(), key=lambda e: place(e["asked"]))
    write_json(folder / f"{backend}.json", entries)


def with_older(entry: dict[str, Any], older: dict[str, Any] | None) -> dict[str, Any]:
    """An entry with those parts of an older one that it has no answer to, and the cases that were
    asked then."""
    if older is None or not entry["packages"]:
        return entry
    kept = {p: older[p] for p in ("ladder", "witnesses", "deviations") if not entry[p]}
    if kept.get("ladder"):
        kept["made"] = entry["made"] | {"cases": older["made"]["cases"]}
    return entry | kept


def place(version: str) -> list[tuple[int, str]]:
    """Where a version stands among others: 1.9rc1, 1.9, 1.9.post1, 1.9.1, 1.10."""
    early = {"a": -2, "b": -2, "rc": -2, "dev": -2}
    parts = re.findall(r"\d+|[a-z]+", version)
    found = [(int(p), "") if p.isdecimal() else (early.get(p, -1), p) for p in parts]
    return [*found, (-1, "")]


def answers(deviation: Deviation, entries: list[dict[str, Any]]) -> dict[str, set[str]]:
    """By version of the package that an entry's ``versions`` speaks of, whether the deviation is
    there; what could not be told is left out."""
    package = package_of(deviation)
    found: dict[str, set[str]] = {}
    for entry in entries:
        status = entry["deviations"].get(deviation.id, {}).get("status")
        if status in (THERE, GONE) and package in entry["packages"]:
            found.setdefault(entry["packages"][package], set()).add(status)
    return dict(sorted(found.items(), key=lambda item: place(item[0])))


def package_of(deviation: Deviation) -> str:
    """``Keras 3.12.4 to 3.15.1`` speaks of keras, ``2.17.1`` of the framework itself."""
    name = deviation.fields["versions"].split()[0].lower()
    return name if name.isalpha() else packages(deviation.fields["framework"])[0]


def measured(deviation: Deviation, entries: list[dict[str, Any]]) -> str:
    """What an entry's ``versions`` has to be: the spans of versions that were tried and have it,
    and the nearest on either side that have not.

    Raises BadInput if one version has it and has it not, so that it must be another package's."""
    found, words = answers(deviation, entries), []
    for version, statuses in found.items():
        if len(statuses) > 1:
            where = f"{deviation.id}: versions"
            raise BadInput(where, "", "one answer for a version", f"both at {version}")
    spans = [
        (status, [version for version, _ in group])
        for status, group in groupby(found.items(), key=lambda item: min(item[1]))
    ]
    without: list[str] = []
    for number, (status, versions) in enumerate(spans):
        if status == THERE:
            words.append(" to ".join(dict.fromkeys([versions[0], versions[-1]])))
        else:
            near = [versions[-1]] * (number + 1 < len(spans)) + [versions[0]] * (number > 0)
            without += dict.fromkeys(near)
    name = deviation.fields["versions"].split()[0]
    title = f"{name} " if name.isalpha() else ""
    return title + ", ".join([" and ".join(words), *(f"not {v}" for v in without)])
