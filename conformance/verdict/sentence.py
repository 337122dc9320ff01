"""The verdict in one sentence: who agrees with the oracle, on how much, and on whose word."""

from typing import TYPE_CHECKING

from conformance.cases.table import DTYPES, suite_cases
from conformance.verdict.outcome import DECLARED, IN_PART, PASS, PASSED, many

if TYPE_CHECKING:
    from conformance.verdict.results import Verdict

SUITE_CASES = set(suite_cases())


def sentence(verdict: "Verdict") -> str:
    """Whoever answers a part of the ladder is counted apart, and so is what agrees of it."""
    implementations = {r.implementation for r in (*verdict.results, *verdict.training)}
    tops = {r.implementation: r.part for r in verdict.results if r.part}
    text = verdict.records[0].data["text"]["name"] if verdict.records else "none"
    outcome = verdict.outcome
    if outcome.word != PASSED:
        who = many(len(implementations), "implementation")
        why = "; ".join(outcome.why)
        return f"{verdict.kind}{outcome.word}: {why} (text: {text}, {who})."
    said: list[str] = []
    if whole := implementations - set(tops):
        who = many(len(whole), "implementation")
        passes = sum(r.status == PASS for r in verdict.results)
        said.append(f"{who} {agree(len(whole))} with the oracle on {many(passes, 'case result')}")
    for top in dict.fromkeys(tops.values()):
        own = sorted(name for name, found in tops.items() if found == top)
        passes = sum(r.status == IN_PART and r.part == top for r in verdict.results)
        who = f"{', '.join(own)} {agree(len(own))} up to the {top}"
        said.append(f"{who} on {many(passes, 'case result')}")
    declared = sum(r.status == DECLARED for r in verdict.results)
    said += [many(declared, "declared deviation")] if declared else []
    runs = sum(r.status == PASS for r in verdict.training)
    said += [f"and on {many(runs, 'training run')}"] if runs else []
    return f"{verdict.kind}PASS: {', '.join(said)}{extent(verdict)} (text: {text})."


def agree(number: int) -> str:
    return "agrees" if number == 1 else "agree"


def extent(verdict: "Verdict") -> str:
    """How much was asked, where it was not everything, and on whose word."""
    cases, dtypes = {r.case for r in verdict.results}, {r.dtype for r in verdict.results}
    said: list[str] = []
    if verdict.results and not cases >= SUITE_CASES:
        said.append(f"{len(cases & SUITE_CASES)} of {len(SUITE_CASES)} cases were asked")
    if len(dtypes) == 1 < len(DTYPES):
        said.append(f"in {min(dtypes)} alone")
    if verdict.asked.challenge:
        seed, count = verdict.asked.challenge
        said.append(f"challenge {seed}: {count} generated cases")
    said += [f"{name} is not in the matrix" for name in verdict.outside]
    return "".join(f"; {part}" for part in said)
