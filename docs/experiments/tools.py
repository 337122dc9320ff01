"""What the experiments share: texts, one training loop over any backend, and rounded numbers."""

import functools
import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.protocol import Model
from backends.registry import load
from common.corpus import Corpus, minibatches
from common.errors import BadInput
from common.parameters import Arrays, zero_state
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.studies.evaluate import loss_on, perplexity_of

DATA = "DEEP_RNN_DATA"
"""The environment variable that names a folder with timemachine.txt, and books/ with the novels."""

Found = dict[str, Any]


def time_machine(short: bool) -> str | Path:
    """The Time Machine, from the folder that is named or downloaded; if short, the sample."""
    if short:
        return "sample"
    return Path(os.environ[DATA], "timemachine.txt") if os.environ.get(DATA) else "timemachine"


def book(name: str) -> Path:
    """A novel by the name of its file."""
    if not os.environ.get(DATA):
        raise BadInput(DATA, "", f"a folder with books/{name}", "nothing")
    return Path(os.environ[DATA], "books", name)


def reference_only(measure: Callable[[bool], Found]) -> Callable[[str, bool], Found]:
    """For what is measured once, with the NumPy reference; other backends only run the examples."""

    @functools.wraps(measure)
    def measured(backend: str, short: bool) -> Found:
        return rounded(measure(short)) if backend == "numpy" else {}

    return measured


def rounded(value: Any) -> Any:
    """Numbers with five significant digits, as JSON values; null for what is not finite."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.5g}") if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


@dataclass
class Run:
    """A model and how its training went.

    losses, norms: of every step; the loss before the update, the norm before the clip
    """

    spec: ModelSpec
    recipe: Recipe
    model: Model
    dtype: str
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def on(self, tokens: np.ndarray) -> float:
        """The perplexity on a text, without moving a weight."""
        n, T = self.recipe.n, self.recipe.T
        return perplexity_of(loss_on(self.model, self.spec, tokens, n, T, self.dtype))

    def lately(self, steps: int) -> float:
        """The perplexity of the last so many training steps."""
        return perplexity_of(math.fsum(self.losses[-steps:]) / len(self.losses[-steps:]))


def begin(
    spec: ModelSpec,
    recipe: Recipe,
    backend: str = "numpy",
    dtype: str = "float32",
    params: Arrays | None = None,
) -> Run:
    """An untrained model in a backend's own layers, or in NumPy's equations."""
    params = initial_parameters(spec, recipe) if params is None else params
    name = "equations" if backend == "numpy" else "layers"
    model = load(backend).implementation(name, "cpu", dtype).model(spec, params)
    return Run(spec, recipe, model, dtype)


def train(
    run: Run,
    corpus: Corpus,
    steps: int,
    every: int = 0,
    seen: Callable[[Run], None] | None = None,
) -> Run:
    """D2L's loop, for so many steps: the state is zero when an epoch starts and carried within it.
    It stops early if a loss is not finite. ``seen`` is told after ``every`` steps."""
    recipe, zero = run.recipe, zero_state(run.spec, run.recipe.n, run.dtype)
    trainer = run.model.trainer(recipe, zero)
    for number, (new_epoch, X, Y) in enumerate(endless(corpus, recipe), start=1):
        if new_epoch:
            trainer.start(zero)
        step = trainer.step(X, Y)
        run.losses.append(float(step.loss))
        run.norms.append(float(step.norm))
        if every and number % every == 0:
            seen(run)
        if number == steps or not math.isfinite(run.losses[-1] + run.norms[-1]):
            return run
    return run


def endless(corpus: Corpus, recipe: Recipe) -> Iterator[tuple[bool, np.ndarray, np.ndarray]]:
    """Minibatch after minibatch, epoch after epoch; whether it is an epoch's first, X and Y."""
    rng = random.Random(recipe.seed)
    while True:
        new = True
        for X, Y in minibatches(corpus, recipe.n, recipe.T, recipe.order, rng):
            yield new, X, Y
            new = False


def continued(run: Run, corpus: Corpus, prefix: str, characters: int = 50) -> str:
    """The prefix and what the model continues it with: greedily, from a zero state."""
    state = zero_state(run.spec, 1, run.dtype)
    numbers = [int(number) for number in corpus.vocabulary.encode(prefix)]
    for position in range(len(prefix) + characters - 1):
        O, state = run.model.outputs(np.array([[numbers[position]]]), state)
        if position == len(numbers) - 1:
            numbers.append(int(O[0, 0].argmax()))
    return corpus.vocabulary.decode(numbers)


def stack(cell: str, corpus: Corpus, L: int, h: int) -> ModelSpec:
    """A stack over a text's characters; a GRU resets after the matrix product."""
    activations = ("tanh",) * L if cell == "rnn" else ()
    return ModelSpec(
        cell, corpus.q, h, corpus.q, L, activations, "after" if cell == "gru" else None
    )
