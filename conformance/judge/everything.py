"""Judge everything that lies in a results folder: records and training runs."""

import hashlib
from pathlib import Path

from common.files import check_folder
from conformance.cases.quick import quick_cases
from conformance.judge.ladder import judge
from conformance.judge.training import judge_training
from conformance.progress import Progress
from conformance.records.training import FOLDER
from conformance.verdict.results import Verdict


def inputs(results: Path) -> dict[str, str]:
    """The SHA-256 of every record.json and run.json in a results folder, by its path there."""
    paths = [*results.glob("*/record.json"), *results.glob(f"{FOLDER}/*/*/run.json")]
    whole = [p for p in sorted(paths) if not any(part.startswith(".") for part in p.parts[-3:])]
    return {
        path.relative_to(results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in whole
    }


def judge_all(
    results: Path,
    progress: Progress,
    expect: tuple[str, ...] = (),
    cases: tuple[str, ...] = (),
    training: bool = False,
    quick: bool = False,
) -> Verdict:
    """The verdict over both.

    expect: backends that must be there     cases: names that every record must hold
    training: whether the expected backends must also have trained with the quick recipe
    quick: the verdict of the quick main job, which trains one run; one on records of its cases
           alone says so too
    """
    check_folder(results, "a folder of records")
    read = inputs(results)
    verdict = judge(results, progress, expect, cases)
    verdict.training = judge_training(results, expect if training else (), quick=quick)
    asked = [set(record.data["cases"]) for record in verdict.records]
    verdict.quick = quick or (bool(asked) and all(each == {*quick_cases()} for each in asked))
    verdict.expected, verdict.training_expected, verdict.inputs = [*expect], training, read
    return verdict
