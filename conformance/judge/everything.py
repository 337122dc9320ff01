"""Judge everything that lies in a results folder: records and training runs."""

from pathlib import Path

from common.errors import BadInput
from common.storage.files import check_folder
from conformance.cases.quick import quick_cases
from conformance.judge import claims
from conformance.judge.basis import basis, check_stored, inputs
from conformance.judge.ladder import inside, judge
from conformance.judge.required import load_matrix
from conformance.judge.training import judge_training
from conformance.progress import Progress
from conformance.records.training import FOLDER, load_runs
from conformance.verdict.asked import Asked
from conformance.verdict.results import Verdict


def judge_all(
    results: Path,
    progress: Progress,
    asked: Asked | None = None,
    more_claims: tuple[Path, ...] = (),
) -> Verdict:
    """The verdict over both. One on records of the quick main job's cases alone says so, asked or
    not. A record or a run that cannot be read is a failure, and the others are judged; BadInput if
    none is left.

    more_claims: files of the matrix about backends that the suite does not know
    """
    check_folder(results, "a folder of records")
    asked = asked or Asked()
    check_stored()
    read, rests_on, matrix = inputs(results), basis(more_claims), load_matrix(more_claims)
    damaged: list[BadInput] = []
    verdict = judge(results, progress, asked, matrix=matrix, damaged=damaged)
    trained = asked.expect if asked.training else ()
    runs = load_runs(results, damaged)
    verdict.training = judge_training(
        results,
        trained,
        matrix=matrix,
        damaged=[],
        quick=asked.quick,
        modes=asked.modes,
        recipes=asked.recipes,
    )
    if damaged and not (verdict.records or runs):
        raise damaged[0]
    verdict.claims += [f"not judged: {inside(results, error)}" for error in damaged]
    held = [set(record.data["cases"]) for record in verdict.records]
    verdict.quick = asked.quick or (bool(held) and all(each == {*quick_cases()} for each in held))
    verdict.open += claims.unfinished(results, FOLDER)
    verdict.outside = claims.outside(verdict.records, runs, matrix)
    verdict.inputs, verdict.basis = read, rests_on
    return verdict
