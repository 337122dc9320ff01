"""Judge every training run in a results folder: trajectories on the lattice, curves in float32."""

from pathlib import Path

from common.errors import BadInput
from conformance.cases.given import Given
from conformance.cases.quick import CELL
from conformance.closeness.compare import load_bounds
from conformance.closeness.rungs import WHOLE
from conformance.judge import claims
from conformance.judge.curves import (
    EARLY,
    CurveVerdict,
    Ensemble,
    find_ensemble,
    judge_curve,
    load_ensembles,
)
from conformance.judge.lattice import Sound, begin, judge_trajectories
from conformance.judge.required import Matrix, load_matrix
from conformance.judge.runs import contradiction
from conformance.records.training import TrainingRun, load_runs
from conformance.records.witness import Witness, find_witness, load_witnesses
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.verdict.outcome import DECLARED, FAIL, NOT_COMPARED, NOT_RUN, PASS, Row
from conformance.verdict.results import TrainingResult, number

LATTICE = "lattice"
REQUIRED = "quick"
"""The recipe that every backend must have trained with where training is asked for."""


def judge_training(
    results: Path,
    expect: tuple[str, ...] = (),
    witnesses: list[Witness] | None = None,
    ensembles: list[Ensemble] | None = None,
    quick: bool = False,
    matrix: Matrix | None = None,
    damaged: list[BadInput] | None = None,
    deviations: list[Deviation] | None = None,
    modes: tuple[str, ...] = (),
    recipes: tuple[str, ...] = (),
) -> list[TrainingResult]:
    """One result for every run, and one for each that an expected backend lacks.

    expect: backends that must have trained every stored witness of the quick recipe on the lattice,
            with every implementation, and every ensemble of it in float32 with one of them
    damaged: is told of runs that cannot be read; without it, the first one raises
            (who answers a part of the ladder trains nothing)
    modes:  of expected backends, which must have trained on the lattice as well
    recipes: of wider stacks; all of their witnesses as well, with every implementation
    quick:  they must have trained the one witness of the quick main job, with one of them
    """
    runs = load_runs(results, damaged)
    witnesses = load_witnesses() if witnesses is None else witnesses
    ensembles = load_ensembles() if ensembles is None else ensembles
    matrix = load_matrix() if matrix is None else matrix
    deviations = load_deviations() if deviations is None else deviations
    found = [(run, begin(run)) for run in runs]
    sound = [Sound(run, given, r) for run, r in found if (given := _check(run, r, matrix))]
    on_lattice = [one for one in sound if one.run.recipe.lattice]
    judge_trajectories(on_lattice, witnesses, load_bounds(), deviations)
    for one in sound:
        if not one.run.recipe.lattice:
            _judge_curve(one.run, one.result, ensembles, deviations)
    made = [result for _, result in found]
    there = _answered(runs, witnesses, ensembles)
    expect = tuple(b for b in expect if b not in matrix or matrix[b].top == WHOLE)
    made += _missing_of_one(there, expect) if quick else []
    own = {backend: _implementations(backend, found, matrix, modes) for backend in expect}
    made += [] if quick else _missing(own, there, witnesses, ensembles, modes)
    made += _missing_witnesses(own, there, [w for w in witnesses if w.recipe_name in recipes])
    return sorted(made, key=lambda r: (r.row, r.title))


def _check(run: TrainingRun, result: TrainingResult, matrix: Matrix) -> Given | None:
    """What a run was given, if it is finished and nothing that it says is refuted."""
    status = run.data["status"]
    unknown = status == "unsupported" and claims.tier_of(run)
    wrong = next(claims.of_run(run, matrix), "")
    if not (wrong or unknown):
        wrong = _refuted(run, matrix)
    given = None
    if not wrong and status == "finished":
        wrong, given = contradiction(run)
    if wrong:
        result.status, result.reason = FAIL, wrong
        return None
    return given


def _refuted(run: TrainingRun, matrix: Matrix) -> str:
    status, implementation = run.data["status"], run.data["implementation"]
    question = run.spec, matrix, *run.recipe.needs
    return claims.refuted(status, run.data["backend"], implementation, *question)


def _judge_curve(
    run: TrainingRun,
    result: TrainingResult,
    ensembles: list[Ensemble],
    deviations: list[Deviation],
) -> None:
    """Hold a run that is not on the lattice against the stored ensemble of its recipe."""
    ensemble = find_ensemble(run.data, ensembles)
    if ensemble is None:
        result.status, result.reason = NOT_COMPARED, "no ensemble of this recipe and text"
        return
    verdict = judge_curve(run.data, ensemble)
    result.against = f"ensemble {ensemble.name}"
    result.tests = [
        {"part": test.part, "name": test.name, "strain": number(test.strain)}
        for test in verdict.tests
    ]
    result.status = PASS if verdict.accepted else FAIL
    result.reason = "" if verdict.accepted else verdict.reason
    if declared := excusing(verdict, result.row, deviations):
        result.status, result.reason = DECLARED, ", ".join(declared)


def excusing(verdict: CurveVerdict, row: Row, deviations: list[Deviation]) -> list[str]:
    """The declared deviations that excuse a run which the early envelope alone rejects.

    row: implementation, device and numerics
    """
    if verdict.rejected_by != [EARLY]:
        return []
    strain = max(test.strain for test in verdict.failures)
    return [d.id for d in deviations if d.excuses_run(*row, verdict.ensemble, strain)]


Answered = set[tuple[str, str, str]]
"""Implementation, numerics, and the name of the witness or the ensemble."""


def _missing_of_one(there: Answered, expect: tuple[str, ...]) -> list[TrainingResult]:
    """The expected backends that have not trained what the quick main job trains."""
    name = f"{REQUIRED}-{CELL}"
    ran = {
        who.split(":")[0] for who, numerics, what in there if (numerics, what) == (LATTICE, name)
    }
    return [_not_run(backend, LATTICE, name) for backend in expect if backend not in ran]


def _implementations(
    backend: str,
    found: list[tuple[TrainingRun, TrainingResult]],
    matrix: Matrix,
    modes: tuple[str, ...],
) -> list[str]:
    """Those that an expected backend has, or has trained with, and the modes that are asked for."""
    own = {r.implementation for r, _ in found if r.data["backend"] == backend}
    own |= {f"{backend}:{name}" for name in getattr(matrix.get(backend), "implementations", ())}
    return sorted(own | {mode for mode in modes if mode.partition(":")[0] == backend})


def _missing(
    own: dict[str, list[str]],
    there: Answered,
    witnesses: list[Witness],
    ensembles: list[Ensemble],
    modes: tuple[str, ...],
) -> list[TrainingResult]:
    """What the expected backends should have trained and have not: a run of another recipe, or of
    fewer epochs, is none, whatever its name.     own: the implementations of each"""
    missing = _missing_witnesses(own, there, [w for w in witnesses if w.recipe_name == REQUIRED])
    for backend, these in own.items():
        if not these:
            missing.append(TrainingResult(backend, "cpu", "", "any", NOT_RUN, reason="no run"))
        layers = [name for name in these if name not in modes] or these
        for name in (e.name for e in ensembles if e.name.startswith(f"{REQUIRED}-")):
            if these and not any((i, "float32", name) in there for i in these):
                missing.append(_not_run(layers[-1], "float32", name))
    return missing


def _missing_witnesses(
    own: dict[str, list[str]], there: Answered, witnesses: list[Witness]
) -> list[TrainingResult]:
    """The same of training on the lattice, which every implementation does."""
    return [
        _not_run(implementation, LATTICE, witness.name)
        for these in own.values()
        for witness in witnesses
        for implementation in these
        if (implementation, LATTICE, witness.name) not in there
    ]


def _not_run(implementation: str, numerics: str, name: str) -> TrainingResult:
    return TrainingResult(implementation, "cpu", numerics, name, NOT_RUN, reason="no run")


def _answered(
    runs: list[TrainingRun], witnesses: list[Witness], ensembles: list[Ensemble]
) -> Answered:
    """Who answered which witness and which ensemble whole, on a CPU and in one process, be it by
    saying that it cannot."""
    found: Answered = set()
    for run in (run for run in runs if run.device == "cpu"):
        numerics = run.data["numerics"]
        known: Witness | Ensemble | None = find_ensemble(run.data, ensembles)
        if run.recipe.lattice:
            known = find_witness(run.spec, run.recipe, run.data["text"], witnesses)
        if known and known.recipe.epochs == run.recipe.epochs:
            found.add((run.implementation, numerics, known.name))
    return found
