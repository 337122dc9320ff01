"""The equations of common/EQUATIONS.md in MXNet, op by op, differentiated by autograd."""

from collections.abc import Callable

import numpy as np
from mxnet import nd
from mxnet.ndarray import NDArray, dot, sigmoid, stack, tanh

from backends.mxnet.runtime import to_array
from common.parameters import layer_parameters
from common.spec import ModelSpec

State = dict[str, NDArray]

ACTIVATIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "tanh": tanh,
    "relu": nd.relu,
    "sigmoid": sigmoid,
    "identity": lambda a: a,
}


def rnn_step(p: State, phi: str, X: NDArray, H: NDArray) -> NDArray:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    X: (n, d or h)   H: (n, h)   returns H': (n, h)
    """
    return ACTIVATIONS[phi](dot(X, p["W_xh"]) + dot(H, p["W_hh"]) + p["b_h"])


def gru_step(p: State, reset: str | None, X: NDArray, H: NDArray) -> NDArray:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    X: (n, d or h)   H: (n, h)   returns H': (n, h)
    """
    z = sigmoid(dot(X, p["W_xz"]) + dot(H, p["W_hz"]) + p["b_z"])
    r = sigmoid(dot(X, p["W_xr"]) + dot(H, p["W_hr"]) + p["b_r"])
    if reset == "after":
        candidate = tanh(dot(X, p["W_xh"]) + p["b_xh"] + r * (dot(H, p["W_hh"]) + p["b_hh"]))
    else:
        candidate = tanh(dot(X, p["W_xh"]) + dot(r * H, p["W_hh"]) + p["b_h"])
    return z * H + (1 - z) * candidate


def lstm_step(p: State, X: NDArray, H: NDArray, C: NDArray) -> tuple[NDArray, NDArray]:
    """i  = σ(X W_xi + H W_hi + b_i)      (LSTM-1)
    f  = σ(X W_xf + H W_hf + b_f)         (LSTM-2)
    o  = σ(X W_xo + H W_ho + b_o)         (LSTM-3)
    C̃  = tanh(X W_xc + H W_hc + b_c)     (LSTM-4)
    C' = f ⊙ C + i ⊙ C̃                   (LSTM-5)
    H' = o ⊙ tanh(C')                     (LSTM-6)

    X: (n, d or h)   H, C: (n, h)   returns H', C': (n, h)
    """
    i = sigmoid(dot(X, p["W_xi"]) + dot(H, p["W_hi"]) + p["b_i"])
    f = sigmoid(dot(X, p["W_xf"]) + dot(H, p["W_hf"]) + p["b_f"])
    o = sigmoid(dot(X, p["W_xo"]) + dot(H, p["W_ho"]) + p["b_o"])
    candidate = tanh(dot(X, p["W_xc"]) + dot(H, p["W_hc"]) + p["b_c"])
    C = f * C + i * candidate
    return o * tanh(C), C


def layer_step(spec: ModelSpec, layer: int, p: State, X: NDArray, state: State) -> State:
    """One step of layer 1 … L, whichever cell it is; each part of the state is (n, h)."""
    if spec.cell == "rnn":
        return {"H": rnn_step(p, spec.activations[layer - 1], X, state["H"])}
    if spec.cell == "gru":
        return {"H": gru_step(p, spec.reset, X, state["H"])}
    H, C = lstm_step(p, X, state["H"], state["C"])
    return {"H": H, "C": C}


def cross_entropy(O: NDArray, Y: NDArray) -> NDArray:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)"""
    shifted = O - O.max(axis=-1, keepdims=True).detach()
    chosen = shifted.pick(Y, axis=-1)
    return (shifted.exp().sum(axis=-1).log() - chosen).mean()


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)
    """

    def __init__(self, spec: ModelSpec, params: State) -> None:
        self.spec = spec
        self.params = params
        for tensor in params.values():
            tensor.attach_grad()
        self.trainable = list(params.values())
        self.frozen: list[NDArray] = []

    def __call__(self, X: NDArray, state: State) -> tuple[NDArray, State]:
        """X: (T, n, d)   state: (L, n, h) each   returns O (T, n, q) and the last state"""
        steps = self.steps(X, state)
        H = stack(*[after["H"][-1] for after in steps])
        return dot(H, self.params["output.W_hq"]) + self.params["output.b_q"], steps[-1]

    def steps(self, X: NDArray, state: State) -> list[State]:
        """The state of all layers, (L, n, h) for each part, after every step."""
        layers = [layer_parameters(self.params, layer + 1) for layer in range(self.spec.L)]
        steps, now = [], {part: list(tensor) for part, tensor in state.items()}
        for H in X:
            for layer, p in enumerate(layers):
                before = {part: tensors[layer] for part, tensors in now.items()}
                for part, tensor in layer_step(self.spec, layer + 1, p, H, before).items():
                    now[part][layer] = tensor
                H = now["H"][layer]
            steps.append({part: stack(*tensors) for part, tensors in now.items()})
        return steps

    def trace(self, X: NDArray, state: State) -> list[State]:
        return self.steps(X, state)

    def canonical(self, read: Callable[[NDArray], NDArray]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        return {name: to_array(read(tensor)) for name, tensor in self.params.items()}
