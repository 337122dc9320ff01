"""What a user would write without this suite: the benchmark's baselines, and nothing else."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from common.recipe import Recipe
from common.spec import ModelSpec


def make(spec: ModelSpec, dtype: str) -> tuple[nn.RNNBase, nn.Linear, list[nn.Parameter]]:
    """The recurrent layers, the output layer and all weights, as torch initialises them."""
    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[spec.cell]
    options = {"bidirectional": spec.directions == 2, "dtype": getattr(torch, dtype)}
    layer = kind(spec.d, spec.h, spec.L, **options)
    output = nn.Linear(spec.width, spec.q, dtype=getattr(torch, dtype))
    return layer, output, [*layer.parameters(), *output.parameters()]


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    layer, output, weights = make(spec, dtype)

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        for weight in weights:
            weight.grad = None
        X = torch.from_numpy(X).to(getattr(torch, dtype)).requires_grad_()
        state = [torch.zeros(spec.rows, X.shape[1], spec.h, dtype=X.dtype, requires_grad=True)]
        if spec.cell == "lstm":
            state.append(torch.zeros_like(state[0], requires_grad=True))
        H, _ = layer(X, tuple(state) if spec.cell == "lstm" else state[0])
        O = output(H)
        nn.functional.cross_entropy(O.flatten(0, 1), torch.from_numpy(Y).flatten()).backward()
        return [w.grad.numpy().copy() for w in (*weights, X, *state)]

    return gradients


def bare_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], Tensor]:
    """A training step as one writes it who knows torch: from class numbers X and Y (T, n) to the
    loss, which is not read; with torch's own clip and its fused SGD."""
    layer, output, weights = make(spec, dtype)
    optimiser = torch.optim.SGD(weights, recipe.learning_rate, fused=True)
    state = None

    def step(X: np.ndarray, Y: np.ndarray) -> Tensor:
        nonlocal state
        one_hot = nn.functional.one_hot(torch.from_numpy(X), spec.d).to(getattr(torch, dtype))
        H, last = layer(one_hot, state)
        state = tuple(s.detach() for s in last) if spec.cell == "lstm" else last.detach()
        O = output(H)
        loss = nn.functional.cross_entropy(O.flatten(0, 1), torch.from_numpy(Y).flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimiser.step()
        return loss.detach()

    return step


def d2l_loop(
    spec: ModelSpec, recipe: Recipe, dtype: str
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A training step as D2L 0.17 writes it for torch: the clip reads the norm to decide, and the
    loss is read into a metric at every step. Source: ``train_epoch_ch8``, ``grad_clipping``."""
    layer, output, weights = make(spec, dtype)
    optimiser = torch.optim.SGD(weights, recipe.learning_rate)
    loss_function = nn.CrossEntropyLoss()
    state = None
    metric = [0.0, 0.0]

    def clip(theta: float) -> None:
        norm = torch.sqrt(sum(torch.sum(w.grad**2) for w in weights))
        if norm > theta:
            for w in weights:
                w.grad[:] *= theta / norm

    def step(X: np.ndarray, Y: np.ndarray) -> float:
        nonlocal state
        for part in (state if spec.cell == "lstm" else [state]) if state is not None else []:
            part.detach_()
        one_hot = nn.functional.one_hot(torch.from_numpy(X).long(), spec.d)
        H, state = layer(one_hot.to(getattr(torch, dtype)), state)
        O = output(H.reshape(-1, H.shape[-1]))
        Y = torch.from_numpy(Y).reshape(-1)
        loss = loss_function(O, Y.long()).mean()
        optimiser.zero_grad()
        loss.backward()
        clip(recipe.clip)
        optimiser.step()
        metric[0] += float(loss.detach() * Y.numel())
        metric[1] += Y.numel()
        return float(loss.detach())

    return step
