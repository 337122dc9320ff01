"""Judge records: every recorded tensor against the oracle, every case from the first rung up.

Reads files only and imports no framework. A record from another machine, or from last year, is
judged like one made just now; bounds can be changed and the records judged again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from conformance.cases.halves import HALVES, dtype_of, left_out
from conformance.cases.invariances import invariances
from conformance.cases.table import Case, find_case
from conformance.closeness.compare import (
    FLOAT64_SCALE,
    Bound,
    Comparison,
    compare,
    load_bounds,
    must_differ,
)
from conformance.closeness.elements import compare_elements, compare_undefined, zero_behind
from conformance.closeness.rungs import WHOLE, answered_by, has_rung, rung_of
from conformance.judge import claims
from conformance.judge.reasons import Failure, give_reasons, place_of
from conformance.judge.required import Matrix, load_matrix
from conformance.oracle.truth import Answer, right_answer
from conformance.progress import Progress
from conformance.records.ladder import Record, has_records, load_records
from conformance.records.training import has_runs
from conformance.verdict.asked import Asked
from conformance.verdict.deviations import Deviation, JudgedAs, load_deviations, unexcused
from conformance.verdict.heat import heat
from conformance.verdict.outcome import (
    CRASHED,
    DECLARED,
    FAIL,
    IN_PART,
    NOT_RUN,
    PASS,
    UNSUPPORTED,
)
from conformance.verdict.results import CaseResult, Verdict


@dataclass(frozen=True)
class Standards:
    """What records are held against: bounds.toml, deviations.toml and the matrix."""

    bounds: dict[str, Any]
    deviations: list[Deviation]
    matrix: Matrix


def judge(
    results: Path,
    progress: Progress,
    asked: Asked | None = None,
    deviations: list[Deviation] | None = None,
    bounds: dict[str, Any] | None = None,
    matrix: Matrix | None = None,
    damaged: list[BadInput] | None = None,
) -> Verdict:
    """Judge every record in a folder.

    damaged: is told of records that cannot be read, and so fail; without it, the first one raises

    Every record must have answered the cases that are asked for, and those of the other records;
    a backend that is expected must have answered with each of its implementations, in each dtype.
    """
    asked = asked or Asked()
    there = has_records(results) or not has_runs(results)
    records = load_records(results, damaged) if there else []
    standards = Standards(
        load_bounds() if bounds is None else bounds,
        load_deviations() if deviations is None else deviations,
        load_matrix() if matrix is None else matrix,
    )
    present = {record.data["backend"] for record in records}
    absent = [backend for backend in asked.expect if backend not in present]
    missing, open = claims.lacking(
        records, asked.expect, asked.dtypes, standards.matrix, asked.modes
    )
    of_records = (case for record in records for case in record.data["cases"])
    names = list(dict.fromkeys([*asked.cases, *asked.challenged(), *of_records]))
    judged: list[CaseResult] = []
    failures: list[Failure] = []
    unreadable: dict[Path, BadInput] = {}
    for name in progress.over("judge", names):
        held = any(name in record.data["cases"] for record in records)
        answers: dict[str, Answer] = {}  # by tier of half precision; "" for both dtypes
        for record, implementation, dtype in _columns(records):
            tier = dtype if dtype in HALVES else ""
            asked_there = held and not left_out(find_case(name, records[0].given), dtype)
            if asked_there and tier not in answers:
                answers[tier] = right_answer(name, records[0].given, tier)
            answer = answers.get(tier) if asked_there else None
            try:
                result = judge_case(record, implementation, dtype, name, answer, standards)
            except BadInput as error:
                unreadable.setdefault(record.folder, error)
                row = f"{record.data['backend']}:{implementation}", record.data["device"], dtype
                result = CaseResult(*row, name, FAIL, inside(results, error))
            judged.append(result)
            if answer and result.status == FAIL and result.comparisons:
                limits = standards.bounds[result.device][dtype]
                failures.append(Failure(result, record, answer, limits))
    if unreadable and (damaged is None or len(unreadable) == len(records)):
        raise next(iter(unreadable.values()))  # what is left is nothing to judge
    for backend, columns in missing.items():
        for implementation, dtype in columns:
            row = f"{backend}:{implementation}", _device(records, backend), dtype
            reason = "no record has this column"
            judged += [CaseResult(*row, name, NOT_RUN, reason) for name in names]
    if failures:
        give_reasons(failures, judged, progress)
    verdict = Verdict(records, judged, absent, [d for d in standards.deviations if d.stale])
    verdict.asked, verdict.open = asked, open
    verdict.claims = [line for r in records for line in claims.of_record(r, standards.matrix)]
    return verdict


def inside(results: Path, error: BadInput) -> str:
    """What is wrong with a file, by its name in the results folder: a verdict is the same wherever
    the results lie."""
    return str(error).replace(f"{results}/", "")


def _device(records: list[Record], backend: str) -> str:
    """Where a backend was recorded first."""
    return next(r.data["device"] for r in records if r.data["backend"] == backend)


def _columns(records: list[Record]) -> Iterator[tuple[Record, str, str]]:
    for record in records:
        for implementation in record.data["implementations"]:
            for dtype in record.data["dtypes"]:
                yield record, implementation, dtype


@np.errstate(all="ignore")  # what a record holds may overflow; what is not finite fails
def judge_case(
    record: Record,
    name: str,
    dtype: str,
    case_name: str,
    answer: Answer | None,
    standards: Standards,
) -> CaseResult:
    """answer: None for a case that no record holds, or that is left out of half precision"""
    backend, device = record.data["backend"], record.data["device"]
    implementation = f"{backend}:{name}"
    result = CaseResult(implementation, device, dtype, case_name, NOT_RUN)
    result.part = claims.top_of(record, standards.matrix)
    if case_name not in record.data["cases"]:
        result.reason = f"{record.folder.name} was recorded without it"
        return result
    if answer is None:
        said = record.entry(name, dtype, case_name)
        why = left_out(find_case(case_name, record.given), dtype)
        right = said["status"] in (UNSUPPORTED, CRASHED)
        result.status = said["status"] if right else FAIL
        result.reason = said["reason"] if said["status"] == CRASHED else str(why)
        return result
    case, entry = answer.case, record.entry(name, dtype, case_name)
    where, needs = record.folder / "record.json", case.needs
    if entry.get("digest", answer.digest) != answer.digest:
        raise BadInput(where, f"digest of {case.name}", answer.digest, entry["digest"])
    if entry["status"] == CRASHED:
        result.status, result.reason = CRASHED, entry["reason"]
        return result
    if wrong := claims.refuted(entry["status"], backend, name, case.spec, standards.matrix, *needs):
        said = f" ({entry['reason']})" if "reason" in entry else ""
        result.status, result.reason = FAIL, f"{wrong}{said}"
        return result
    if entry["status"] == UNSUPPORTED:
        result.status, result.reason = UNSUPPORTED, entry["reason"]
        return result
    try:
        limits = standards.bounds[device][dtype]
    except KeyError:
        found = device, dtype
        raise BadInput(where, "device and dtype", "a table in bounds.toml", found) from None
    these = invariances(case, answer.numbers) if case.invariances else []
    named = entry.get("inapplicable", {})
    allowed, wrong = claims.applicable(named, these, backend, name, standards.matrix, *needs)
    if wrong:
        result.status, result.reason = FAIL, wrong
        return result
    got = record.arrays(name, dtype, case.name)
    result.comparisons = compare_all(got, answer, dtype, limits, allowed, result.part)
    judged_as = judging_as(got, answer, standards.bounds[device], allowed)
    left, used = unexcused(result.row, case, result.comparisons, standards.deviations, judged_as)
    passed = PASS if result.part == WHOLE else IN_PART
    result.status = FAIL if left else DECLARED if used else passed
    result.reason = ", ".join(used)
    if result.status != passed:
        result.heat = heat(got, answer.wanted, case.spec)
    if left:
        result.place = place_of(result, got, answer, limits["outputs"], dtype)
    return result


def compare_all(
    got: Arrays,
    answer: Answer,
    dtype: str,
    limits: dict[str, Bound],
    inapplicable: dict[str, str],
    top: str = WHOLE,
) -> list[Comparison]:
    """Every tensor that must be there, and a failure for each that must not.

    top: the highest rung that must, of whoever answers a part; what is above it must not"""
    found = compare_values(got, answer, dtype, limits, inapplicable, top)
    known = {comparison.tensor for comparison in found}
    if not _own(got, answer.case):  # which has failed, and leaves nothing that they could equal
        known |= {tensor for tensor in got if tensor.startswith("invariance/")}
    elif dtype in HALVES:
        unasked = [i.name for i in invariances(answer.case, answer.numbers) if i.far]
        known |= {t for t in got if t.split("/")[:2] in [["invariance", name] for name in unasked]}
    found += [Comparison(t, "not expected") for t in got if t not in known and has_rung(t)]
    kind = dtype_of(dtype)
    wrong = {t: a.dtype for t, a in got.items() if a.dtype != kind}
    found += [Comparison(t, f"dtype {w}, expected {kind}") for t, w in wrong.items() if has_rung(t)]
    return found


def compare_values(
    got: Arrays,
    answer: Answer,
    dtype: str,
    limits: dict[str, Bound],
    inapplicable: dict[str, str],
    top: str = WHOLE,
) -> list[Comparison]:
    """Every tensor that must be there, by the bounds of a dtype, whichever it has."""
    scale = FLOAT64_SCALE if dtype == "float64" else 1.0
    short = dtype in HALVES
    found: list[Comparison] = []
    asked = {t: a for t, a in answer.wanted.items() if rung_of(t) in answered_by(top)}
    for tensor, wanted in asked.items():
        zero = answer.case.may_be_zero(tensor)
        bound, noise = limits[rung_of(tensor)], answer.noise[tensor] * scale
        question = tensor, got.get(tensor), wanted
        if (allowed := answer.allowance(tensor, dtype)) is not None:
            found.append(compare_elements(*question, allowed, bound, noise, zero))
        elif answer.case.undefined:
            found.append(compare_undefined(*question, bound, noise))
        else:
            found.append(compare(*question, bound, noise, zero))
    if (lengths := answer.numbers.lengths_of(0)) is not None:
        behind = np.arange(answer.case.T)[:, None] >= lengths
        found = [zero_behind(c, got.get(c.tensor), behind) if _by_step(c) else c for c in found]
    if (own := _own(got, answer.case)) and answer.case.invariances:
        for invariance in invariances(answer.case, answer.numbers):
            if invariance.name in inapplicable and invariance.spec is not None:
                continue
            if short and invariance.far:
                continue
            for part, wanted in invariance.own(own).items():
                tensor = f"invariance/{invariance.name}/{part}"
                # A graph may round half precision at other places than what runs op by op.
                exact = invariance.exact and not short
                bound = Bound(0.0) if exact else limits["invariances"]
                noise = answer.noise[f"forward/{part}"] * scale
                check = must_differ if invariance.differs else compare
                found.append(check(tensor, got.get(tensor), wanted, bound, noise))
    return found


def judging_as(
    got: Arrays, answer: Answer, limits: dict[str, dict[str, Bound]], inapplicable: dict[str, str]
) -> JudgedAs:
    """What is got by the bounds of another dtype, for deviations of ``judged_as``."""

    @cache
    def judged(dtype: str) -> dict[str, Comparison]:
        found = compare_values(got, answer, dtype, limits[dtype], inapplicable)
        return {comparison.tensor: comparison for comparison in found}

    return judged


def _own(got: Arrays, case: Case) -> Arrays:
    """O and the last state, which invariances are held against; nothing unless all are there."""
    parts = ("O", *case.spec.states)
    own = {part: got[f"forward/{part}"] for part in parts if f"forward/{part}" in got}
    return own if len(own) == len(parts) else {}


def _by_step(comparison: Comparison) -> bool:
    """Whether a tensor has a number for every step of every example."""
    return comparison.tensor.startswith(("forward/O", "trace/", "gradients/X"))
