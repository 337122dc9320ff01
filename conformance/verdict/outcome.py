"""PASS, FAIL or INCOMPLETE: one rule, for the verdict at hand and for the one in a file.

The table, the page, the badge, the sentence and the exit code all come from ``decide``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from common.errors import EXIT_FAIL, EXIT_INCOMPLETE, EXIT_PASS

PASS, FAIL, DECLARED = "pass", "fail", "declared deviation"
IN_PART = "pass in part"
"""All that was asked agrees, of one that answers a part of the ladder. It is not a pass."""
UNSUPPORTED, CRASHED, NOT_RUN = "unsupported", "crashed", "not run"
STRADDLE, NOT_COMPARED = "straddle", "not compared"
WRONG = (FAIL, CRASHED, NOT_RUN)

PASSED, FAILED, INCOMPLETE = "PASS", "FAIL", "INCOMPLETE"
EXIT_CODES = {PASSED: EXIT_PASS, FAILED: EXIT_FAIL, INCOMPLETE: EXIT_INCOMPLETE}
SIGNS = {PASSED: "✓", FAILED: "✗", INCOMPLETE: "?"}
STYLES = {PASSED: "green", FAILED: "red", INCOMPLETE: "yellow"}


Row = tuple[str, str, str]
"""An implementation, a device and a dtype."""


@dataclass(frozen=True)
class Outcome:
    """word: one of the three     why: what keeps it from being a PASS, in a few words each"""

    word: str
    why: list[str]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.word]


def many(number: int, noun: str) -> str:
    """So many of them, in words."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def decide(
    results: Iterable[tuple[Row, str]],
    training: Iterable[str],
    absent: Iterable[str],
    stale: Iterable[str],
    claims: Iterable[str],
    open: Iterable[str],
) -> Outcome:
    """FAIL if anything is wrong, if nothing of a row was compared, or if nothing at all passed;
    INCOMPLETE if nothing is wrong and yet something was compared with nothing; else PASS.

    A row may hold declared deviations alone: each was compared, and is what the suite's own file
    says of it; or, of one that answers a part of the ladder, passes in part. They are counted apart
    and are no pass, and where there is no other the sentence begins with ``PARTIAL`` (``kind``).

    results:  of every case result, its row (implementation, device, dtype) and its status
    training: the statuses of the training runs
    absent, stale: backends that should be there, and deviations that deviate no more
    claims:   what a record or a run says of itself that cannot be so
    open:     what is there, or was begun, and has no answer that could be compared
    """
    results, training, open = list(results), list(training), list(open)
    rows: dict[Row, int] = {}
    for row, status in results:
        rows[row] = rows.get(row, 0) + (status in (PASS, IN_PART, DECLARED))
    failed = sum(status in WRONG for _, status in results)
    runs = sum(status in WRONG for status in training)
    why = [f"{many(failed, 'case result')} failed"] if failed else []
    why += [f"{many(runs, 'training run')} failed"] if runs else []
    why += [f"no record of {', '.join(absent)}"] if (absent := list(absent)) else []
    why += [f"stale deviation {name}" for name in stale]
    why += [f"{len(claims)} claims do not hold"] if (claims := list(claims)) else []
    if not why and not all(rows.values()):
        why = ["a row in which nothing was compared"]
    uncompared = training.count(NOT_COMPARED)
    were = "was" if uncompared == 1 else "were"
    what = f"{many(uncompared, 'training run')} {were} compared with nothing"
    left = [what] if uncompared else []
    left += open
    statuses = {*training, *(status for _, status in results)}
    if not (why or left) and not statuses & {PASS, IN_PART}:
        why = ["nothing passed"]
    if why:
        return Outcome(FAILED, why)
    return Outcome(INCOMPLETE if left else PASSED, left)


def kind(quick: bool, statuses: Iterable[str]) -> str:
    """What a sentence begins with that must not be taken for the whole main job's, or for the whole
    ladder's.

    statuses: of the case results and the training runs"""
    found = set(statuses)
    partial = IN_PART in found and PASS not in found
    return "QUICK " * quick + "PARTIAL " * partial


def outcome_of(verdict: dict[str, Any]) -> Outcome:
    """The same of a verdict.json."""
    return decide(
        (((r["implementation"], r["device"], r["dtype"]), r["status"]) for r in verdict["results"]),
        (r["status"] for r in verdict["training"]),
        verdict["absent"],
        verdict["stale deviations"],
        verdict["claims"],
        verdict["open"],
    )
