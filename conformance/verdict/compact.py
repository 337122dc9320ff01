"""The verdict for a README: a row for each framework. The page has the whole table."""

import math
from collections.abc import Iterator

from conformance.cases.halves import HALVES
from conformance.cases.table import DTYPES
from conformance.verdict.escape import markdown as escaped
from conformance.verdict.outcome import DECLARED, IN_PART, NOT_COMPARED, PASS, UNSUPPORTED
from conformance.verdict.results import CaseResult, TrainingResult, Verdict
from conformance.verdict.terminal import summary

BESIDE = (IN_PART, UNSUPPORTED, DECLARED)
"""Neither passed nor failed; told apart."""


def markdown(verdict: Verdict) -> str:
    """Of every framework: how many case results passed, of those that it can answer; the worst
    error of these in noise floors; how many training runs agree. Where there is nothing but half
    precision, the worst of each tier, in which nothing is trained."""
    found = {result.dtype for result in verdict.results}
    tiers = [] if found & {*DTYPES} else [tier for tier in HALVES if tier in found]
    columns = tiers or ("float64", "float32")
    head = ["framework", "cases passed", *(f"worst in {name}" for name in columns)]
    head += [] if tiers else ["trained on the lattice", "in float32"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, results, runs in frameworks(verdict):
        gone = name in verdict.absent
        cells = [name, "✗ no record" if gone else counted([result.status for result in results])]
        cells += [worst([r for r in results if r.dtype == d]) for d in columns]
        for lattice in () if tiers else (True, False):
            cells.append(counted([r.status for r in runs if (r.numerics == "lattice") == lattice]))
        lines.append(f"| {' | '.join(map(escaped, cells))} |")
    notes = [verdict.sentence(), *([] if tiers else summary(verdict)[:1])]
    lines += ["", *(f"{escaped(note)}  " for note in notes)]
    return "".join(f"{line}\n" for line in lines)


def frameworks(verdict: Verdict) -> Iterator[tuple[str, list[CaseResult], list[TrainingResult]]]:
    """Every framework on every device, with its results and training runs."""

    def whose(result: CaseResult | TrainingResult) -> tuple[str, str]:
        return result.implementation.partition(":")[0], result.device

    keys = {whose(result) for result in (*verdict.results, *verdict.training)}
    for backend, device in sorted(keys | {(name, "cpu") for name in verdict.absent}):
        key = backend, device
        yield (
            backend if device == "cpu" else f"{backend} ({device})",
            [result for result in verdict.results if whose(result) == key],
            [result for result in verdict.training if whose(result) == key],
        )


def counted(statuses: list[str]) -> str:
    """How many passed, of those that can be asked, and what else there is."""
    asked = [status for status in statuses if status not in BESIDE]
    passed = sum(status == PASS for status in asked)
    beside = [f"{n} {status}" for status in BESIDE if (n := statuses.count(status))]
    if not asked:
        return ", ".join(beside) or "–"
    sign = "✓" if passed == len(asked) else "?" if set(asked) <= {PASS, NOT_COMPARED} else "✗"
    return ", ".join([f"{sign} {passed} of {len(asked)}", *beside])


def worst(results: list[CaseResult]) -> str:
    """The largest error of all that passed, be it in part, in noise floors."""
    ratios = [
        comparison.ratio
        for result in results
        if result.status in (PASS, IN_PART)
        for comparison in result.comparisons
        if comparison.bound > 0 and not math.isnan(comparison.ratio)
    ]
    return f"{max(ratios):.1f}×" if ratios else "–"
