"""The training step: mean loss, clip of the global norm, plain SGD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backends.numpy.backward import loss_and_gradients
from backends.numpy.equations import stacked
from backends.protocol import Step
from common.dropout import Dropout, check_dropout
from common.lattice import to_lattice
from common.lengths import steps_within
from common.parameters import Arrays, parameter_shapes
from common.recipe import Recipe
from common.spec import ModelSpec

if TYPE_CHECKING:
    from backends.numpy import Model


def clip(grads: Arrays, theta: float) -> tuple[float, Arrays]:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)

    ``sum`` adds in pairs: ``vdot`` lost 6e-6 of a float32 norm over 640,000 elements."""
    norm = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
    if norm > theta:
        grads = {name: g * np.asarray(theta / norm, g.dtype) for name, g in grads.items()}
    return norm, grads


class Trainer:
    """Parameters and state that one step after another moves (SGD-1: w ← w − η g)."""

    def __init__(self, model: Model, recipe: Recipe, state: Arrays) -> None:
        self.model, self.recipe = model, recipe
        self.grads: Arrays = {}
        self.start(state)

    def start(self, state: Arrays) -> None:
        self.state = {part: array.astype(self.model.dtype) for part, array in state.items()}

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        spec, params = self.model.spec, self.model.params
        more = own_steps(X, lengths), self.model.kept(X, dropout)
        given = self.model.inputs(X), Y, self.state, *more
        loss, grads, layers = loss_and_gradients(spec, params, *given)
        trainable = {name: grads[name] for name in parameter_shapes(spec)}
        norm, self.grads = clip(trainable, self.recipe.clip)
        for name, g in self.grads.items():
            params[name] -= np.asarray(self.recipe.learning_rate, g.dtype) * g
        self.state = last_state(layers, self.state)
        if self.recipe.lattice:
            params.update(to_lattice(params))
            self.state = to_lattice(self.state)
        return Step(loss, norm)

    def gradients(self) -> Arrays:
        return self.grads

    def parameters(self) -> Arrays:
        return self.model.parameters()


def own_steps(X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray | None:
    """(T, n, 1): where a step is the example's own   (LEN-1)"""
    T, n = X.shape[:2]
    return None if lengths is None else steps_within(lengths, n, T)[..., None]


def kept_of(
    spec: ModelSpec, X: np.ndarray, dropout: Dropout | None, dtype: str
) -> list[np.ndarray]:
    """M / (1 − r) of every layer but the last, (T, n, D·h) each; none if nothing is dropped
    (DROP-1)"""
    if dropout is None:
        return []
    T, n = X.shape[:2]
    checked = check_dropout(dropout, spec, n, T)
    masks = (mask.astype(dtype) for mask in checked.by_layer(spec))
    return [mask / np.asarray(1 - checked.rate, dtype) for mask in masks]


def last_state(layers: list, state: Arrays) -> Arrays:
    """The state after the last step that each layer reads, (L, n, h) for each part."""
    return {part: stacked([getattr(layer, part)[-1] for layer in layers]) for part in state}
