"""``python -m conformance.gpu.members``: many members of an ensemble, in one batch of weights.

A member differs from another in its perturbation, and in what a training mistake changes: weights
at the start, η and θ, whether the state is carried, whether a gate has two biases. These are
numbers, so honest members and those of every mistake train side by side in one program (``Stacked``
of a backend's gpu.py). Written: curves.safetensors, and while it runs a checkpoint.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends import registry
from common.corpus import epochs
from common.errors import BadInput
from common.parameters import Arrays
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from common.storage.files import make_folder
from common.weights import read_arrays, write_arrays
from conformance.calibrate.curve_mutants import (
    MISTAKES,
    LossSummed,
    Mistake,
    StateNotCarried,
    TwoBiases,
    mistakes_of,
)
from conformance.calibrate.ensemble import FRESH, asked
from conformance.run.asked import Run

CURVES, CHECKPOINT = "curves.safetensors", "checkpoint.safetensors"
CHECKPOINT_EVERY = 100
"""Epochs. A hundred members of D2L's size have 330 MB of weights."""

HONEST = "honest"
PARAMETER = "parameter/"


@dataclass(frozen=True)
class Member:
    """kind: HONEST, or the name of a mistake"""

    kind: str
    perturbation: int


def members(spec: ModelSpec, honest: int, each: int) -> list[Member]:
    """Honest members, then so many with each mistake that the spec's cell can make; the
    perturbations are those that ``ensemble --measure`` takes, which no stored member has."""
    found = [Member(HONEST, FRESH + k) for k in range(honest)]
    names = [name for name in mistakes_of(spec) if MISTAKES[name].cells != ("gru",)]
    return found + [Member(name, FRESH + k) for name in names for k in range(each)]


def numbers_of(mistake: Mistake, recipe: Recipe) -> dict[str, float]:
    """What ``member_step`` takes. The sum over T·n instead of the mean, k times as large, is a step
    with η k and θ/k, and the norm is shown k times as large (calibrate/curve_mutants.py)."""
    changed = mistake.recipe(recipe)
    k = recipe.T * recipe.n if mistake.trainer is LossSummed else 1
    return {
        "eta": changed.learning_rate * k,
        "theta": changed.clip / k,
        "carried": 0.0 if mistake.trainer is StateNotCarried else 1.0,
        "second_bias": 1.0 if mistake.trainer is TwoBiases else 0.0,
        "shown": float(k),
    }


def start(spec: ModelSpec, recipe: Recipe, who: list[Member]) -> tuple[Arrays, Arrays]:
    """The members' parameters and numbers, stacked."""
    params, numbers = [], []
    for member in who:
        mistake = Mistake() if member.kind == HONEST else MISTAKES[member.kind]
        own = dataclasses.replace(recipe, perturbation=member.perturbation)
        params.append(mistake.start(spec, initial_parameters(spec, own))[1])
        numbers.append(numbers_of(mistake, recipe))
    stacked = {n: np.stack([p[n] for p in params]).astype("float32") for n in params[0]}
    return stacked, {n: np.array([each[n] for each in numbers], "float32") for n in numbers[0]}


def train(run: Run, who: list[Member], backend: str, device: str, last: int, out: Path) -> Path:
    """Train the members for ``last`` epochs, or go on where the checkpoint was made; returns the
    file of curves."""
    make_folder(out)
    part = registry.load_part(backend, "gpu")
    if part is None or not hasattr(part, "stacked"):
        raise BadInput("--backend", "", "one that stacks training runs", backend)
    params, numbers = start(run.spec, run.recipe, who)
    about = run.settings() | {"members": [dataclasses.astuple(m) for m in who], "last": last}
    about |= {"backend": backend, "device": device, "numerics": "float32", "stacked": len(who)}
    about["passport"] = registry.load(backend).passport(device)
    kept, rows = out / CHECKPOINT, dict[str, list[np.ndarray]](losses=[], norms=[], seconds=[])
    if kept.exists():
        found, metadata = read_arrays(kept, ours=True)
        if metadata["about"] == json.dumps(about):
            rows = {name: by_epoch(found, name) for name in ("losses", "norms")}
            rows["seconds"] = list(found["seconds"])
            params = {n.removeprefix(PARAMETER): a for n, a in found.items() if PARAMETER in n}
    together = part.stacked(run.spec, params, numbers, device)
    wanted = epochs(run.given.corpus, run.recipe, first=len(rows["losses"]))
    for number, batches in enumerate(wanted, start=len(rows["losses"]) + 1):
        if number > last:
            break
        began = time.perf_counter()
        X, Y = (np.stack(arrays) for arrays in zip(*batches, strict=True))
        losses, norms = together.epoch(X, Y)
        rows["losses"].append(losses)
        rows["norms"].append(norms)
        rows["seconds"].append(np.array(time.perf_counter() - began))
        if number % CHECKPOINT_EVERY == 0 and number < last:
            write(out / CURVES, rows, about)
            arrays = {f"{PARAMETER}{n}": a for n, a in together.parameters().items()}
            write(kept, rows, about, arrays)
    write(out / CURVES, rows, about)
    kept.unlink(missing_ok=True)
    return out / CURVES


def write(
    path: Path, rows: dict[str, list[np.ndarray]], about: dict[str, Any], more: Arrays | None = None
) -> None:
    """losses, norms: (steps of all epochs, m)     steps: how many of them each epoch has"""
    arrays = {name: np.concatenate(rows[name]).astype("float32") for name in ("losses", "norms")}
    arrays["steps"] = np.array([len(losses) for losses in rows["losses"]])
    arrays["seconds"] = np.array(rows["seconds"])
    write_arrays(path, arrays | (more or {}), {"about": json.dumps(about)})


def by_epoch(arrays: Arrays, name: str) -> list[np.ndarray]:
    """The losses or the norms, (steps, m) for each epoch."""
    return np.split(arrays[name], np.cumsum(arrays["steps"])[:-1])


def runs_of(path: Path) -> Iterator[tuple[Member, dict[str, Any]]]:
    """Every member of a file of curves, as what a run.json would hold as far as it is judged."""
    arrays, metadata = read_arrays(path, ours=True)
    about = json.loads(metadata["about"])
    whole = len(arrays["steps"]) == about["recipe"]["epochs"]
    pairs = list(zip(by_epoch(arrays, "losses"), by_epoch(arrays, "norms"), strict=True))
    for place, (kind, perturbation) in enumerate(about["members"]):
        run = {name: value for name, value in about.items() if name != "members"}
        run["recipe"] = run["recipe"] | {"perturbation": perturbation}
        rows = [
            {"losses": losses[:, place].tolist(), "norms": norms[:, place].tolist()}
            for losses, norms in pairs
        ]
        yield (
            Member(kind, perturbation),
            run
            | {
                "status": "finished" if whole else "begun",
                "epochs": rows,
            },
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--backend", required=True)
    add("--device", choices=("cpu", "gpu"), required=True)
    add("--recipe", required=True)
    add("--text", required=True)
    add("--honest", type=int, required=True)
    add("--each", type=int, required=True)
    add("--out", type=Path, required=True)
    options = parser.parse_args()
    given = {"recipe": options.recipe, "cell": ["lstm"], "reset": ["after"]}
    run = asked(argparse.Namespace(text=[options.text], **given))[0]
    who = members(run.spec, options.honest, options.each)
    train(run, who, options.backend, options.device, run.recipe.epochs, options.out)


if __name__ == "__main__":
    main()
