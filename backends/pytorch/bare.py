"""What a user would write without this suite: the benchmark's baseline, and nothing else."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from common.spec import ModelSpec


def bare(spec: ModelSpec, dtype: str) -> Callable[[np.ndarray, np.ndarray], list[np.ndarray]]:
    """A function from X (T, n, d) and Y (T, n) to the gradients by all weights, X and the state."""
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[spec.cell](spec.d, spec.h, spec.L)
    model = nn.ModuleDict({"layer": layer, "output": nn.Linear(spec.h, spec.q)})
    model.to(getattr(torch, dtype))

    def gradients(X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        model.zero_grad()
        X = torch.from_numpy(X).to(getattr(torch, dtype)).requires_grad_()
        state = [torch.zeros(spec.L, X.shape[1], spec.h, dtype=X.dtype, requires_grad=True)]
        if spec.cell == "lstm":
            state.append(torch.zeros_like(state[0], requires_grad=True))
        H, _ = layer(X, tuple(state) if spec.cell == "lstm" else state[0])
        O = model["output"](H)
        nn.functional.cross_entropy(O.flatten(0, 1), torch.from_numpy(Y).flatten()).backward()
        return [w.grad.numpy().copy() for w in (*model.parameters(), X, *state)]

    return gradients
