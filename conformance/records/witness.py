"""Witnesses: digest lists of training runs on the lattice, each confirmed by three frameworks.

A witness is a JSON file without any text: the spec and the recipe, the text's hash, and for every
epoch the mean loss and the digest of the parameters. Any framework, version or device can be held
against it alone, long after the frameworks that made it can no longer be installed.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.files import read_json
from common.storage.reading import is_object
from common.storage.shape import check_shape
from conformance.records.training import TrainingRun

WITNESSES = Path(__file__).with_name("witnesses")
FORMAT = "deep-rnn-witness-1"
SHAPE = {
    "spec": dict,
    "recipe": dict,
    "text": {"sha256": str, "characters": int},
    "confirmed": [{"implementation": str, "device": str, "epochs": int, "passport": dict}],
    "epochs": [{"digest": str, "loss": float}],
}
REFERENCE = "numpy"
CONFIRMATIONS = 3
"""So many frameworks, NumPy's reference not counted, must agree before a witness is stored."""


@dataclass(frozen=True)
class Witness:
    """digests, losses: one for each epoch     confirmed: who trained it, and how far"""

    name: str
    spec: ModelSpec
    recipe: Recipe
    text: dict[str, Any]
    digests: list[str]
    losses: list[float]
    confirmed: list[dict[str, Any]]

    @property
    def recipe_name(self) -> str:
        """What comes before the cell in its name."""
        return self.name.partition(f"-{self.spec.cell}")[0]


def load_witness(path: Path) -> Witness:
    """Read a witness; BadInput if it is not whole."""
    data = read_json(path)
    if not is_object(data) or data.get("format") != FORMAT:
        raise BadInput(path, "format", FORMAT, repr(data)[:40])
    check_shape(data, SHAPE, path)
    if not data["confirmed"]:
        raise BadInput(path, "confirmed", "who confirms it", "nobody")
    spec, recipe = ModelSpec.from_json(data["spec"], path), Recipe.from_json(data["recipe"], path)
    digests, losses = ([row[k] for row in data["epochs"]] for k in ("digest", "loss"))
    found = Witness(path.stem, spec, recipe, data["text"], digests, losses, data["confirmed"])
    if len(digests) != recipe.epochs:
        raise BadInput(path, "epochs", f"{recipe.epochs} of them", len(digests))
    return found


def load_witnesses(folder: Path = WITNESSES) -> list[Witness]:
    """Every stored witness, by name."""
    return [load_witness(path) for path in sorted(folder.glob("*.json"))]


def find_witness(
    spec: ModelSpec, recipe: Recipe, text: dict[str, Any], witnesses: list[Witness]
) -> Witness | None:
    """The witness of this spec, recipe and text; the number of epochs may differ."""
    for witness in witnesses:
        alike = witness.recipe.to_json() | {"epochs": recipe.epochs} == recipe.to_json()
        same_text = all(witness.text[key] == text.get(key) for key in ("sha256", "characters"))
        if witness.spec == spec and alike and same_text:
            return witness
    return None


def make_witnesses(runs: list[TrainingRun]) -> dict[str, dict[str, Any]]:
    """A witness, as JSON values, for every question that enough frameworks answered alike.

    Raises BadInput if two runs of one question differ, or if too few frameworks confirm one.
    """
    questions: dict[str, list[TrainingRun]] = {}
    for run in runs:
        if run.recipe.lattice and run.data["status"] == "finished":
            questions.setdefault(run.question(), []).append(run)
    made: dict[str, dict[str, Any]] = {}
    for same in questions.values():
        longest = max(same, key=lambda run: len(run.digests))
        for run in same:
            for epoch, (own, other) in enumerate(
                zip(run.digests, longest.digests, strict=False), 1
            ):
                if own != other:
                    expected = f"{other[:12]} as in {longest.folder}"
                    raise BadInput(run.folder, f"digest of epoch {epoch}", expected, own[:12])
        whole = {run.data["backend"] for run in same if len(run.digests) == len(longest.digests)}
        frameworks = whole - {REFERENCE}
        if len(frameworks) < CONFIRMATIONS:
            expected = f"whole runs by {CONFIRMATIONS} frameworks"
            raise BadInput(longest.folder, longest.title, expected, sorted(frameworks))
        made[longest.title] = _to_json(longest, same)
    return made


def confirm(runs: list[TrainingRun], folder: Path) -> dict[str, dict[str, Any]]:
    """Stored witnesses, as JSON values, with those of the runs added that confirm one: a framework
    that came later, or another version or device. Digests and losses stay as they are.

    Raises BadInput if a run has another digest. A run that nothing is stored about is left alone.
    """
    stored = load_witnesses(folder)
    made: dict[str, dict[str, Any]] = {}
    for run in runs:
        if not (run.recipe.lattice and run.data["status"] == "finished"):
            continue
        witness = find_witness(run.spec, run.recipe, run.data["text"], stored)
        if witness is None:
            continue
        for epoch, (own, other) in enumerate(zip(run.digests, witness.digests, strict=False), 1):
            if own != other:
                raise BadInput(run.folder, f"digest of epoch {epoch}", other[:12], own[:12])
        new = _confirmation(run)
        new["epochs"] = min(len(run.digests), len(witness.digests))
        data = made.setdefault(witness.name, read_json(folder / f"{witness.name}.json"))
        others = [old for old in data["confirmed"] if _who(old) != _who(new)]
        data["confirmed"] = sorted([*others, new], key=_who)
    return made


def _who(confirmation: dict[str, Any]) -> tuple[str, str, str]:
    """A later run of the same implementation, device and version takes the earlier one's place."""
    version = str(confirmation["passport"].get("version"))
    return confirmation["implementation"], confirmation["device"], version


def _confirmation(run: TrainingRun) -> dict[str, Any]:
    return {
        "implementation": run.implementation,
        "device": run.device,
        "epochs": len(run.digests),
        "threads": run.data["threads"],
        "made": run.data["made"],
        "passport": run.data["passport"],
    }


def _to_json(longest: TrainingRun, same: list[TrainingRun]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "spec": longest.spec.to_json(),
        "recipe": longest.recipe.to_json(),
        "text": {key: longest.data["text"][key] for key in ("sha256", "characters")},
        "confirmed": [
            _confirmation(run) for run in sorted(same, key=lambda run: run.implementation)
        ],
        "epochs": [
            {"loss": math.fsum(row["losses"]) / len(row["losses"]), "digest": row["digest"]}
            for row in longest.data["epochs"]
        ],
    }
