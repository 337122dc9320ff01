"""Training runs as the judge reads them: ``results/training/<backend>-<device>/<run>/run.json``."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.files import read_json
from conformance.records.schema import check_run, check_suite

NUMERICS = {
    "lattice": "float64",
    "float64": "float64",
    "float32": "float32",
    "tf32": "tf32",
    "mixed": "mixed",
}
"""How numbers are kept, and the dtype that an implementation is made for."""

CHECKPOINT = "checkpoint.safetensors"

FOLDER, COMPARED = "training", "compare"
"""Of training runs, and of those that ``compare`` made: neither holds records."""


@dataclass(frozen=True)
class TrainingRun:
    """One folder of a training run, finished or not."""

    folder: Path
    data: dict[str, Any]
    spec: ModelSpec
    recipe: Recipe

    @property
    def implementation(self) -> str:
        return f"{self.data['backend']}:{self.data['implementation']}"

    @property
    def device(self) -> str:
        """Where it was trained: "cpu", or "cpu × 4" by four workers."""
        workers = self.data.get("workers", 1)
        return self.data["device"] + (f" × {workers}" if workers > 1 else "")

    @property
    def title(self) -> str:
        """What was trained: cell, reset variant and the recipe's name."""
        reset = [self.spec.reset] if self.spec.reset else []
        return "-".join([self.data["recipe name"], self.spec.cell, *reset])

    @property
    def digests(self) -> list[str]:
        """The digest after every epoch; none if the run was not on the lattice."""
        return [row["digest"] for row in self.data["epochs"] if "digest" in row]

    def question(self) -> str:
        """What a run has in common with those that must train alike, however long they are."""
        recipe = self.recipe.to_json() | {"epochs": None}
        text = {key: self.data["text"].get(key) for key in ("sha256", "characters")}
        return json.dumps([self.spec.to_json(), recipe, text])


def load_runs(results: Path, damaged: list[BadInput] | None = None) -> list[TrainingRun]:
    """Every run below a results folder, by name; none if nothing was trained.

    damaged: is told of those that cannot be read; without it, the first one raises

    Raises BadInput if one is not whole, of another version of the suite, or was interrupted.
    """
    found: list[TrainingRun] = []
    for folder in sorted(results.glob(f"{FOLDER}/*/*")):
        if not folder.is_dir():
            continue
        name = folder.name.removeprefix(".").removesuffix(".partial").removesuffix(".old")
        if folder.name.startswith("."):
            if not (folder.parent / name).exists():
                text = "one that was interrupted (the same train command continues it)"
                raise BadInput(folder, "", "a whole run", text)
            continue
        try:
            found.append(load_run(folder))
        except BadInput as error:
            if damaged is None:
                raise
            damaged.append(error)
    return found


def has_runs(results: Path) -> bool:
    """Whether anything was trained, or begun, below a results folder."""
    return any(path.is_dir() for path in results.glob(f"{FOLDER}/*/*"))


def load_run(folder: Path) -> TrainingRun:
    """One run; BadInput if its run.json is missing or not whole."""
    path = folder / "run.json"
    data = read_json(path)
    check_suite(path, data)
    check_run(path, data)
    spec = ModelSpec.from_json(data["spec"], path)
    recipe = Recipe.from_json(data["recipe"], path)
    if data["status"] == "finished" and len(data["epochs"]) != recipe.epochs:
        raise BadInput(path, "epochs", f"{recipe.epochs} of them", len(data["epochs"]))
    return TrainingRun(folder, data, spec, recipe)


def perplexity(row: dict[str, Any]) -> float:
    """exp(Σ loss·tokens / Σ tokens) over an epoch (PPL-1); its minibatches are all of one size, or
    count alike where examples end with whole words. Infinite where a float64 cannot hold it."""
    mean = math.fsum(row["losses"]) / len(row["losses"])
    try:
        return math.exp(mean)
    except OverflowError:
        return math.inf
