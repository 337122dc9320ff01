"""Both directions: the exercises, on small stacks."""

import math
import sys

import numpy as np

from backends import registry
from common.parameters import initialise, parameter_shapes, zero_state
from common.spec import ModelSpec
from docs.experiments import run


def of(directions: int, h: int = 8) -> ModelSpec:
    return ModelSpec("lstm", d=6, h=h, q=5, L=2, directions=directions)


def solution_1(backend: str) -> None:
    """The last input is changed: in which steps are the outputs others?"""
    X = np.random.RandomState(1).standard_normal((6, 1, 6))
    other = X.copy()
    other[-1] += 1
    for directions in (1, 2):
        spec = of(directions)
        model = registry.load(backend).implementation("equations", "cpu", "float64")
        model = model.model(spec, initialise(spec, "uniform", 1))
        O, _ = model.outputs(X, zero_state(spec, 1, "float64"))
        changed = (model.outputs(other, zero_state(spec, 1, "float64"))[0] != O).any(axis=(1, 2))
        print(f"{directions} direction(s):", *(f"t={t + 1}" for t in range(6) if changed[t]))


def solution_2(backend: str) -> None:
    """How many numbers: two directions of h, and one direction of 2h."""
    for name, spec in (("two of 8", of(2)), ("one of 16", of(1, 16))):
        print(f"{name}: {sum(math.prod(shape) for shape in parameter_shapes(spec).values())}")


def main(words: list[str] | None = None) -> int:
    return run("both-directions", (solution_1, solution_2), None, words)


if __name__ == "__main__":
    sys.exit(main())
