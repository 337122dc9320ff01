"""The training step: mean loss, clip of the global norm, plain SGD."""

import math

import numpy as np

from backends.numpy.backward import loss_and_gradients
from backends.protocol import Step
from common.parameters import Arrays, parameter_shapes
from common.recipe import Recipe
from common.spec import ModelSpec


def clip(grads: Arrays, theta: float) -> tuple[float, Arrays]:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)"""
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in grads.values()))
    if norm > theta:
        grads = {name: g * np.asarray(theta / norm, g.dtype) for name, g in grads.items()}
    return norm, grads


class Trainer:
    """Parameters and state that one step after another moves (SGD-1: w ← w − η g)."""

    def __init__(self, spec: ModelSpec, params: Arrays, recipe: Recipe, state: Arrays) -> None:
        self.spec, self.recipe = spec, recipe
        self.params = params
        self.state = state
        self.grads: Arrays = {}

    def step(self, X: np.ndarray, Y: np.ndarray) -> Step:
        X = X.astype(self.params["output.b_q"].dtype)
        loss, grads, layers = loss_and_gradients(self.spec, self.params, X, Y, self.state)
        trainable = {name: grads[name] for name in parameter_shapes(self.spec)}
        norm, self.grads = clip(trainable, self.recipe.clip)
        for name, g in self.grads.items():
            self.params[name] -= np.asarray(self.recipe.learning_rate, g.dtype) * g
        self.state = last_state(layers, self.state)
        return Step(loss, norm)

    def gradients(self) -> Arrays:
        return self.grads

    def parameters(self) -> Arrays:
        return {name: array.copy() for name, array in self.params.items()}


def last_state(layers: list, state: Arrays) -> Arrays:
    """The state after the last step, (L, n, h) for each part."""
    return {part: np.stack([getattr(layer, part)[-1] for layer in layers]) for part in state}
