"""What a version has answered, made small enough to be stored."""

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from conformance.records.ladder import array_path
from conformance.records.training import TrainingRun
from conformance.verdict.deviations import Deviation
from conformance.verdict.outcome import UNSUPPORTED, WRONG
from conformance.verdict.results import Verdict, number

THERE, GONE, UNKNOWN = "there", "not there", "cannot be told"
"""Of a deviation. What its reproduction does not get as far as to see is none of the first two."""

STALE = "stale: the framework no longer deviates here"
"""What a reproduction says that does not find its fault (tests/deviations/reproduction.py)."""

MOST_WRONG = 10
"""Wrong results of a row that are named; the others are counted."""

DIGITS = 12
"""Of a digest: enough to tell the ones of an atlas apart."""


def computed(verdict: Verdict) -> list[dict[str, Any]]:
    """A row for each implementation and dtype.

    statuses: how many cases have which     wrong: what is wrong, and why
    worst:    the largest multiple of the noise floor; null if there is none
    digest:   of all bits of all answers: two versions with the same one computed the same
    """
    made: list[dict[str, Any]] = []
    for row in verdict.rows():
        results = [result for result in verdict.results if result.row == row]
        statuses = [result.status for result in results]
        wrong = [
            f"{result.case}: {result.status}{': ' * bool(result.reason)}{result.reason[:120]}"
            for result in results
            if result.status in WRONG
        ]
        ratios = verdict.ratios(row)
        made.append(
            {
                "implementation": row[0],
                "dtype": row[2],
                "statuses": {name: statuses.count(name) for name in sorted(set(statuses))},
                "wrong": wrong[:MOST_WRONG],
                "worst": number(float(ratios.max())) if len(ratios) else None,
                "digest": bits(verdict, row),
            }
        )
    return made


def bits(verdict: Verdict, row: tuple[str, str, str]) -> str:
    """The digest of every answer of a row, in the order of their names."""
    (record,) = verdict.records
    implementation, _, dtype = row
    found = hashlib.sha256()
    for path in sorted(
        array_path(implementation.partition(":")[2], dtype, case) for case in record.data["cases"]
    ):
        if (record.folder / path).exists():
            found.update(str(path).encode() + (record.folder / path).read_bytes())
    return found.hexdigest()[:DIGITS]


def trained(verdict: Verdict, runs: list[TrainingRun]) -> list[dict[str, Any]]:
    """A row for each run on the lattice: so many of its epochs have the witness' digest, and which
    digest the last one has."""
    last = {(run.implementation, run.title): run.digests[-1:] for run in runs}
    return [
        {
            "implementation": result.implementation,
            "witness": result.title,
            "status": result.status,
            "agreed": result.agreed,
            "epochs": result.epochs,
            "digest": "".join(last.get((result.implementation, result.title), []))[:DIGITS],
        }
        for result in verdict.training
        if result.status != UNSUPPORTED
    ]


def told_by(report: Path, deviations: list[Deviation]) -> dict[str, dict[str, str]]:
    """What pytest's report of the reproductions says of their deviations. One that needs a GPU
    reads what was measured on one, which says nothing of this version."""
    said_by: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        test = case.get("name", "").partition("[")[0]  # a test may be run with several parameters
        said_by.setdefault(test, []).extend(part.get("message", "") for part in case)
    found: dict[str, dict[str, str]] = {}
    for deviation in deviations:
        test = deviation.fields["evidence"].partition("::")[2]
        said = next(iter(said_by.get(test, ["was not tried"])), "")
        status = UNKNOWN if said else THERE
        if deviation.needs_a_gpu:
            status, said = UNKNOWN, "needs a GPU"
        elif STALE in said:
            status, said = GONE, ""
        found[deviation.id] = {"status": status, "why": nowhere(said)}
    return found


def nowhere(said: str) -> str:
    """What is said, in a short line, without addresses and paths of one machine."""
    return re.sub(r"\S*(://|/)\S*", "…", " ".join(said.split()))[:200]
