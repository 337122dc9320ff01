"""Loss, gradients and the training step, the same for the equations and for the layers."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backends.protocol import Forward, Gradients, Step
from backends.pytorch.equations import Equations, State, cross_entropy, ended
from backends.pytorch.layers import Layers
from backends.pytorch.runtime import to_array
from backends.pytorch.workers import Workers
from common.dropout import Dropout, check_dropout
from common.lattice import UNITS
from common.lengths import steps_within
from common.parameters import Arrays
from common.recipe import Recipe


class Model:
    """An ``Equations`` or ``Layers`` net behind the protocol: NumPy in, NumPy out."""

    def __init__(self, net: Equations | Layers, device: torch.device, dtype: torch.dtype) -> None:
        self.net, self.device, self.dtype = net, device, dtype
        self.eye = torch.eye(net.spec.d, device=device, dtype=dtype)

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.device, self.dtype)

    def tensors(self, state: Arrays) -> State:
        return {part: self.tensor(array) for part, array in state.items()}

    def inputs(self, X: np.ndarray) -> Tensor:
        """Floats (T, n, d); class numbers (T, n) become one-hot vectors, rows of the identity."""
        return self.eye[torch.as_tensor(X).to(self.device)] if X.ndim == 2 else self.tensor(X)

    def parameters(self) -> Arrays:
        return self.net.canonical(lambda parameter: parameter)

    def within(self, X: np.ndarray, lengths: np.ndarray | None) -> Tensor | None:
        """(T, n, 1): where a step is the example's own   (LEN-1)"""
        if lengths is None:
            return None
        T, n = X.shape[:2]
        return torch.from_numpy(steps_within(lengths, n, T)[..., None]).to(self.device)

    def kept(self, X: np.ndarray, dropout: Dropout | None) -> list[Tensor]:
        """M / (1 − r) of every layer but the last; none if nothing is dropped   (DROP-1)"""
        if dropout is None:
            return []
        spec, (T, n) = self.net.spec, X.shape[:2]
        checked = check_dropout(dropout, spec, n, T)
        return [self.tensor(mask) / (1 - checked.rate) for mask in checked.by_layer(spec)]

    @torch.no_grad()
    def outputs(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> tuple[np.ndarray, Arrays]:
        more = self.within(X, lengths), self.kept(X, dropout)
        O, last = self.net(self.inputs(X), self.tensors(state), *more)
        return to_array(O), {part: to_array(tensor) for part, tensor in last.items()}

    @torch.no_grad()
    def forward(
        self,
        X: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Forward:
        O, last = self.outputs(X, state, lengths, dropout)
        within, kept = self.within(X, lengths), self.kept(X, dropout)
        steps = self.net.trace(self.inputs(X), self.tensors(state), within, kept)
        trace = {part: torch.stack([step[part] for step in steps]) for part in state}
        if within is not None:
            trace = {part: ended(tensor, within[:, None]) for part, tensor in trace.items()}
        return Forward(O, last, {part: to_array(tensor) for part, tensor in trace.items()})

    def loss_and_gradients(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        state: Arrays,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Gradients:
        inputs = self.inputs(X).requires_grad_()
        start = {part: tensor.requires_grad_() for part, tensor in self.tensors(state).items()}
        targets = torch.as_tensor(Y).to(self.device)
        more = self.within(X, lengths), self.kept(X, dropout)
        loss = backward(self.net, inputs, targets, start, *more)[0]
        grads = self.net.canonical(lambda parameter: parameter.grad)
        grads["X"] = to_array(inputs.grad)
        grads |= {f"{part}0": to_array(tensor.grad) for part, tensor in start.items()}
        return Gradients(loss.item(), grads)

    def trainer(self, recipe: Recipe, state: Arrays, workers: Workers | None = None) -> "Trainer":
        return Trainer(self, recipe, state, workers)


def backward(
    net: Equations | Layers,
    X: Tensor,
    Y: Tensor,
    state: State,
    within: Tensor | None = None,
    kept: Sequence[Tensor] = (),
) -> tuple[Tensor, State]:
    """The mean loss and the last state; the gradients are left in the parameters' ``.grad``."""
    for parameter in net.trainable:
        parameter.grad = None
    O, last = net(X, state, within, kept)
    loss = cross_entropy(O, Y, within)
    loss.backward()
    return loss, last


def clip(parameters: list[Tensor], theta: float) -> Tensor:
    """‖g‖ = √Σ g²  over all parameters (CLIP-1);  g ← g · θ/‖g‖ if ‖g‖ > θ (CLIP-2)

    Not ``clip_grad_norm_``, which divides by ‖g‖ + 1e-6, nor ``get_total_norm``: on the CPU its
    float32 norm of 0.8 million elements was 66 roundings too small, ``sum`` is off by one. The
    scale is min(1, θ/‖g‖), so that no value has to be read from the device to decide.
    """
    grads = [parameter.grad for parameter in parameters]
    norm = torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
    scale = torch.clamp(theta / norm, max=1.0)
    for grad in grads:
        grad.mul_(scale)
    return norm


@torch.no_grad()
def to_lattice(tensors: list[Tensor]) -> None:
    """w ← rint(w · 2²⁰) / 2²⁰, in place   (LATTICE-1)"""
    for tensor in tensors:
        tensor.mul_(UNITS).round_().div_(UNITS)


class Trainer:
    """Steps of plain SGD (SGD-1: w ← w − η g), the state carried and detached."""

    def __init__(
        self, model: Model, recipe: Recipe, state: Arrays, workers: Workers | None
    ) -> None:
        self.model, self.recipe, self.workers = model, recipe, workers
        self.start(state)

    def start(self, state: Arrays) -> None:
        self.state = self.model.tensors(state)

    def step(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        lengths: np.ndarray | None = None,
        dropout: Dropout | None = None,
    ) -> Step:
        net = self.model.net
        given = self.state, self.model.within(X, lengths), self.model.kept(X, dropout)
        Y = torch.as_tensor(Y).to(self.model.device)
        loss, last = backward(net, self.model.inputs(X), Y, *given)
        loss = loss.detach()
        if self.workers:
            self.workers.mean([loss, *[parameter.grad for parameter in net.trainable]])
        self.state = {part: tensor.detach() for part, tensor in last.items()}
        norm = clip(net.trainable, self.recipe.clip)
        with torch.no_grad():
            for parameter in net.trainable:
                parameter -= self.recipe.learning_rate * parameter.grad
        if self.recipe.lattice:
            to_lattice([*net.trainable, *self.state.values()])
        return Step(loss, norm)

    def gradients(self) -> Arrays:
        return self.model.net.canonical(lambda parameter: parameter.grad)

    def parameters(self) -> Arrays:
        return self.model.parameters()
