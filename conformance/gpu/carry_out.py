"""Every stage of the plan in processes of its own, with a time limit; what came of it is written at
once, so that a stop loses nothing and the same command goes on.

    OUT/stages/<stage>.json    status, seconds, and the exit codes of every process
    OUT/logs/<stage>-<process>.log
    OUT/<…>                    what the stage's commands write
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common.storage.files import make_folder, read_json, write_json
from common.storage.reading import is_object
from conformance.gpu.estimate import seconds as estimated
from conformance.gpu.plan import Plan, Process, Stage

DONE, STOPPED, LEFT = "done", "stopped", "no time was left"

STAGES, LOGS = "stages", "logs"
TAIL = 2000
"""Characters of a log's end, kept of a process that did not end well."""

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # JAX would take three quarters of the device's memory, and processes run side by side.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
QUICK = {"XLA_FLAGS": "--xla_gpu_autotune_level=0"}
"""Of processes that compile hundreds of small programs."""


@dataclass(frozen=True)
class Terms:
    """How a plan is carried out.

    out:     where everything is written     seconds: for all stages together
    pythons: by backend, the interpreter that has its framework, where it is not this one
    only:    names of stages; none: all     careful: no stage begins whose estimate does not fit
    jobs:    so many processes side by side, at most     patience: how many times the limits
    """

    out: Path
    seconds: float
    pythons: dict[str, str]
    only: tuple[str, ...] = ()
    careful: bool = True
    jobs: int = 64
    patience: float = 1.0


def carry_out(
    plan: Plan, terms: Terms, say: Callable[[str], None], after: Callable[[], None]
) -> dict[str, str]:
    """Run the stages that are not done yet, in their order; returns the status of each.

    after: called when a stage has ended and its result is written
    """
    began, statuses = time.monotonic(), {}
    make_folder(terms.out / STAGES)
    make_folder(terms.out / LOGS)
    going: dict[str, Future[dict[str, Any]]] = {}

    def end(name: str, result: dict[str, Any]) -> None:
        write_json(terms.out / STAGES / f"{name}.json", result)
        statuses[name] = result["status"]
        say(f"{name}: {result['status']} after {result['seconds']:.0f} s: {codes(result)}")
        after()

    def wait() -> None:
        for name in list(going):
            end(name, going.pop(name).result())

    with ThreadPoolExecutor() as beside:
        for stage in plan.stages:
            if terms.only and stage.name not in terms.only:
                continue
            if status_in(terms.out / STAGES / f"{stage.name}.json") == DONE:
                statuses[stage.name] = DONE
                continue
            if stage.alone:
                wait()
            left = terms.seconds - (time.monotonic() - began)
            if left <= 0 or (terms.careful and estimated(stage) > left):
                statuses[stage.name] = LEFT
                say(f"{stage.name}: {LEFT}: {max(left, 0):.0f} s")
                continue
            limit = min(stage.limit * terms.patience, left)
            if stage.beside:
                going[stage.name] = beside.submit(carry_out_stage, stage, limit, terms)
            else:
                end(stage.name, carry_out_stage(stage, limit, terms))
        wait()
    return statuses


def status_in(path: Path) -> str | None:
    """What a stage's result says, if there is one."""
    found = read_json(path) if path.exists() else None
    return found.get("status") if is_object(found) else None


def codes(result: dict[str, Any]) -> str:
    """The exit codes of every process, in a line."""
    rows = result["processes"].items()
    return ", ".join(f"{name} {'/'.join(map(str, row['codes']))}" for name, row in rows)


def carry_out_stage(stage: Stage, limit: float, terms: Terms) -> dict[str, Any]:
    """Run a stage's processes side by side, each until the limit at the latest."""
    began = time.monotonic()
    follow = partial(run, stage=stage, deadline=began + limit, terms=terms)
    with ThreadPoolExecutor(min(terms.jobs, len(stage.processes))) as pool:
        found = pool.map(follow, stage.processes)
        rows = {p.name: row for p, row in zip(stage.processes, found, strict=True)}
    whole = all(row["status"] == DONE for row in rows.values())
    return {
        "stage": stage.name,
        "about": stage.about,
        "status": DONE if whole else STOPPED,
        "seconds": round(time.monotonic() - began, 1),
        "limit": limit,
        "estimate": round(estimated(stage), 1),
        "processes": rows,
    }


def run(process: Process, stage: Stage, deadline: float, terms: Terms) -> dict[str, Any]:
    """Run a process' commands one after another. A command's exit code is a result like any other,
    and the next one runs: what was recorded with a crash is judged as well."""
    began, exits, status = time.monotonic(), [], DONE
    log = terms.out / LOGS / f"{stage.name}-{process.name}.log"
    with open(log, "ab") as file:
        for words in process.commands:
            command = [interpreter(words, terms), *words]
            environment = os.environ | ENVIRONMENT | (QUICK if process.quick else {})
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, process_group=0
            )
            try:
                exits.append(child.wait(max(deadline - time.monotonic(), 0.1)))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # workers end with their parent
                child.wait()
                status = STOPPED
                break
    row: dict[str, Any] = {"status": status, "codes": exits}
    row["seconds"] = round(time.monotonic() - began, 1)
    if status != DONE or any(exits):
        text = log.read_text(encoding="utf-8", errors="replace").replace(f"{ROOT}/", "")
        row["log"] = text[-TAIL:]
    return row


def interpreter(words: tuple[str, ...], terms: Terms) -> str:
    """The Python that has the framework of a command's backend."""
    named = words[words.index("--backend") + 1] if "--backend" in words else ""
    return terms.pythons.get(named, sys.executable)
