"""What a user would write without this suite: the benchmark's baselines, and nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.recipe import Recipe
from common.spec import ModelSpec


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    raise NotImplementedError("bare.py: bare is not written yet")


def bare_loop(spec: ModelSpec, recipe: Recipe, dtype: str) -> Callable[..., Any]:
    """A training step as one writes it who knows the framework: from class numbers X and Y (T, n)
    to the loss, which is not read; with the framework's own clip and SGD."""
    raise NotImplementedError("bare.py: bare_loop is not written yet")


def d2l_loop(spec: ModelSpec, recipe: Recipe, dtype: str) -> Callable[..., float]:
    """A training step with the habits of D2L's chapter: the clip reads the norm to decide, and the
    loss is read at every step. Source: D2L 0.17, ``train_epoch_ch8``, ``grad_clipping``."""
    raise NotImplementedError("bare.py: d2l_loop is not written yet")
