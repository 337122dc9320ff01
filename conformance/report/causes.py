"""Failing and deviating cases by what causes them: one fault is one entry, whatever fails by it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from conformance.judge.reasons import NUMBERS_AGREE
from conformance.verdict.outcome import DECLARED, FAIL, WRONG

Result = dict[str, Any]
"""A case result of a verdict.json."""

UNEXPLAINED = "no known convention explains it"
NOT_ALL = "no known convention explains all of it"


@dataclass(frozen=True)
class Entry:
    """What one implementation did for one reason.

    cause: in words     first: the result that is shown in full     others: those beside it
    """

    cause: str
    first: Result
    others: list[Result]

    @property
    def results(self) -> list[Result]:
        return [self.first, *self.others]

    @property
    def extent(self) -> str:
        """In which dtypes, and in how many cases."""
        dtypes = " and ".join(dict.fromkeys(result["dtype"] for result in self.results))
        cases = {result["case"] for result in self.results}
        count = f"{len(cases)} cases" if len(cases) > 1 else self.first["case"]
        return f"{dtypes}, {count}"


def entries(verdict: dict[str, Any]) -> list[Entry]:
    """The causes of everything that failed, and then of what deviates as declared; of one
    implementation, those of most cases first."""
    told: dict[tuple[str, str, str], list[Result]] = {}
    for result in verdict["results"]:
        if result["status"] in (*WRONG, DECLARED):
            who = result["implementation"], result["device"], result["status"]
            told.setdefault(who, []).append(result)
    order = sorted(told.items(), key=lambda item: item[0][2] == DECLARED)
    return [entry for _, results in order for entry in by_cause(results)]


def by_cause(results: list[Result]) -> list[Entry]:
    """The causes of what one implementation did.

    What nothing explains is one entry, with what was not searched: the smaller cases' causes do not
    explain it. A convention that explains some failures and would show in one of these, but does
    not explain it, only looks like the cause where it does: all of them are one entry.
    """
    found = explained([result for result in results if result["suspects"]])
    others: dict[str, list[Result]] = {}
    left = [result for result in results if not result["suspects"]]
    unexplained = any(result["searched"] for result in left)
    # What was searched first: it is shown in full.
    for result in sorted(left, key=lambda result: not result["searched"]):
        others.setdefault(said(result, unexplained), []).append(result)
    for cause, same in others.items():
        refuted = {name for result in same for name in result.get("refuted", [])}
        parts = [entry for entry in found if entry.cause in refuted]
        found = [entry for entry in found if entry.cause not in refuted]
        alone = [Entry("", result, []) for result in same] if not cause else []
        found += alone or [together(cause, same, parts)]
    return found


def explained(left: list[Result]) -> list[Entry]:
    """A failure may be explained by several conventions alike. The one that explains most failures
    is taken for the cause of all that it explains, then the next for those that are left."""
    found: list[Entry] = []
    while left:
        counts = Counter(suspect for result in left for suspect in result["suspects"])
        cause = counts.most_common(1)[0][0]
        same = [result for result in left if cause in result["suspects"]]
        left = [result for result in left if cause not in result["suspects"]]
        found.append(Entry(cause, same[0], same[1:]))
    return found


def together(cause: str, same: list[Result], parts: list[Entry]) -> Entry:
    """What has one cause. parts: what is explained by another convention, though only in part"""
    more = [result for entry in parts for result in entry.results]
    cause = NOT_ALL if more else cause
    count = len(same) + len(more)
    cause += "".join(f"; {len(part.results)} of {count} by: {part.cause}" for part in parts)
    return Entry(cause, same[0], same[1:] + more)


def said(result: Result, unexplained: bool) -> str:
    """What is said of a result without suspects. One that was not searched was tried with what
    explains smaller cases, so its cause is another, or more than one; with one that was searched in
    vain (unexplained), nobody knows of either."""
    if result["status"] != FAIL or result["reason"]:
        return result["reason"]
    known = result["why"] == NUMBERS_AGREE or not unexplained
    return result["why"] if known else UNEXPLAINED
