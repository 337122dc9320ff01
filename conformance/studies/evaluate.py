"""What a training run came to: numbers from its run.json, and its weights on other texts.

A run's folder is read as run/training.py writes it. Trained weights are evaluated by the NumPy
reference, so that no framework is needed once the training is over. Letters: T time steps, n
examples, q vocabulary entries.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends.protocol import Model
from backends.registry import load
from common.corpus import in_rows
from common.parameters import zero_state
from common.recipe import Recipe
from common.spec import ModelSpec
from common.storage.files import read_json
from common.weights import load_weights
from conformance.cases.given import Given, load_given
from conformance.records.training import perplexity


def training_curve(made: dict[str, Any]) -> list[float]:
    """The perplexity of every epoch, while the weights move."""
    return [perplexity(row) for row in made["epochs"]]


def held_out_curve(made: dict[str, Any]) -> list[float]:
    """The perplexity on all held-out text after every epoch; empty if none was held out."""
    lengths = made.get("held out", {})
    rows = [row["held out"] for row in made["epochs"] if "held out" in row]
    return [perplexity_of(weighted_mean(row, lengths)) for row in rows]


def tokens_per_second(made: dict[str, Any]) -> float:
    """The median over the epochs: the first one may be slow, because a framework compiles in it."""
    return statistics.median(row["tokens"] / row["seconds"] for row in made["epochs"])


def epochs_to(target: float, curve: Sequence[float]) -> float | None:
    """After how many epochs the perplexity first came down to the target; None: never.

    Between two epochs, log perplexity is taken for a straight line, as a picture shows it.
    """
    for epoch, value in enumerate(curve, start=1):
        if value <= target:
            before = curve[epoch - 2] if epoch > 1 else value
            if not math.isfinite(before) or before == value:
                return float(epoch)
            return epoch - math.log(target / value) / math.log(before / value)
    return None


def perplexity_of(loss: float) -> float:
    """exp(loss); infinite where a float64 cannot hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def weighted_mean(values: dict[str, float], weights: dict[str, int]) -> float:
    """The mean of values by name, each counted as often as its weight says."""
    total = math.fsum(value * weights[name] for name, value in values.items())
    return total / sum(weights[name] for name in values)


def loss_on(model: Model, spec: ModelSpec, tokens: np.ndarray, n: int, T: int, dtype: str) -> float:
    """The mean loss (LOSS-1) over a text of more than T tokens; no weight is moved, and the state
    is carried. A short text is read in fewer rows than n, so that rows are ten times T or more."""
    rows = max(1, min(n, len(tokens) // (10 * T)))
    state, total, count = zero_state(spec, rows, dtype), 0.0, 0
    for X, Y in in_rows(tokens, rows, T):
        O, state = model.outputs(X, state)
        O = O.astype("float64")
        shifted = O - O.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shifted, Y[..., None], axis=-1)[..., 0]
        total += float((np.log(np.exp(shifted).sum(axis=-1)) - chosen).sum())
        count += Y.size
    return total / count


def finite(value: Any) -> Any:
    """The same for JSON, which has no infinity: null instead."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def held_out_text(given: Given) -> dict[str, str]:
    """By name, the characters that were held out of each file."""
    decode = given.corpus.vocabulary.decode
    return {name: decode(tokens) for name, tokens in given.held_out.items()}


@dataclass(frozen=True)
class Score:
    """How a model does on texts.

    perplexity: over all of them          characters: how many there are
    unknown:    how many of those the model's vocabulary lacks; they are read as ``<unk>``
    """

    perplexity: float
    characters: int
    unknown: int


@dataclass(frozen=True)
class Trained:
    """A finished run, ready to be evaluated in the precision that it was trained in."""

    spec: ModelSpec
    model: Model
    given: Given
    recipe: Recipe
    dtype: str

    @classmethod
    def read(cls, folder: Path) -> "Trained":
        """Read a run's folder; BadInput if something in it is absent or not whole."""
        made = read_json(folder / "run.json")
        recipe = Recipe.from_json(made["recipe"], folder / "run.json")
        spec, params = load_weights(folder / "weights.safetensors")
        dtype = "float64" if made["numerics"] in ("lattice", "float64") else "float32"
        model = load("numpy").implementation("equations", "cpu", dtype).model(spec, params)
        return cls(spec, model, load_given(folder / "given.safetensors"), recipe, dtype)

    def on(self, texts: dict[str, str]) -> Score:
        """Evaluate on preprocessed texts, each from a zero state, in this model's vocabulary."""
        vocabulary = self.given.corpus.vocabulary
        n, T = self.recipe.n, self.recipe.T
        losses, unknown = {}, 0
        for name, characters in texts.items():
            tokens = vocabulary.encode(characters)
            unknown += int((tokens == 0).sum())
            losses[name] = loss_on(self.model, self.spec, tokens, n, T, self.dtype)
        lengths = {name: len(characters) for name, characters in texts.items()}
        loss = weighted_mean(losses, lengths)
        return Score(perplexity_of(loss), sum(lengths.values()), unknown)
