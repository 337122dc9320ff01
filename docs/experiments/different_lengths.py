"""Examples of different length: the exercises, on small stacks."""

import sys

import numpy as np

from backends import registry
from common.parameters import initialise, zero_state
from common.spec import ModelSpec
from docs.experiments import run

LENGTHS = np.array([4, 6, 1])
T = 6


def solution_1(backend: str) -> None:
    """The share of the steps that are an example's own."""
    print(f"{LENGTHS.sum()} of {T * len(LENGTHS)} steps: {LENGTHS.sum() / (T * len(LENGTHS)):.2f}")


def solution_2(backend: str) -> None:
    """The padding of the first example is changed: in which of its steps are the outputs others?"""
    X = np.random.RandomState(1).standard_normal((T, 3, 6))
    other = X.copy()
    other[LENGTHS[0] :, 0] += 1
    made = registry.load(backend).implementation("equations", "cpu", "float64")
    for directions in (1, 2):
        spec = ModelSpec("lstm", d=6, h=8, q=5, L=2, directions=directions)
        model, start = (
            made.model(spec, initialise(spec, "uniform", 1)),
            zero_state(spec, 3, "float64"),
        )
        for said, lengths in (("with lengths", LENGTHS), ("without", None)):
            O, changed = (model.outputs(x, start, lengths)[0][:, 0] for x in (X, other))
            steps = [f"t={t + 1}" for t in range(T) if (O[t] != changed[t]).any()]
            print(f"{directions} direction(s), {said}:", *(steps or ["none"]))


def main(words: list[str] | None = None) -> int:
    return run("different-lengths", (solution_1, solution_2), None, words)


if __name__ == "__main__":
    sys.exit(main())
