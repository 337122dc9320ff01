"""What the judge found: one result per case, and the verdict over all of them."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from common import SUITE_VERSION
from common.storage.sums import sealed
from conformance.closeness.compare import RUNGS, Comparison
from conformance.records.ladder import Record
from conformance.verdict.asked import Asked
from conformance.verdict.deviations import Deviation
from conformance.verdict.heat import Heat
from conformance.verdict.outcome import (
    DECLARED,
    NOT_RUN,
    PASS,
    PASSED,
    WRONG,
    Outcome,
    decide,
    kind,
)
from conformance.verdict.sentence import sentence

FORMAT = "deep-rnn-verdict-3"
"""Of verdict.json. What has another one is judged again."""


@dataclass
class CaseResult:
    """How one implementation did on one case, on one device, in one dtype.

    part:     the highest rung that it answers, of one that answers a part of the ladder
    suspects: conventions that explain a failure, each alone     searched: whether any was sought
    refuted:  of a failure without any, those that explain others, would show here and do not
    """

    implementation: str
    device: str
    dtype: str
    case: str
    status: str
    reason: str = ""
    part: str = ""
    comparisons: list[Comparison] = field(default_factory=list)
    place: str = ""
    why: str = ""
    suspects: list[str] = field(default_factory=list)
    searched: bool = False
    refuted: list[str] = field(default_factory=list)
    vote: str = ""
    heat: list[Heat] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, str, str]:
        return self.implementation, self.device, self.dtype

    def rungs(self) -> dict[str, list[Comparison]]:
        """The comparisons by rung, from the bottom of the ladder up."""
        found: dict[str, list[Comparison]] = {rung: [] for rung in RUNGS}
        for comparison in self.comparisons:
            found[comparison.rung].append(comparison)
        return found

    def first_failure(self) -> Comparison | None:
        """The worst tensor of the first rung that broke."""
        for comparisons in self.rungs().values():
            failed = [c for c in comparisons if not c.passed]
            if failed:
                return max(failed, key=lambda c: math.inf if math.isnan(c.error) else c.error)
        return None


@dataclass
class TrainingResult:
    """How one implementation did in one training run.

    title:      recipe and cell
    agreed:     so many leading digests of ``epochs`` are right
    against:    what the run was held against: a witness, another implementation, an ensemble
    perplexity: of the last epoch
    rate:       tokens per second, the median over the epochs
    curve:      perplexity after every epoch
    tests:      what the ensemble asked: part, name and strain, 1 at the ends of what is accepted
    """

    implementation: str
    device: str
    numerics: str
    title: str
    status: str = NOT_RUN
    agreed: int = 0
    epochs: int = 0
    against: str = ""
    reason: str = ""
    place: str = ""
    perplexity: float = math.nan
    rate: float = math.nan
    prediction: str = ""
    curve: list[float] = field(default_factory=list)
    tests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, str, str]:
        return self.implementation, self.device, self.numerics


@dataclass
class Verdict:
    """What the judge found.

    asked:   who had to be there, with what
    quick:   of the quick main job, which asks fewer cases and trains one run
    claims:  what a record or a run says of itself that cannot be so
    open:    what is there, or was begun, and has no answer that could be compared
    outside: backends that the matrix does not know (judge/required.py)
    inputs:  the SHA-256 of every file that was judged, by its path in the results folder
    basis:   the same of every file of the suite that the verdict rests on
    """

    records: list[Record]
    results: list[CaseResult]
    absent: list[str]
    stale: list[Deviation]
    training: list[TrainingResult] = field(default_factory=list)
    asked: Asked = field(default_factory=Asked)
    quick: bool = False
    claims: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    basis: dict[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[CaseResult]:
        return [r for r in self.results if r.status in WRONG]

    @property
    def outcome(self) -> Outcome:
        return decide(
            ((r.row, r.status) for r in self.results),
            (r.status for r in self.training),
            self.absent,
            (d.id for d in self.stale),
            self.claims,
            self.open,
        )

    @property
    def passed(self) -> bool:
        return self.outcome.word == PASSED

    def rows(self) -> dict[tuple[str, str, str], int]:
        """How many cases passed, by implementation, device and dtype."""
        rows: dict[tuple[str, str, str], int] = {}
        for result in self.results:
            rows[result.row] = rows.get(result.row, 0) + (result.status == PASS)
        return rows

    def ratios(self, row: tuple[str, str, str]) -> np.ndarray:
        """Every tensor's error in multiples of the noise floor, exact rungs left out."""
        return np.array(
            [
                c.ratio
                for r in self.results
                if r.row == row
                for c in r.comparisons
                if c.bound > 0 and not math.isnan(c.ratio)
            ]
        )

    def grid(self) -> dict[str, int]:
        """Float64 elements compared on the grid, those that differ there, and those of them that
        only straddle a boundary; declared deviations are left out, and what is judged by element.
        No difference from the oracle means none between any two."""
        on_grid = [
            c
            for r in self.results
            if r.dtype == "float64" and r.status != DECLARED
            for c in r.comparisons
            if c.rung not in ("weights", "invariances") and math.isnan(c.units)
        ]
        return {
            "elements": sum(c.elements for c in on_grid),
            "differing": sum(c.differing for c in on_grid),
            "straddles": sum(c.straddles for c in on_grid),
        }

    @property
    def kind(self) -> str:
        """What a sentence begins with that must not be taken for the whole main job's."""
        return kind(self.quick, (r.status for r in (*self.results, *self.training)))

    def sentence(self) -> str:
        """The verdict in one sentence."""
        return sentence(self)

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values, sealed; a NaN becomes null."""
        made = {
            "format": FORMAT,
            "suite": SUITE_VERSION,
            "outcome": self.outcome.word,
            "passed": self.passed,
            "sentence": self.sentence(),
            "quick": self.quick,
            "text": self.records[0].data["text"] if self.records else None,
            "grid": self.grid(),
            "asked": self.asked.to_json(),
            "inputs": self.inputs,
            "basis": self.basis,
            "claims": self.claims,
            "open": self.open,
            "outside": self.outside,
            "absent": self.absent,
            "stale deviations": [d.id for d in self.stale],
            "records": [
                {k: v for k, v in r.data.items() if k not in ("entries", "cases")}
                for r in self.records
            ],
            "results": [_result_to_json(result) for result in self.results],
            "training": [_training_to_json(result) for result in self.training],
        }
        return sealed(made)


def number(value: float) -> float | None:
    """What JSON can hold of a number."""
    return value if math.isfinite(value) else None


def _training_to_json(result: TrainingResult) -> dict[str, Any]:
    fields = asdict(result)
    fields["curve"] = [number(value) for value in result.curve]
    return {k: number(v) if isinstance(v, float) else v for k, v in fields.items()}


def _share(comparison: Comparison) -> float:
    """The error as a share of its bound; NaN where there is no such thing."""
    return comparison.error / comparison.bound if comparison.bound > 0 else math.nan


def _result_to_json(result: CaseResult) -> dict[str, Any]:
    rungs = {
        rung: {
            "tensors": len(found),
            "passed": sum(c.passed for c in found),
            "error": number(max((c.error for c in found), default=math.nan)),
            "ratio": number(max((c.ratio for c in found), default=math.nan)),
            "of bound": number(max((_share(c) for c in found), default=math.nan)),
        }
        for rung, found in result.rungs().items()
        if found
    }
    failed = [c for c in result.comparisons if not c.passed]
    failed.sort(key=lambda c: c is not result.first_failure())  # which is named wherever one is
    failed = [
        {k: number(v) if isinstance(v, float) else v for k, v in asdict(c).items()} for c in failed
    ]
    names = ("implementation", "device", "dtype", "case", "status")
    names += ("reason", "place", "why", "suspects", "searched", "vote")
    return {name: getattr(result, name) for name in names} | {
        "heat": [heat.to_json() for heat in result.heat],
        "rungs": rungs,
        "failed": failed,
        **({"part": result.part} if result.part else {}),
        **({"refuted": result.refuted} if result.refuted else {}),
    }
