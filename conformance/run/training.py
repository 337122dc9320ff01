"""Train: one run of one implementation, in a worker process, with checkpoints.

    results/training/<backend>-<device>/<implementation>-<cell>-<recipe>-<numerics>/
        run.json               what was trained, every epoch's losses and digest, the prediction
        weights.safetensors    the trained weights (common/weights.py)
        given.safetensors      the text, in numbers
    results/training/<backend>-<device>/worker.log   whatever the framework printed

While it runs, the folder's name begins with a dot and ends in ``.partial``, and it holds
``checkpoint.safetensors``: parameters and epochs so far in one file, so that they always belong
together. The same command goes on from there, bit for bit; other settings are refused. Nobody else
writes the run meanwhile: a file beside it, whose name ends in ``.lock``, is locked.
"""

import platform
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backends.protocol import cores
from common.errors import BadInput
from common.storage.files import (
    check_inside,
    make_folder,
    move,
    remove_folder,
    replace_folder,
    write_json,
)
from common.storage.locks import locked
from common.storage.sums import sealed
from conformance.cases.given import save_given
from conformance.records.checkpoint import check_checkpoint
from conformance.records.training import CHECKPOINT, NUMERICS
from conformance.run.asked import Run
from conformance.run.child import Child, Died
from conformance.run.room import check_answer, check_room
from conformance.run.team import Team

CHECKPOINT_EVERY = 20.0
"""Seconds of training between two checkpoints."""


class Stopped(Exception):
    """A run that cannot go on; its last checkpoint is kept. The message is one line."""


Seen = Callable[[dict[str, Any], int], None]


def follow(run: Run, child: Child | Team) -> dict[str, Any]:
    """Train as a worker that a launcher has started and that is not the first, which writes the
    run; returns the status alone."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.safetensors"
        save_given(given, run.given)
        job = job_of(run, given, Path(folder) / CHECKPOINT)
        try:
            return _run(run, child, job, lambda row, number: None)
        except Died as death:
            return {"status": "crashed", "reason": str(death)}


def train(run: Run, child: Child | Team, seen: Seen) -> dict[str, Any]:
    """Train and write the run; returns what is in run.json. ``seen`` is told of every epoch.

    The worker is started if it is not there, and is left running for the next run.

    A run whose worker dies or hangs, or whose framework raises, is written with the status
    ``crashed``, one that cannot be expressed with ``unsupported``. Raises Stopped if a number is
    not finite any more, BadInput if a checkpoint of other settings is in the way or another process
    writes the run, OSError if the disk is full: then what was there stays.
    """
    make_folder(run.folder.parent)
    with locked(run.lock, run.folder):
        check_inside(run.folder, run.old, run.partial)
        return _train(run, child, seen)


def _train(run: Run, child: Child | Team, seen: Seen) -> dict[str, Any]:
    partial, checkpoint = run.partial, run.partial / CHECKPOINT
    if run.old.exists() and not run.folder.exists():
        move(run.old, run.folder)  # an earlier run was killed between two renames
    if run.fresh:
        remove_folder(partial)
    check_checkpoint(checkpoint, run.settings(), run.spec, run.recipe)
    for leftover in partial.glob(".*.tmp"):
        leftover.unlink()  # of a worker that was killed while it wrote
    fresh = not partial.exists()
    make_folder(partial)
    given = partial / "given.safetensors"
    save_given(given, run.given)
    began = time.monotonic()
    result: dict[str, Any] = {"status": "crashed", "epochs": []}
    try:
        greeting = child.greet()
        if part := greeting.get("part"):
            found = f"{run.backend}, which answers up to the {part['rung']}"
            raise BadInput("--backend", "", "a backend that trains", found)
        if run.implementation not in (there := greeting["implementations"]):
            found = f"no {run.implementation} of {run.backend}"
            raise BadInput("--implementation", "", f"one of {', '.join(there)}", found)
        result["passport"] = greeting["passport"]
        result |= _run(run, child, job_of(run, given, checkpoint), seen)
    except BadInput:
        if fresh and not checkpoint.exists():
            remove_folder(partial)
        raise
    except Died as death:
        result["reason"] = str(death)
    if result["status"] == "crashed":
        check_room(partial)
    result = run.settings() | {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        **result,
    }
    result["passport"] = result.get("passport", {}) | {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cores": cores(),
    }
    result = sealed(result)
    write_json(partial / "run.json", result)
    if result["status"] == "crashed" and (checkpoint.exists() or run.folder.exists()):
        return result  # the same command goes on from the checkpoint; an earlier run stays
    replace_folder(partial, run.folder, run.old)
    (run.folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def job_of(run: Run, given: Path, checkpoint: Path) -> dict[str, Any]:
    """What the worker is asked to begin."""
    return {
        "do": "train",
        "implementation": run.implementation,
        "numerics": run.numerics,
        "dtype": NUMERICS[run.numerics],
        "given": str(given.resolve()),
        "spec": run.spec.to_json(),
        "recipe": run.recipe.to_json(),
        "settings": run.settings(),
        "checkpoint": str(checkpoint.resolve()),
        "digests": run.digests,
    }


def _run(run: Run, child: Child | Team, job: dict[str, Any], seen: Seen) -> dict[str, Any]:
    """The conversation with the worker, from the start to the trained weights."""
    answer = _ask(child, job, run.limit)
    if "unsupported" in answer:
        return {"status": "unsupported", "reason": answer["unsupported"]}
    rows: list[dict[str, Any]] = answer.get("rows", [])
    if rows:
        seen(rows[-1], len(rows))
    saved = time.monotonic()
    while "crashed" not in answer and len(rows) < run.recipe.epochs:
        answer = _ask(child, {"do": "epoch"}, run.limit)
        if "broken" in answer:
            raise _stopped(run, child, len(rows) + 1, answer["broken"])
        if "crashed" in answer:
            break
        rows.append({key: value for key, value in answer.items() if key != "peak MiB"})
        if _differs(run, rows):
            path = str((run.partial / "difference.safetensors").resolve())
            question = {"do": "locate", "expected": list(run.expected), "path": path}
            limit = min(run.limit * run.recipe.epochs, threading.TIMEOUT_MAX)
            answer = _ask(child, question, limit)
            if "crashed" in answer:
                break
        seen(rows[-1], len(rows))
        if time.monotonic() - saved > CHECKPOINT_EVERY:
            _save(run, child)
            saved = time.monotonic()
    if "crashed" in answer:
        return {"status": "crashed", "reason": answer["crashed"], "epochs": rows}
    weights = str((run.partial / "weights.safetensors").resolve())
    ending = {"weights": weights, "prefix": run.prefix, "characters": run.characters}
    answer = _ask(child, {"do": "finish", **ending}, run.limit)
    if "crashed" in answer:
        return {"status": "crashed", "reason": answer["crashed"], "epochs": rows}
    prediction = {"prefix": run.prefix, "text": answer["text"]}
    return {
        "status": "finished",
        "epochs": rows,
        "prediction": prediction,
        "peak MiB": answer["peak MiB"],
    }


def _differs(run: Run, rows: list[dict[str, Any]]) -> bool:
    """Whether the last epoch is the first whose digest is not the expected one."""
    pairs = list(zip(run.expected, (row.get("digest") for row in rows), strict=False))
    unlike = [wanted != found for wanted, found in pairs]
    return len(unlike) == len(rows) and unlike[-1] and not any(unlike[:-1])


def _ask(child: Child | Team, request: dict[str, Any], limit: float) -> dict[str, Any]:
    answer = check_answer(child.ask(request, limit))
    if "bad input" in answer:
        raise BadInput(*answer["bad input"])
    return answer


def _save(run: Run, child: Child | Team) -> None:
    answer = _ask(child, {"do": "save"}, run.limit)
    if "crashed" in answer:
        expected = "expected a checkpoint to be written"
        raise Stopped(f"{run.folder}: {expected}, found {answer['crashed']}; the last one is kept")


def _stopped(run: Run, child: Child | Team, epoch: int, step: int) -> Stopped:
    """What to say of a step that is not finite: the epoch, the step and the tensor."""
    limit = min(run.limit * run.recipe.epochs, threading.TIMEOUT_MAX)
    found = _ask(child, {"do": "diagnose"}, limit)
    if "crashed" in found:
        found = {"step": step, "tensor": f"none that can be named: {found['crashed']}"}
    return Stopped(
        f"{run.folder}: epoch {epoch}, step {found['step']}: expected finite numbers, found "
        f"{found['tensor']}; the checkpoint of epoch {epoch - 1} is kept"
    )
