"""Train: one run of one implementation, in a worker process, with checkpoints.

    results/training/<backend>-<device>/<implementation>-<cell>-<recipe>-<numerics>/
        run.json               what was trained, every epoch's losses and digest, the prediction
        weights.safetensors    the trained weights (common/weights.py)
        given.safetensors      the text, in numbers
    results/training/<backend>-<device>/worker.log   whatever the framework printed

While it runs, the folder's name begins with a dot and ends in ``.partial``, and it holds
``checkpoint.safetensors``: parameters and epochs so far in one file, so that they always belong
together. The same command goes on from there, bit for bit; other settings are refused.
"""

import math
import platform
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from common import SUITE_VERSION
from common.errors import BadInput
from common.files import write_json
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.checkpoint import check_checkpoint
from conformance.child import Child, Died, cores
from conformance.given import Given, save_given

NUMERICS = {
    "lattice": "float64",
    "float64": "float64",
    "float32": "float32",
    "tf32": "tf32",
    "mixed": "mixed",
}
"""How numbers are kept, and the dtype that an implementation is made for."""

CHECKPOINT_EVERY = 20.0
"""Seconds of training between two checkpoints."""

EPOCH_LIMIT = 1800.0
"""Seconds for one epoch; one over a whole book takes minutes."""

FOLDER, COMPARED = "training", "compare"
"""Of training runs, and of those that ``compare`` made: neither holds records."""


@dataclass(frozen=True)
class Run:
    """What is to be trained.

    recipe_name: what the recipe is called in names of folders     prefix: what a text begins with
    characters:  how many more are predicted     digests: after every "epoch" or every "step"
    expected:    the digests that a run on the lattice must have; at the first that differs, the
                 step is found and written to difference.safetensors (locate.py)
    """

    backend: str
    device: str
    implementation: str
    numerics: str
    spec: ModelSpec
    recipe_name: str
    recipe: Recipe
    given: Given
    out: Path
    prefix: str
    characters: int = 50
    threads: int = 1
    digests: str = "epoch"
    limit: float = EPOCH_LIMIT
    fresh: bool = False
    expected: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        reset = f"-{self.spec.reset}" if self.spec.reset else ""
        cell = f"{self.implementation}-{self.spec.cell}{reset}"
        return f"{cell}-{self.recipe_name}-{self.numerics}"

    @property
    def folder(self) -> Path:
        return self.out / FOLDER / f"{self.backend}-{self.device}" / self.name

    @property
    def partial(self) -> Path:
        return self.folder.with_name(f".{self.name}.partial")

    @property
    def old(self) -> Path:
        return self.folder.with_name(f".{self.name}.old")

    def settings(self) -> dict[str, Any]:
        """What a run that is resumed must have in common with the one that was interrupted."""
        corpus = self.given.corpus
        return {
            "suite": SUITE_VERSION,
            "backend": self.backend,
            "device": self.device,
            "implementation": self.implementation,
            "numerics": self.numerics,
            "spec": self.spec.to_json(),
            "recipe name": self.recipe_name,
            "recipe": self.recipe.to_json(),
            "text": self.given.text() | {"characters": len(corpus.tokens)},
            "held out": {name: len(tokens) for name, tokens in self.given.held_out.items()},
            "threads": self.threads,
            "digests": self.digests,
        }


class Stopped(Exception):
    """A run that cannot go on; its last checkpoint is kept. The message is one line."""


def train(run: Run, child: Child, seen: Callable[[dict[str, Any], int], None]) -> dict[str, Any]:
    """Train and write the run; returns what is in run.json. ``seen`` is told of every epoch.

    The worker is started if it is not there, and is left running for the next run.

    A run whose worker dies or hangs, or whose framework raises, is written with the status
    ``crashed``, one that cannot be expressed with ``unsupported``. Raises Stopped if a number is
    not finite any more, BadInput if a checkpoint of other settings is in the way.
    """
    partial, checkpoint = run.partial, run.partial / "checkpoint.safetensors"
    if run.old.exists() and not run.folder.exists():
        run.old.rename(run.folder)  # an earlier run was killed between two renames
    if run.fresh:
        shutil.rmtree(partial, ignore_errors=True)
    check_checkpoint(checkpoint, run.settings(), run.spec, run.recipe)
    for leftover in partial.glob(".*.tmp"):
        leftover.unlink()  # of a worker that was killed while it wrote
    fresh = not partial.exists()
    partial.mkdir(parents=True, exist_ok=True)
    given = partial / "given.safetensors"
    save_given(given, run.given)
    began = time.monotonic()
    result: dict[str, Any] = {"status": "crashed", "epochs": []}
    try:
        greeting = child.greet()
        if run.implementation not in (there := greeting["implementations"]):
            found = f"no {run.implementation} of {run.backend}"
            raise BadInput("--implementation", "", f"one of {', '.join(there)}", found)
        result["passport"] = greeting["passport"]
        job = {
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
        result |= _run(run, child, job, seen)
    except BadInput:
        if fresh and not checkpoint.exists():
            shutil.rmtree(partial)
        raise
    except Died as death:
        result["reason"] = str(death)
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
    write_json(partial / "run.json", result)
    if result["status"] == "crashed" and (checkpoint.exists() or run.folder.exists()):
        return result  # the same command goes on from the checkpoint; an earlier run stays
    _put_in_place(run)
    return result


def _put_in_place(run: Run) -> None:
    """Replace an earlier run by the new one; at no time is there half of one, or none."""
    shutil.rmtree(run.old, ignore_errors=True)
    if run.folder.exists():
        run.folder.rename(run.old)
    run.partial.rename(run.folder)
    (run.folder / "checkpoint.safetensors").unlink(missing_ok=True)
    shutil.rmtree(run.old, ignore_errors=True)


def _run(
    run: Run, child: Child, job: dict[str, Any], seen: Callable[[dict[str, Any], int], None]
) -> dict[str, Any]:
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


def _ask(child: Child, request: dict[str, Any], limit: float) -> dict[str, Any]:
    answer = child.ask(request, limit)
    if "bad input" in answer:
        raise BadInput(*answer["bad input"])
    if "system" in answer:
        raise OSError(0, answer["system"][1], answer["system"][0])
    return answer


def _save(run: Run, child: Child) -> None:
    answer = _ask(child, {"do": "save"}, run.limit)
    if "crashed" in answer:
        expected = "expected a checkpoint to be written"
        raise Stopped(f"{run.folder}: {expected}, found {answer['crashed']}; the last one is kept")


def _stopped(run: Run, child: Child, epoch: int, step: int) -> Stopped:
    """What to say of a step that is not finite: the epoch, the step and the tensor."""
    limit = min(run.limit * run.recipe.epochs, threading.TIMEOUT_MAX)
    found = _ask(child, {"do": "diagnose"}, limit)
    if "crashed" in found:
        found = {"step": step, "tensor": f"none that can be named: {found['crashed']}"}
    return Stopped(
        f"{run.folder}: epoch {epoch}, step {found['step']}: expected finite numbers, found "
        f"{found['tensor']}; the checkpoint of epoch {epoch - 1} is kept"
    )


def perplexity(row: dict[str, Any]) -> float:
    """exp(Σ loss·tokens / Σ tokens) over an epoch (PPL-1); its minibatches are all of one size.
    Infinite where a float64 cannot hold it."""
    mean = math.fsum(row["losses"]) / len(row["losses"])
    try:
        return math.exp(mean)
    except OverflowError:
        return math.inf
