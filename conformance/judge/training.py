"""Judge every training run in a results folder: trajectories on the lattice, curves in float32."""

from pathlib import Path

from conformance.cases.quick import CELL
from conformance.closeness.compare import load_bounds
from conformance.judge.curves import Ensemble, find_ensemble, judge_curve, load_ensembles
from conformance.judge.lattice import begin, judge_trajectories
from conformance.records.training import TrainingRun, load_runs
from conformance.records.witness import Witness, load_witnesses
from conformance.verdict.results import (
    FAIL,
    NOT_COMPARED,
    NOT_RUN,
    PASS,
    TrainingResult,
    number,
)

REQUIRED = "quick"
"""The recipe that every backend must have trained with where training is asked for."""


def judge_training(
    results: Path,
    expect: tuple[str, ...] = (),
    witnesses: list[Witness] | None = None,
    ensembles: list[Ensemble] | None = None,
    quick: bool = False,
) -> list[TrainingResult]:
    """One result for every run, and one for each that an expected backend lacks.

    expect: backends that must have trained every stored witness of the quick recipe on the lattice,
            with every implementation that they have runs of, and in float32 with one of them
    quick:  they must have trained the one witness of the quick main job, with one of them
    """
    runs = load_runs(results)
    witnesses = load_witnesses() if witnesses is None else witnesses
    ensembles = load_ensembles() if ensembles is None else ensembles
    limits = {device: dtypes["float64"] for device, dtypes in load_bounds().items()}
    found = judge_trajectories(runs, witnesses, limits)
    found += [_judge_curve(run, ensembles) for run in runs if not run.recipe.lattice]
    found += _missing_of_one(found, expect) if quick else []
    found += [] if quick else _missing(found, expect, witnesses, ensembles)
    return sorted(found, key=lambda r: (r.row, r.title))


def _judge_curve(run: TrainingRun, ensembles: list[Ensemble]) -> TrainingResult:
    """Hold a run that is not on the lattice against the stored ensemble of its recipe."""
    result = begin(run)
    if run.data["status"] != "finished":
        return result
    ensemble = find_ensemble(run.data, ensembles)
    if ensemble is None:
        result.status, result.reason = NOT_COMPARED, "no ensemble of this recipe and text"
        return result
    verdict = judge_curve(run.data, ensemble)
    result.against = f"ensemble {ensemble.name}"
    result.tests = [
        {"part": test.part, "name": test.name, "strain": number(test.strain)}
        for test in verdict.tests
    ]
    result.status = PASS if verdict.accepted else FAIL
    result.reason = "" if verdict.accepted else verdict.reason
    return result


def _missing_of_one(found: list[TrainingResult], expect: tuple[str, ...]) -> list[TrainingResult]:
    """The expected backends that have not trained what the quick main job trains."""
    name = f"{REQUIRED}-{CELL}"
    ran = [r for r in found if (r.numerics, r.title) == ("lattice", name)]
    there = {r.implementation.split(":")[0] for r in ran}
    return [
        TrainingResult(backend, "cpu", "lattice", name, NOT_RUN, reason="no run")
        for backend in expect
        if backend not in there
    ]


def _missing(
    found: list[TrainingResult],
    expect: tuple[str, ...],
    witnesses: list[Witness],
    ensembles: list[Ensemble],
) -> list[TrainingResult]:
    """What the expected backends should have trained and have not."""
    there = {(*r.row, r.title) for r in found}
    missing = []
    for backend in expect:
        own = {r.implementation for r in found if r.implementation.startswith(f"{backend}:")}
        if not own:
            missing.append(TrainingResult(backend, "cpu", "", "any", NOT_RUN, reason="no run"))
        for name in (w.name for w in witnesses if w.name.startswith(f"{REQUIRED}-")):
            for implementation in own:
                if (implementation, "cpu", "lattice", name) not in there:
                    row = TrainingResult(implementation, "cpu", "lattice", name, NOT_RUN)
                    missing.append(row)
        for name in (e.name for e in ensembles if e.name.startswith(f"{REQUIRED}-")):
            if own and not any((i, "cpu", "float32", name) in there for i in own):
                missing.append(TrainingResult(min(own), "cpu", "float32", name, NOT_RUN))
    for result in missing:
        result.reason = result.reason or "no run"
    return missing
