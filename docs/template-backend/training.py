"""Loss, gradients and the training step, the same for the equations and for the layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from backends.template.equations import Equations, State, Tensor
from backends.template.layers import Layers
from backends.template.workers import Workers

from backends.protocol import Forward, Gradients, Step
from common.dropout import Dropout
from common.parameters import Arrays
from common.recipe import Recipe


class Model:
    """An ``Equations`` or ``Layers`` net behind the protocol: NumPy in, NumPy out."""

    def __init__(self, net: Equations | Layers, device: Any, dtype: Any) -> None:
        raise NotImplementedError("training.py: Model.__init__ is not written yet")

    def tensor(self, array: np.ndarray) -> Tensor:
        raise NotImplementedError("training.py: Model.tensor is not written yet")

    def tensors(self, state: Arrays) -> State:
        raise NotImplementedError("training.py: Model.tensors is not written yet")

    def inputs(self, X: np.ndarray) -> Tensor:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        raise NotImplementedError("training.py: Model.inputs is not written yet")

    def parameters(self) -> Arrays:
        raise NotImplementedError("training.py: Model.parameters is not written yet")

    def within(self, X: np.ndarray, lengths: np.ndarray | None) -> Tensor | None:
        """(T, n, 1): where a step is the example's own   (LEN-1)"""
        raise NotImplementedError("training.py: Model.within is not written yet")

    def kept(self, X: np.ndarray, dropout: Dropout | None) -> list[Tensor]:
        """M / (1 − r) of every layer but the last; none if nothing is dropped   (DROP-1)"""
        raise NotImplementedError("training.py: Model.kept is not written yet")

    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        raise NotImplementedError("training.py: Model.outputs is not written yet")

    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        raise NotImplementedError("training.py: Model.forward is not written yet")

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        raise NotImplementedError("training.py: Model.loss_and_gradients is not written yet")

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> "Trainer":
        raise NotImplementedError("training.py: Model.trainer is not written yet")


def backward(
    net: Equations | Layers,
    X: Tensor,
    Y: Tensor,
    state: State,
    within: Tensor | None = None,
    kept: Sequence[Tensor] = (),
) -> tuple[Tensor, State]:
    """The mean loss and the last state, by the framework's own differentiation."""
    raise NotImplementedError("training.py: backward is not written yet")


def clip(parameters: list[Tensor], theta: float) -> Tensor:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)

    Frameworks' own clips add an epsilon to ‖g‖, or round what they should leave alone: read them.
    """
    raise NotImplementedError("training.py: clip is not written yet")


def to_lattice(tensors: list[Tensor]) -> None:
    """w ← rint(w · 2²⁰) / 2²⁰, in place   (LATTICE-1)"""
    raise NotImplementedError("training.py: to_lattice is not written yet")


class Trainer:
    """Steps of plain SGD (SGD-1: w ← w − η g), the state carried and detached."""

    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        raise NotImplementedError("training.py: Trainer.__init__ is not written yet")

    def start(self, state: Arrays) -> None:
        raise NotImplementedError("training.py: Trainer.start is not written yet")

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        raise NotImplementedError("training.py: Trainer.step is not written yet")

    def gradients(self) -> Arrays:
        raise NotImplementedError("training.py: Trainer.gradients is not written yet")

    def parameters(self) -> Arrays:
        raise NotImplementedError("training.py: Trainer.parameters is not written yet")
