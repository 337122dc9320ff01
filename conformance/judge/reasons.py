"""Why cases failed: the diagnosis of every failure, and the vote where several answered.

Diagnosing takes seconds, so of every implementation only the smallest failures are searched; the
others are tried with what was found there, which takes one evaluation.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.parameters import Arrays
from conformance.closeness.compare import FLOAT64_SCALE, Bound, Comparison
from conformance.closeness.elements import agreement_in_regime
from conformance.closeness.rungs import RUNGS, answered_by, rung_of
from conformance.diagnose.explain import Evidence, Suspects, explain, said, sentence
from conformance.diagnose.location import locate
from conformance.oracle.conventions import Conventions
from conformance.oracle.evaluation import Begun, begin, evaluate
from conformance.oracle.truth import Answer
from conformance.progress import Progress
from conformance.records.ladder import Record
from conformance.verdict.outcome import FAIL
from conformance.verdict.results import CaseResult

SEARCHED = 3
"""How many failures of one implementation are searched for an explanation."""

NUMBERS_AGREE = "every number agrees with the oracle, so that no wrong convention explains it"
"""Of what fails by a dtype, by a tensor that nobody asked for or by an invariance: a convention
that does not show in the case would explain it as well."""

SMALL, REMEMBERED = 2**18, 1024
"""Of a case whose answers have no more bytes, what so many wrong conventions make of it is held for
the next failure of the case; and so are the answers of up to so many failures for the vote."""


@dataclass(frozen=True)
class Failure:
    """A failed case, with what is needed to look into it again."""

    result: CaseResult
    record: Record
    answer: Answer
    bounds: dict[str, Bound]

    @property
    def size(self) -> int:
        case = self.answer.case
        return case.T * case.spec.L * case.n * case.spec.h**2

    @property
    def is_small(self) -> bool:
        return sum(array.nbytes for array in self.answer.wanted.values()) <= SMALL

    def got(self) -> Arrays:
        name = self.result.implementation.partition(":")[2]
        return self.record.arrays(name, self.result.dtype, self.result.case)

    def evidence(self, memory: Callable[[Conventions, int | None], Arrays] | None) -> Evidence:
        answer, dtype = self.answer, self.result.dtype
        allowed = answer.allowed.get(dtype, {})
        given = answer.case, answer.numbers, self.got(), answer.noise, self.bounds, dtype
        return Evidence(*given, memory=memory, allowed=allowed, top=self.result.part)


class Memory:
    """What conventions make of the small cases that failed, as ``Evidence`` asks it, and what was
    recorded for them: many failures are of few cases, and most of their diagnosis is the same."""

    def __init__(self, failures: list[Failure]) -> None:
        answers = {id(failure.answer): failure.answer for failure in failures}
        recorded = {id(failure): failure for failure in failures}

        @functools.lru_cache(REMEMBERED)
        def begun(key: int) -> Begun:
            return begin(answers[key].case, answers[key].numbers)

        @functools.lru_cache(REMEMBERED)
        def made(key: int, conventions: Conventions, K: int | None) -> Arrays:
            case, numbers = answers[key].case, answers[key].numbers
            return evaluate(conventions, case, numbers, K=K, begun=None if K == 0 else begun(key))

        @functools.lru_cache(REMEMBERED)
        def read(key: int) -> Arrays:
            return recorded[key].got()

        self.made, self.read = made, read

    def of(self, failure: Failure) -> Callable[[Conventions, int | None], Arrays] | None:
        key = id(failure.answer)
        return functools.partial(self.made, key) if failure.is_small else None

    def got(self, failure: Failure) -> Arrays:
        return self.read(id(failure)) if failure.is_small else failure.got()


@np.errstate(all="ignore")  # of numbers that have failed already
def give_reasons(failures: list[Failure], results: list[CaseResult], progress: Progress) -> None:
    """Fill in ``why`` and ``vote`` of every failure."""
    known: dict[str, list[Suspects]] = {}
    memory = Memory(failures)
    searched: dict[tuple[str, str, str], int] = {}
    # float64 first: rounding hides least there, and what it finds is tried on float32.
    order = sorted(failures, key=lambda f: (f.result.dtype != "float64", f.size))
    names = progress.over("diagnose", [f"{f.result.case} {f.result.dtype}" for f in order])
    for failure, _ in zip(order, names, strict=True):
        result = failure.result
        mine = known.setdefault(result.implementation, [])
        done = searched.get(result.row, 0)
        evidence = failure.evidence(memory.of(failure))
        if evidence.error_of(failure.answer.wanted) is not None:
            result.why = NUMBERS_AGREE
            continue
        found = explain(evidence, mine, search=done < SEARCHED)
        if found is None:
            result.why = "not searched: see the smaller cases of this implementation"
            continue
        searched[result.row] = done + 1
        result.searched = True
        result.suspects = [explanation.says for explanation in found]
        result.why = sentence(result.implementation, found, result.place)
        mine += [e.suspects for e in found if e.suspects not in mine]
    for failure in failures:
        refute(failure, known.get(failure.result.implementation, []), memory)
        failure.result.vote = vote(failure, failures, results, memory)


def refute(failure: Failure, known: list[Suspects], memory: Memory) -> None:
    """Fill in ``refuted`` of a failure that nothing explains. known: what explains others"""
    result, right = failure.result, failure.answer.wanted
    if known and not result.suspects and result.why != NUMBERS_AGREE:
        evidence = failure.evidence(memory.of(failure))
        result.refuted = [said(group) for group in known if evidence.shows(group, right)]


def place_of(result: CaseResult, got: Arrays, answer: Answer, bound: Bound, dtype: str) -> str:
    """Where a failure begins, in words."""
    scale = FLOAT64_SCALE if dtype == "float64" else 1.0
    noise = max(answer.noise[f"trace/{part}"] for part in answer.case.spec.states) * scale
    failed = {
        rung: sorted((c for c in comparisons if not c.passed), key=_worst_first)
        for rung, comparisons in result.rungs().items()
    }
    limit = min(bound.error, bound.ratio * noise)
    return str(locate(answer.case, answer.numbers, got, failed, limit))


def _worst_first(comparison: Comparison) -> float:
    return -math.inf if math.isnan(comparison.error) else -comparison.error


def vote(
    failure: Failure, failures: list[Failure], results: list[CaseResult], memory: Memory
) -> str:
    """Who agrees with whom on this case; empty if fewer than three implementations answered it."""
    asked = failure.result
    question = (asked.case, asked.dtype, asked.device)
    same = [r for r in results if (r.case, r.dtype, r.device) == question]
    wrong = [f for f in failures if f.result in same]
    first = asked.first_failure()
    rung = first.rung if first else RUNGS[0]
    # Who answers a part has nothing to say of what is above it.
    right = [r for r in same if r.comparisons and r.status != FAIL and rung in answered_by(r.part)]
    if len(wrong) + len(right) < 3:
        return ""
    total = len(wrong) + len(right)
    with_it = [f for f in wrong if f is failure or agree(f, failure, memory)]
    if len(with_it) > len(right) and len(with_it) > 1:
        names = ", ".join(f.result.implementation for f in with_it)
        return f"{names} agree with one another against the oracle: {len(with_it)} of {total}"
    who = "the odd one out" if len(with_it) == 1 else f"with {len(with_it) - 1} other"
    return f"{len(right)} of {total} agree with the oracle; {asked.implementation} is {who}"


def agree(one: Failure, other: Failure, memory: Memory) -> bool:
    """Whether two implementations recorded the same, within twice the bound."""
    a, b, answer = memory.got(one), memory.got(other), one.answer
    scale = FLOAT64_SCALE if one.result.dtype == "float64" else 1.0
    for tensor in one.answer.wanted:
        if tensor not in a or tensor not in b:
            return False
        bound, noise = one.bounds[rung_of(tensor)], 2 * one.answer.noise[tensor] * scale
        doubled = Bound(2 * bound.error, bound.ratio, units=2 * bound.units)
        allowed = answer.allowance(tensor, one.result.dtype)
        how = doubled, noise, allowed, answer.case.undefined
        if agreement_in_regime(a[tensor], b[tensor], *how) is None:
            return False
    return True
