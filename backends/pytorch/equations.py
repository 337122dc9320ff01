"""The equations of common/EQUATIONS.md in PyTorch, op by op, differentiated by autograd."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from backends.pytorch.runtime import to_array
from common.parameters import layer_parameters
from common.spec import ModelSpec

State = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda a: a,
}


def rnn_step(p: State, phi: str, X: Tensor, H: Tensor) -> Tensor:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    X: (n, d or h)   H: (n, h)   returns H': (n, h)
    """
    return ACTIVATIONS[phi](X @ p["W_xh"] + H @ p["W_hh"] + p["b_h"])


def gru_step(p: State, reset: str | None, X: Tensor, H: Tensor) -> Tensor:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    X: (n, d or h)   H: (n, h)   returns H': (n, h)
    """
    z = torch.sigmoid(X @ p["W_xz"] + H @ p["W_hz"] + p["b_z"])
    r = torch.sigmoid(X @ p["W_xr"] + H @ p["W_hr"] + p["b_r"])
    if reset == "after":
        candidate = torch.tanh(X @ p["W_xh"] + p["b_xh"] + r * (H @ p["W_hh"] + p["b_hh"]))
    else:
        candidate = torch.tanh(X @ p["W_xh"] + (r * H) @ p["W_hh"] + p["b_h"])
    return z * H + (1 - z) * candidate


def lstm_step(p: State, X: Tensor, H: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """i  = σ(X W_xi + H W_hi + b_i)      (LSTM-1)
    f  = σ(X W_xf + H W_hf + b_f)         (LSTM-2)
    o  = σ(X W_xo + H W_ho + b_o)         (LSTM-3)
    C̃  = tanh(X W_xc + H W_hc + b_c)     (LSTM-4)
    C' = f ⊙ C + i ⊙ C̃                   (LSTM-5)
    H' = o ⊙ tanh(C')                     (LSTM-6)

    X: (n, d or h)   H, C: (n, h)   returns H', C': (n, h)
    """
    i = torch.sigmoid(X @ p["W_xi"] + H @ p["W_hi"] + p["b_i"])
    f = torch.sigmoid(X @ p["W_xf"] + H @ p["W_hf"] + p["b_f"])
    o = torch.sigmoid(X @ p["W_xo"] + H @ p["W_ho"] + p["b_o"])
    candidate = torch.tanh(X @ p["W_xc"] + H @ p["W_hc"] + p["b_c"])
    C = f * C + i * candidate
    return o * torch.tanh(C), C


def layer_step(spec: ModelSpec, layer: int, p: State, X: Tensor, state: State) -> State:
    """One step of layer 1 … L, whichever cell it is; each part of the state is (n, h)."""
    if spec.cell == "rnn":
        return {"H": rnn_step(p, spec.activations[layer - 1], X, state["H"])}
    if spec.cell == "gru":
        return {"H": gru_step(p, spec.reset, X, state["H"])}
    H, C = lstm_step(p, X, state["H"], state["C"])
    return {"H": H, "C": C}


def cross_entropy(O: Tensor, Y: Tensor) -> Tensor:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)"""
    shifted = O - O.max(dim=-1, keepdim=True).values.detach()
    chosen = shifted.gather(-1, Y[..., None])[..., 0]
    return (shifted.exp().sum(dim=-1).log() - chosen).mean()


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)
    """

    def __init__(self, spec: ModelSpec, params: State) -> None:
        self.spec = spec
        self.params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        self.trainable = list(self.params.values())

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   returns O (T, n, q) and the last state"""
        steps = self.steps(X, state)
        H = torch.stack([after["H"][-1] for after in steps])
        return H @ self.params["output.W_hq"] + self.params["output.b_q"], steps[-1]

    def steps(self, X: Tensor, state: State) -> list[State]:
        """The state of all layers, (L, n, h) for each part, after every step."""
        layers = [layer_parameters(self.params, layer + 1) for layer in range(self.spec.L)]
        steps, now = [], {part: list(tensor) for part, tensor in state.items()}
        for H in X:
            for layer, p in enumerate(layers):
                before = {part: tensors[layer] for part, tensors in now.items()}
                for part, tensor in layer_step(self.spec, layer + 1, p, H, before).items():
                    now[part][layer] = tensor
                H = now["H"][layer]
            steps.append({part: torch.stack(tensors) for part, tensors in now.items()})
        return steps

    def trace(self, X: Tensor, state: State) -> list[State]:
        return self.steps(X, state)

    def canonical(self, read: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        return {name: to_array(read(tensor)) for name, tensor in self.params.items()}
