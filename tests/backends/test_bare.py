"""The benchmark's baselines are honest: they train, and differentiate what they say."""

import dataclasses
import importlib

import numpy as np
import pytest

from common.recipe import Recipe
from common.spec import ModelSpec

N, T, Q, H, L = 3, 6, 5, 16, 1
SPECS = {
    "rnn": ModelSpec("rnn", Q, H, Q, L, activations=("tanh",) * L),
    "gru": ModelSpec("gru", Q, H, Q, L, reset="after"),
    "lstm": ModelSpec("lstm", Q, H, Q, L),
}
STEPS = 60


@pytest.fixture
def bare(backend_name: str):
    if backend_name == "numpy":
        pytest.skip("NumPy has no layers: it is measured against PyTorch's")
    return importlib.import_module(f"backends.{backend_name}.bare")


def minibatch() -> tuple[np.ndarray, np.ndarray]:
    """Y follows from X, so that it can be learnt."""
    X = np.random.RandomState(0).randint(0, Q, (T, N))
    return X, (X + 1) % Q


@pytest.mark.parametrize("loop", ["bare_loop", "d2l_loop"])
@pytest.mark.parametrize("cell", SPECS)
def test_a_baseline_loop_learns(bare, cell, loop):
    step = getattr(bare, loop)(SPECS[cell], Recipe(2.0, 1.0, n=N, T=T), "float32")
    X, Y = minibatch()
    losses = [float(step(X, Y)) for _ in range(STEPS)]
    assert abs(losses[0] - np.log(Q)) < 0.6  # nothing is known at first
    assert losses[-1] < 0.7 * losses[0]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", SPECS)
def test_the_baseline_of_gradients_gives_one_for_every_weight_and_input(bare, cell, directions):
    gradients = bare.bare(dataclasses.replace(SPECS[cell], directions=directions), "float32")
    X, Y = minibatch()
    found = [np.asarray(g) for g in gradients(np.eye(Q, dtype="float32")[X], Y)]
    assert all(np.isfinite(g).all() for g in found)
    shapes = [g.shape for g in found]
    assert shapes.count((T, N, Q)) + shapes.count((N, T, Q)) == 1  # by X
    assert sum(np.any(g) for g in found) >= 2 * L * directions + 2
