"""Mistakes that change a training curve, for measuring what the judge of curves can see.

Each is an implementation around another one (backends/protocol.py), with one thing wrong: in the
recipe that it follows, in what it starts from, or in its step. The inner one is NumPy's.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.protocol import Implementation, Model, Step, Trainer
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec


class Faithful:
    """A trainer that does what the inner one does; the mistakes below change its step."""

    def __init__(self, model: Model, recipe: Recipe, zero: Arrays) -> None:
        self.model, self.recipe, self.zero = model, recipe, zero
        self.inner: Trainer = model.trainer(recipe, zero)

    def start(self, state: Arrays) -> None:
        self.inner.start(state)

    def step(self, X: np.ndarray, Y: np.ndarray) -> Step:
        return self.inner.step(X, Y)

    def parameters(self) -> Arrays:
        return self.inner.parameters()


class StateNotCarried(Faithful):
    """Every minibatch begins with a zero state."""

    def step(self, X: np.ndarray, Y: np.ndarray) -> Step:
        self.start(self.zero)
        return self.inner.step(X, Y)


class LossSummed(Faithful):
    """The gradient is that of the sum over T·n characters, though the loss is shown as their mean.

    With k = T·n, clip(k g, θ) = k clip(g, θ/k), so it is a step with η k and θ/k.
    """

    def __init__(self, model: Model, recipe: Recipe, zero: Arrays) -> None:
        k = self.k = recipe.T * recipe.n
        changes = {"learning_rate": recipe.learning_rate * k, "clip": recipe.clip / k}
        super().__init__(model, dataclasses.replace(recipe, **changes), zero)

    def step(self, X: np.ndarray, Y: np.ndarray) -> Step:
        made = self.inner.step(X, Y)
        return Step(made.loss, float(made.norm) * self.k)


class TwoBiases(Faithful):
    """A gate's bias is the sum of two that are trained: each has the gradient g_b, so it counts
    twice in ‖g‖² and moves their sum twice as far. The step is taken back and done again so."""

    def step(self, X: np.ndarray, Y: np.ndarray) -> Step:
        made = self.inner.step(X, Y)
        scaled, theta = self.inner.gradients(), self.recipe.clip
        before = float(made.norm)
        scale = min(1.0, theta / before)
        # b_xh and b_hh of the reset-after GRU are two already, and the output layer has one.
        doubled = [name for name in scaled if _is_single_bias(name)]
        extra = sum(float(np.vdot(scaled[name], scaled[name])) for name in doubled) / scale**2
        norm = math.sqrt(before**2 + extra)
        again = min(1.0, theta / norm) / scale
        params: Arrays = vars(self.model)["params"]  # of NumPy, which these runs are made with
        for name, g in scaled.items():
            times = (2 if name in doubled else 1) * again
            change = self.recipe.learning_rate * (times - 1)
            params[name] -= np.asarray(change, g.dtype) * g
        return Step(made.loss, norm)


def _is_single_bias(name: str) -> bool:
    return name.startswith("layer") and ".b_" in name and not name.endswith(("b_xh", "b_hh"))


def faster(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, learning_rate=1.05 * recipe.learning_rate)


def unclipped(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, clip=1e9)


Start = tuple[ModelSpec, Arrays]


def forget_bias_of_one(spec: ModelSpec, params: Arrays) -> Start:
    """What Keras does by default, on top of the weights that were given."""
    return spec, {name: a + 1 if name.endswith(".b_f") else a for name, a in params.items()}


def other_reset(spec: ModelSpec, params: Arrays) -> Start:
    """The GRU's other variant, with the same weights; of two candidate biases it has the sum."""
    reset = "before" if spec.reset == "after" else "after"
    found = {}
    for name, array in params.items():
        layer = name.split(".")[0]
        if name.endswith(".b_xh"):
            found[f"{layer}.b_h"] = array + params[f"{layer}.b_hh"]
        elif name.endswith(".b_h"):
            found |= {f"{layer}.b_xh": array, f"{layer}.b_hh": np.zeros_like(array)}
        elif not name.endswith(".b_hh"):
            found[name] = array
    return dataclasses.replace(spec, reset=reset), found


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and with which cells it can be."""

    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    start: Callable[[ModelSpec, Arrays], Start] = lambda spec, params: (spec, params)
    trainer: type[Faithful] = Faithful
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")


MISTAKES = {
    "learning rate 5 % too high": Mistake(recipe=faster),
    "no clip": Mistake(recipe=unclipped),
    "two trainable biases": Mistake(trainer=TwoBiases),
    "state not carried": Mistake(trainer=StateNotCarried),
    "loss summed, not averaged": Mistake(trainer=LossSummed),
    "forget bias of one": Mistake(start=forget_bias_of_one, cells=("lstm",)),
    "other reset": Mistake(start=other_reset, cells=("gru",)),
}


def mistakes_of(spec: ModelSpec) -> dict[str, Mistake]:
    """Those that can be made with a spec's cell."""
    return {name: mistake for name, mistake in MISTAKES.items() if spec.cell in mistake.cells}


@dataclass(frozen=True)
class Mutant:
    """An implementation that makes one mistake."""

    inner: Implementation
    mistake: Mistake

    def unsupported(self, spec: ModelSpec, *needs: bool) -> str | None:
        return self.inner.unsupported(spec, *needs)

    def model(self, spec: ModelSpec, params: Arrays) -> "MutantModel":
        return MutantModel(self.inner.model(*self.mistake.start(spec, params)), self.mistake)


class MutantModel:
    """A model whose trainer makes the mistake; everything else is the inner model's."""

    def __init__(self, inner: Model, mistake: Mistake) -> None:
        self.inner, self.mistake = inner, mistake

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def trainer(self, recipe: Recipe, state: Arrays) -> Faithful:
        return self.mistake.trainer(self.inner, self.mistake.recipe(recipe), state)
