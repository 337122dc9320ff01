"""Training runs on the lattice in this process: sound ones, and ones with a fault."""

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from backends import registry
from backends.protocol import Forward, Gradients, Step
from common.corpus import load_corpus
from common.lattice import to_lattice
from common.parameters import Arrays, parameter_shapes
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.given import Given
from conformance.judge.replay import Replay
from conformance.judge.required import load_matrix
from conformance.records.witness import Witness
from conformance.run.asked import Run
from conformance.run.training import train
from conformance.worker.step_finder import Locating

SPEC = ModelSpec("lstm", 28, 6, 28, 2)
DTYPES = ("float64", "float32")
RECIPE = Recipe(4.0, 0.3, epochs=4, n=64, T=12, lattice=True)
CORPUS = load_corpus(max_tokens=4000)
"""Enough for five steps of an epoch."""

Change = Callable[[Arrays], Arrays]
ChangeOfMore = Callable[[tuple[Any, ...]], tuple[Any, ...]]
"""Of lengths and dropout, of which there may be none."""


class PlainModel:
    """The NumPy reference, with one change to its gradients, to the parameters that its forward
    pass sees, or to lengths and dropout; the reference that it is held against stays as it is."""

    def __init__(
        self, model: Any, of_gradients: Change, of_parameters: Change, of_more: ChangeOfMore
    ) -> None:
        self.model, self.of_gradients, self.of_parameters = model, of_gradients, of_parameters
        self.of_more = of_more

    def changed(self) -> Any:
        model = registry.load("numpy").implementation("equations", "cpu", "float64")
        return model.model(self.model.spec, self.of_parameters(self.model.parameters()))

    def parameters(self) -> Arrays:
        return self.model.parameters()

    def outputs(self, X: np.ndarray, state: Arrays, *more: Any) -> tuple[np.ndarray, Arrays]:
        return self.changed().outputs(X, state, *self.of_more(more))

    def forward(self, X: np.ndarray, state: Arrays, *more: Any) -> Forward:
        return self.changed().forward(X, state, *self.of_more(more))

    def loss_and_gradients(
        self, X: np.ndarray, Y: np.ndarray, state: Arrays, *more: Any
    ) -> Gradients:
        found = self.changed().loss_and_gradients(X, Y, state, *self.of_more(more))
        return Gradients(found.loss, self.of_gradients(found.gradients))

    def trainer(self, recipe: Recipe, state: Arrays) -> "PlainTrainer":
        return PlainTrainer(self, recipe, state)


class PlainTrainer:
    """The training step over a model's gradients, as EQUATIONS.md has it."""

    def __init__(self, model: PlainModel, recipe: Recipe, state: Arrays) -> None:
        self.model, self.recipe, self.state = model, recipe, state

    def start(self, state: Arrays) -> None:
        self.state = state

    def step(self, X: np.ndarray, Y: np.ndarray, *more: Any) -> Step:
        back = self.model.loss_and_gradients(X, Y, self.state, *more)
        _, self.state = self.model.outputs(X, self.state, *more)
        params = self.model.model.params
        grads = {name: back.gradients[name] for name in params}
        norm = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        scale = self.recipe.clip / norm if norm > self.recipe.clip else 1.0
        self.grads = {name: g * scale for name, g in grads.items()}
        for name, g in self.grads.items():
            params[name] = params[name] - self.recipe.learning_rate * g
        if self.recipe.lattice:
            params.update(to_lattice(params))
            self.state = to_lattice(self.state)
        return Step(back.loss, norm)

    def gradients(self) -> Arrays:
        return self.grads

    def parameters(self) -> Arrays:
        return self.model.parameters()


def same(arrays: Arrays) -> Arrays:
    return arrays


class Implementation:
    """``numpy:equations`` with a fault."""

    def __init__(
        self,
        of_gradients: Change = same,
        of_parameters: Change = same,
        of_more: ChangeOfMore = lambda more: more,
    ) -> None:
        self.changes = of_gradients, of_parameters, of_more

    def unsupported(
        self, spec: ModelSpec, lengths: bool = False, dropout: bool = False
    ) -> str | None:
        return None

    def model(self, spec: ModelSpec, params: Arrays) -> PlainModel:
        made = registry.load("numpy").implementation("equations", "cpu", "float64")
        return PlainModel(made.model(spec, params), *self.changes)


def passport_of(backend: str) -> dict[str, Any]:
    """What a liar would write: the fields of a backend's passport, and nothing true in them."""
    required = load_matrix()[backend]
    passport = dict.fromkeys(required.fields, "of a test") | {"framework": required.framework}
    return passport | ({"tiers": {}} if "tiers" in required.fields else {})


class InProcess:
    """A worker without a process."""

    def __init__(self, backend: str, implementation: Any) -> None:
        self.passport = passport_of(backend)
        self.answers = Locating({("layers", dtype): implementation for dtype in DTYPES})

    def greet(self) -> dict[str, Any]:
        return {"implementations": ["layers"], "passport": self.passport}

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        answer = self.answers.handle(json.loads(json.dumps(request)))
        return json.loads(json.dumps(answer)) | {"peak MiB": 0}


def train_here(
    out: Path, backend: str, implementation: Any, expected: tuple[str, ...] = (), **changes: Any
) -> dict[str, Any]:
    """Train with an implementation of this process, under the name of a backend."""
    options = {"numerics": "lattice", "spec": SPEC, "recipe_name": "quick", "recipe": RECIPE}
    options |= {"given": Given(CORPUS), "prefix": "a", "characters": 3} | changes
    run = Run(backend, "cpu", "layers", out=out, expected=expected, **options)
    return train(run, InProcess(backend, implementation), lambda row, number: None)


def witness(digests: tuple[str, ...]) -> Witness:
    text = {"sha256": CORPUS.sha256, "characters": len(CORPUS.tokens)}
    return Witness("quick-lstm", SPEC, RECIPE, text, list(digests), mean_losses(), [])


@cache
def mean_losses() -> list[float]:
    """Of every epoch, by the oracle."""
    replay = Replay(SPEC, RECIPE, CORPUS)
    return [float(np.mean(replay.epoch().losses)) for _ in range(RECIPE.epochs)]


def scaled(name: str, factor: float) -> Change:
    """One tensor, times a factor."""
    return lambda arrays: arrays | {name: arrays[name] * factor}


assert set(parameter_shapes(SPEC)) >= {"layer1.W_xf", "layer2.W_hi"}
