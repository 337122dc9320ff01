"""What the main job costs: processor and wall seconds of each backend's stages, and of the judge.

The stages are those of ``record --training``, in the order in which it does them; a framework's
import is part of the record. A backend's worker is started with the Python that has its framework.
"""

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from backends.registry import ASKED_FOR, CHEAP_MODES, MODULES, check_name
from common.corpus import load_corpus
from common.errors import BadInput
from conformance.cases.given import Given
from conformance.cases.quick import quick_cases
from conformance.cases.table import DTYPES, select
from conformance.progress import Progress
from conformance.run.child import Child
from conformance.run.command import runs_of_main_job
from conformance.run.ladder import Request, make_child, record
from conformance.run.main_job import go_on_to_train
from conformance.run.training import train
from conformance.studies.compare_runs import find_python

PATIENCE = 60.0
"""Seconds for a worker to say what it has spent."""


@dataclass(frozen=True)
class Cost:
    """cpu, wall: seconds     programs, compiling: compiled ones, and the seconds they took; None
    where the framework compiles nothing, or a worker had to be started again"""

    who: str
    stage: str
    cpu: float
    wall: float
    programs: int | None = None
    compiling: float | None = None


class Clock:
    """Measures one stage after another of a backend, in this process and in its worker."""

    def __init__(self, who: str, child: Child) -> None:
        self.who, self.child, self.worker = who, child, None
        self.last = {"cpu": 0.0, "compiled": {}}
        self.began = time.perf_counter(), time.process_time()

    def stage(self, name: str) -> Cost:
        """What was spent since the last stage. A worker that is another one counts from zero."""
        wall, own = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        worker = self.child.process
        now = self.child.ask({"do": "spent"}, PATIENCE)
        last = self.last if worker is self.worker else {"cpu": 0.0, "compiled": {}}
        made: list[Any] = [None, None]
        if now["compiled"]:
            made = [
                now["compiled"][k] - last["compiled"].get(k, 0) for k in ("programs", "seconds")
            ]
        self.last, self.worker = now, worker
        self.began = time.perf_counter(), time.process_time()
        return Cost(self.who, name, own + now["cpu"] - last["cpu"], wall, *made)


def measure(backend: str, out: Path, quick: bool, progress: Progress) -> list[Cost]:
    """A backend's share of the main job, made in ``out``."""
    names = select(quick_cases() if quick else [], 0, 0)
    given, modes = Given(load_corpus()), CHEAP_MODES.get(backend, ())
    request = Request(backend, "cpu", list(DTYPES), names, given, out, modes=modes)
    child = make_child(request, DTYPES)
    child.command[0] = str(find_python(backend))
    clock = Clock(backend, child)
    try:
        made = record(request, progress, child)
        costs = [clock.stage("record")]
        if "part" in made:
            return costs  # it trains nothing
        runs = runs_of_main_job(request, made["implementations"], quick)
        go_on_to_train(child, runs[0].folder.parent)
        for numerics in dict.fromkeys(run.numerics for run in runs):
            for run in runs:
                if run.numerics == numerics:
                    train(run, child, lambda row, number: None)
            costs.append(clock.stage(f"train, {numerics}"))
        return costs
    finally:
        child.stop()


def judge(out: Path, backends: list[str], quick: bool) -> Cost:
    """The verdict over all of it, in a process of its own, as it has in the main job."""
    command = [sys.executable, "-m", "conformance", "judge", str(out), "--training", "--quiet"]
    command += ["--expect", *backends, *(["--quick"] if quick else [])]
    modes = [mode for backend in backends for mode in CHEAP_MODES.get(backend, ())]
    command += ["--modes", *modes] if modes else []
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        found = f"exit code {ended.returncode}"
        raise BadInput("bench", "--main-job", "a verdict that passes", found)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost("all", "judge", cpu, wall)


def table(costs: list[Cost]) -> Table:
    """A row for each stage, and the sums."""
    rows = Table(title="What the main job costs: one stage after another, each with one thread")
    for column in ("backend", "stage"):
        rows.add_column(column)
    for column in ("CPU s", "wall s", "programs compiled", "compiling s"):
        rows.add_column(column, justify="right")
    for cost in costs:
        programs = "–" if cost.programs is None else f"{cost.programs:,.0f}"
        compiling = "–" if cost.compiling is None else f"{cost.compiling:.1f}"
        rows.add_row(
            cost.who, cost.stage, f"{cost.cpu:.1f}", f"{cost.wall:.1f}", programs, compiling
        )
    total = [sum(cost.cpu for cost in costs), sum(cost.wall for cost in costs)]
    rows.add_section()
    rows.add_row("all", "all", *(f"{seconds:.1f}" for seconds in total), "", "")
    return rows


def bench_main_job(backend: str | None, quick: bool, progress: Progress) -> Table:
    """Measure one backend, or all of the main job, and the judge."""
    names = [check_name(backend)] if backend else [n for n in MODULES if n not in ASKED_FOR]
    with tempfile.TemporaryDirectory() as folder:
        costs = [cost for name in names for cost in measure(name, Path(folder), quick, progress)]
        return table([*costs, judge(Path(folder), names, quick)])
