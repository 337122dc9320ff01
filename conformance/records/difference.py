"""The evidence of a step that left the lattice's common path: ``difference.safetensors`` in a run.

It holds the common parameters and state before the step, the minibatch, and what an implementation
made of it. The worker writes it (worker/step_finder.py), the judge reads it (judge/lattice.py), and
both put the same question: the step as a case of the ladder.
"""

import dataclasses

import numpy as np

from common.corpus import one_hot
from common.parameters import Arrays
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.cases.table import Case, Material

DIFFERENCE = "difference.safetensors"


def replay(
    spec: ModelSpec, recipe: Recipe, params: Arrays, state: Arrays, X: np.ndarray, Y: np.ndarray
) -> tuple[Case, Material]:
    """One step of a training run as a case of the ladder: X (T, n) class numbers, Y (T, n)."""
    plain = dataclasses.replace(recipe, lattice=False, epochs=1)
    T, n = X.shape
    case = Case("replay", spec, n, T, K=1, text=True, recipe=plain)
    inputs = one_hot(X, spec.d, "float64")[None]
    return case, Material(params, inputs, Y[None], state)


def part(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays under ``prefix/``, by the rest of their names."""
    return {
        n.removeprefix(f"{prefix}/"): a for n, a in arrays.items() if n.startswith(f"{prefix}/")
    }
