"""Judge everything that lies in a results folder: records and training runs."""

from pathlib import Path

from common.files import check_folder
from conformance.cases.quick import quick_cases
from conformance.judge import claims
from conformance.judge.basis import basis, check_stored, inputs
from conformance.judge.ladder import judge
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
    not.

    more_claims: files of the matrix about backends that the suite does not know
    """
    check_folder(results, "a folder of records")
    asked = asked or Asked()
    check_stored()
    read, rests_on, matrix = inputs(results), basis(more_claims), load_matrix(more_claims)
    verdict = judge(results, progress, asked, matrix=matrix)
    trained = asked.expect if asked.training else ()
    verdict.training = judge_training(results, trained, quick=asked.quick, matrix=matrix)
    held = [set(record.data["cases"]) for record in verdict.records]
    verdict.quick = asked.quick or (bool(held) and all(each == {*quick_cases()} for each in held))
    verdict.open += claims.unfinished(results, FOLDER)
    verdict.outside = claims.outside(verdict.records, load_runs(results), matrix)
    verdict.inputs, verdict.basis = read, rests_on
    return verdict
