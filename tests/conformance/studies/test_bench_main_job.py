"""What the main job costs, measured stage by stage."""

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from conformance.__main__ import main
from conformance.progress import Progress
from conformance.studies import bench_main_job
from conformance.studies.bench_main_job import Clock, Cost, table
from tests.conformance.helpers import assert_one_line

pytestmark = pytest.mark.once


class Worker:
    """A child that says what it is told to; ``process`` is another one after a restart."""

    def __init__(self, *answers: dict) -> None:
        self.answers, self.process = iter(answers), object()

    def ask(self, request, limit):
        assert request == {"do": "spent"}
        return next(self.answers)


def spent(cpu: float, *compiled: float) -> dict:
    return {"cpu": cpu, "compiled": dict(zip(("programs", "seconds"), compiled, strict=False))}


def test_a_stage_is_what_was_spent_since_the_last_one():
    clock = Clock("jax", Worker(spent(4.0, 10, 2.5), spent(7.0, 12, 3.0)))
    first, second = clock.stage("record"), clock.stage("train")
    assert (first.programs, first.compiling) == (10, 2.5)
    assert (second.programs, second.compiling) == (2, 0.5)
    assert 4.0 <= first.cpu < 5.0 and 3.0 <= second.cpu < 4.0


def test_a_worker_that_was_started_again_counts_from_zero():
    worker = Worker(spent(4.0), spent(1.5))
    clock = Clock("numpy", worker)
    clock.stage("record")
    worker.process = object()
    again = clock.stage("train")
    assert 1.5 <= again.cpu < 2.5 and again.programs is None


def test_the_sums_stand_below_the_stages():
    costs = [Cost("jax", "record", 2.0, 3.0, 7, 1.0), Cost("all", "judge", 1.0, 1.5)]
    shown = table(costs)
    assert shown.row_count == 3
    cells = [list(column.cells) for column in shown.columns]
    assert cells[2] == ["2.0", "1.0", "3.0"] and cells[3] == ["3.0", "1.5", "4.5"]
    assert cells[4][:2] == ["7", "–"]


def test_the_quick_main_job_of_one_backend_is_measured_with_the_judge(capsys):
    options = ["--main-job", "--quick", "--backend", "numpy", "--quiet"]
    assert main(["bench", *options]) == EXIT_PASS
    shown = capsys.readouterr().out
    for stage in ("record", "train, lattice", "judge"):
        assert stage in shown


def test_what_is_no_part_of_the_main_job_is_left_out(monkeypatch):
    asked = []

    def measured(backend: str, *_: object) -> list[Cost]:
        asked.append(backend)
        return []

    monkeypatch.setattr(bench_main_job, "measure", measured)
    monkeypatch.setattr(bench_main_job, "judge", lambda *_: Cost("all", "judge", 1.0, 1.5))
    bench_main_job.bench_main_job(None, True, Progress(quiet=True))
    assert asked == ["numpy", "pytorch", "mxnet", "tensorflow", "jax", "onnxruntime"]


def test_a_backend_that_is_not_known_is_bad_input(capsys):
    assert main(["bench", "--main-job", "--backend", "theano"]) == EXIT_BAD_INPUT
    assert_one_line(capsys.readouterr().err)
