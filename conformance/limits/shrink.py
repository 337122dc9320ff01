"""The smallest case that an implementation fails: where a fault begins.

A kernel is wrong from some size or magnitude on. From a case that fails, every dimension of its
point (cases/points.py) is made as small as it can be while the case still fails, by bisection, one
dimension after the other, until no dimension can be made smaller by one. Every step is a question
to the real worker, and its answer is judged as in ``judge``: what is found has failed, and can be
recorded and judged alone.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conformance.cases.given import Given
from conformance.cases.points import LEAST, Point
from conformance.judge.ladder import Standards, judge_case
from conformance.judge.reasons import Failure, give_reasons
from conformance.oracle.truth import right_answer
from conformance.progress import Progress
from conformance.records.ladder import Record, array_path
from conformance.run.child import Child, Died
from conformance.verdict.outcome import FAIL, WRONG
from conformance.verdict.results import CaseResult

ORDER = "LnKThqdbsoxw"
"""Dimensions in the order in which they are made small: what costs most comes first."""


@dataclass
class Asker:
    """Asks a worker, and judges what it answers.

    folder:   for the arrays
    failures: what has failed, by implementation, dtype and case
    """

    child: Child
    backend: str
    device: str
    given: Given
    folder: Path
    standards: Standards
    limit: float
    failures: dict[tuple[str, str, str], Failure] = field(default_factory=dict)

    def judged(self, implementation: str, dtype: str, name: str) -> CaseResult:
        """The judge's result of one case."""
        path = self.folder / array_path(implementation, dtype, name)
        asked = {"implementation": implementation, "dtype": dtype, "case": name}
        try:
            entry = self.child.ask(asked | {"path": str(path.resolve())}, self.limit)
        except Died as death:
            entry: dict[str, Any] = {"status": "crashed", "reason": str(death)}
        data = {"backend": self.backend, "device": self.device, "cases": [name]}
        record = Record(
            self.folder, data | {"entries": {implementation: {dtype: {name: entry}}}}, self.given
        )
        answer = right_answer(name, self.given)
        result = judge_case(record, implementation, dtype, name, answer, self.standards)
        if result.status == FAIL and result.comparisons:
            limits = self.standards.bounds[self.device][dtype]
            found = Failure(result, record, answer, limits)
            self.failures[implementation, dtype, name] = found
        return result

    def explanation(self, implementation: str, dtype: str, name: str) -> str:
        """The judge's diagnosis of a case that has failed."""
        failure = self.failures.get((implementation, dtype, name))
        if failure:
            give_reasons([failure], [failure.result], Progress(quiet=True))
        return failure.result.why if failure else ""


@dataclass(frozen=True)
class Shrunk:
    """The smallest point that an implementation fails.

    largest: the largest magnitude that it has to compute there, of each state and of O
    why:     the judge's diagnosis; empty if there is nothing to diagnose, as of a crash
    """

    point: Point
    largest: dict[str, float]
    why: str


def fails(result: CaseResult) -> bool:
    """Whether it shows the fault that is looked for: a wrong number, or a crash."""
    return result.status in WRONG


def smallest(start: Point, wrong: Callable[[Point], bool]) -> Point:
    """The smallest point on the way down from one that is wrong; none of its dimensions can be made
    smaller by one alone.

    Where a fault is there from some size on, each bisection finds that size. Where it comes and
    goes, what is found is wrong, and has a right neighbour below it in every dimension."""
    known = {start: True}

    def is_wrong(point: Point) -> bool:
        if point not in known:
            known[point] = wrong(point)
        return known[point]

    now, before = start, None
    while now != before:
        before = now
        for dimension in ORDER:
            now = _least(now, dimension, is_wrong)
    return now


def _least(point: Point, dimension: str, wrong: Callable[[Point], bool]) -> Point:
    """The same with one dimension as small as bisection makes it."""

    def at(value: int) -> Point:
        return dataclasses.replace(point, **{dimension: value})

    low, high = LEAST[dimension], point[dimension]
    if high <= low or not wrong(at(high - 1)):
        return point
    if wrong(at(low)):
        return at(low)
    high -= 1
    while high - low > 1:  # low is right, high is wrong
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(at(middle)) else (middle, high)
    return at(high)


def shrink(asker: Asker, implementation: str, dtype: str, start: Point) -> Shrunk | None:
    """The smallest point that an implementation fails, on the way down from one; None if it does
    not fail that one."""

    def wrong(point: Point) -> bool:
        return fails(asker.judged(implementation, dtype, point.name))

    if not wrong(start):
        return None
    point = smallest(start, wrong)
    answer = right_answer(point.name, asker.given)
    parts = {part: f"trace/{part}" for part in answer.case.spec.states} | {"O": "forward/O"}
    largest = {part: float(np.max(np.abs(answer.wanted[t]))) for part, t in parts.items()}
    return Shrunk(point, largest, asker.explanation(implementation, dtype, point.name))
