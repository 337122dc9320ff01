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

import json
import math
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backends.registry import check_name
from common import SUITE_VERSION
from common.errors import BadInput
from common.files import write_json
from common.recipe import Recipe
from common.spec import ModelSpec
from common.weights import read_arrays
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

GPU_ONLY = ("tf32", "mixed")
CHECKPOINT_EVERY = 20.0
"""Seconds of training between two checkpoints."""

EPOCH_LIMIT = 1800.0
"""Seconds for one epoch; one over a whole book takes minutes."""

FOLDER = "training"


@dataclass(frozen=True)
class Run:
    """What is to be trained.

    recipe_name: what the recipe is called in names of folders     prefix: what a text begins with
    characters:  how many more are predicted     digests: after every "epoch" or every "step"
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
        }


class Stopped(Exception):
    """A run that cannot go on; its last checkpoint is kept. The message is one line."""


def check(run: Run) -> None:
    """BadInput for what can be known before a framework is loaded."""
    check_name(run.backend)
    if run.numerics in GPU_ONLY and run.device != "gpu":
        raise BadInput("--numerics", run.numerics, "--device gpu", run.device)
    vocabulary = run.given.corpus.vocabulary
    if not run.prefix:
        raise BadInput("--prefix", "", "at least one character", "none")
    for character in run.prefix:
        if character not in vocabulary.tokens:
            text = f"a character of {run.given.corpus.name}"
            raise BadInput("--prefix", "", text, repr(character))
    needed = run.recipe.T * (run.recipe.n + 1) + 1
    if len(run.given.corpus.tokens) < needed:
        expected = (
            f"at least {needed} characters for minibatches of {run.recipe.n} x {run.recipe.T}"
        )
        raise BadInput(run.given.corpus.name, "", expected, len(run.given.corpus.tokens))
    for name, tokens in run.given.held_out.items():
        if len(tokens) <= run.recipe.T:
            expected = f"more than {run.recipe.T} characters held out"
            raise BadInput(name, "--held-out", expected, len(tokens))


def make_child(runs: list[Run]) -> Child:
    """One worker for runs of one backend, on one device, with as many threads."""
    first = runs[0]
    dtypes = list(dict.fromkeys(NUMERICS[run.numerics] for run in runs))
    folder = first.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "worker.log"
    return Child(first.backend, first.device, dtypes, first.threads, None, log)


def train(run: Run, child: Child, seen: Callable[[dict[str, Any], int], None]) -> dict[str, Any]:
    """Train and write the run; returns what is in run.json. ``seen`` is told of every epoch.

    The worker is started if it is not there, and is left running for the next run.

    A run whose worker dies or hangs, or whose framework raises, is written with the status
    ``crashed``, one that cannot be expressed with ``unsupported``. Raises Stopped if a number is
    not finite any more, BadInput if a checkpoint of other settings is in the way.
    """
    check(run)
    partial, checkpoint = run.partial, run.partial / "checkpoint.safetensors"
    if run.fresh:
        shutil.rmtree(partial, ignore_errors=True)
    _check_checkpoint(checkpoint, run)
    fresh = not partial.exists()
    partial.mkdir(parents=True, exist_ok=True)
    given = partial / "given.safetensors"
    save_given(given, run.given)
    began = time.monotonic()
    result: dict[str, Any] = {"status": "crashed", "epochs": []}
    try:
        result["passport"] = child.greet()["passport"]
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
        if fresh:
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
    if result["status"] == "crashed" and checkpoint.exists():
        return result  # the same command goes on from the checkpoint
    checkpoint.unlink(missing_ok=True)
    shutil.rmtree(run.folder, ignore_errors=True)
    partial.rename(run.folder)
    return result


def _run(
    run: Run, child: Child, job: dict[str, Any], seen: Callable[[dict[str, Any], int], None]
) -> dict[str, Any]:
    """The conversation with the worker, from the start to the trained weights."""
    answer = _ask(child, job, run.limit)
    if "unsupported" in answer:
        return {"status": "unsupported", "reason": answer["unsupported"]}
    rows: list[dict[str, Any]] = answer.get("rows", [])
    for number, row in enumerate(rows, start=1):
        seen(row, number)
    saved = time.monotonic()
    try:
        while "crashed" not in answer and len(rows) < run.recipe.epochs:
            answer = _ask(child, {"do": "epoch"}, run.limit)
            if "broken" in answer:
                raise _stopped(run, child, len(rows) + 1, answer["broken"])
            if "crashed" in answer:
                break
            rows.append({key: value for key, value in answer.items() if key != "peak MiB"})
            seen(rows[-1], len(rows))
            if time.monotonic() - saved > CHECKPOINT_EVERY:
                _ask(child, {"do": "save"}, run.limit)
                saved = time.monotonic()
    except KeyboardInterrupt:
        if child.process is not None and rows:
            _ask(child, {"do": "save"}, run.limit)
        raise
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


def _ask(child: Child, request: dict[str, Any], limit: float) -> dict[str, Any]:
    answer = child.ask(request, limit)
    if "bad input" in answer:
        raise BadInput(*answer["bad input"])
    if "system" in answer:
        raise OSError(0, answer["system"][1], answer["system"][0])
    return answer


def _stopped(run: Run, child: Child, epoch: int, step: int) -> Stopped:
    """What to say of a step that is not finite: the epoch, the step and the tensor."""
    found = _ask(child, {"do": "diagnose"}, run.limit * run.recipe.epochs)
    if "crashed" in found:
        found = {"step": step, "tensor": f"none that can be named: {found['crashed']}"}
    return Stopped(
        f"{run.folder}: epoch {epoch}, step {found['step']}: expected finite numbers, found "
        f"{found['tensor']}; the checkpoint of epoch {epoch - 1} is kept"
    )


def _check_checkpoint(path: Path, run: Run) -> None:
    """BadInput if a checkpoint is there that was made with other settings, or is not whole."""
    if not path.exists():
        return
    _, metadata = read_arrays(path)
    try:
        found = json.loads(metadata["settings"])
        json.loads(metadata["rows"])
    except (KeyError, ValueError) as error:
        raise BadInput(path, "metadata", "settings and epochs", repr(error)) from None
    for field, expected in run.settings().items():
        if found.get(field) != expected:
            wanted, there = _difference(expected, found.get(field))
            hint = f"{wanted} (--fresh starts anew)"
            raise BadInput(path, field, hint, there)


def _difference(expected: Any, found: Any) -> tuple[Any, Any]:
    """Of two objects, the first field in which they differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if found.get(key) != value:
                return f"{key} {value}", f"{key} {found.get(key)}"
    return expected, found


def perplexity(row: dict[str, Any]) -> float:
    """exp(Σ loss·tokens / Σ tokens) over an epoch; its minibatches are all of one size.
    Infinite where a float64 cannot hold it."""
    mean = math.fsum(row["losses"]) / len(row["losses"])
    try:
        return math.exp(mean)
    except OverflowError:
        return math.inf
