"""The early envelope of an ensemble: what float32 lies around, and how far from it."""

import dataclasses
from typing import Any

import numpy as np

from backends.registry import load
from conformance.run.asked import Run
from conformance.worker.training import Trainee

EARLY_STEPS, STILL_CLOSE = 40, 1e-4
"""The envelope ends at this step, or where the members' losses have parted so far."""


def truth(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Losses and norms of the early steps in float64, from weights that are not perturbed."""
    run = dataclasses.replace(run, numerics="float64")
    made = load(run.backend).implementation(run.implementation, run.device, run.numerics)
    job = run.settings() | {"digests": "epoch", "checkpoint": "there is none"}
    trainee, losses, norms = Trainee(job, run.given, made), [], []
    for _ in range(run.recipe.epochs):
        if len(losses) < EARLY_STEPS:
            row = trainee.epoch()
            losses, norms = losses + row["losses"], norms + row["norms"]
    return np.array(losses[:EARLY_STEPS]), np.array(norms[:EARLY_STEPS])


def envelope(
    series: list[tuple[list[np.ndarray], list[np.ndarray]]],
    centre: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """Centre and relative spread of the early steps; a spread never falls (judge/curves.py).

    The spread shows what perturbed weights do, and not what a framework's rounding does to all its
    runs alike, which is as much again: of the D2L recipe's norms, NumPy's members lie up to 3.7
    spreads on one side of float64, and JAX and TensorFlow up to 3.9 on the other. So the centre is
    the ``truth``. From NumPy's mean, an honest run of JAX lay 7.6 of the 8 spreads away.
    """
    found = {}
    for quantity, kind in (("loss", 0), ("norm", 1)):
        steps = np.array([np.concatenate(pair[kind])[:EARLY_STEPS] for pair in series])
        spread = np.maximum.accumulate(steps.std(axis=0, ddof=1) / steps.mean(axis=0))
        found[quantity] = {"centre": centre[kind], "spread": spread}
    close = int(np.count_nonzero(found["loss"]["spread"] <= STILL_CLOSE))
    return {
        quantity: {name: array[:close].tolist() for name, array in bands.items()}
        for quantity, bands in found.items()
    }
