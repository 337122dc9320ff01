"""The equations of common/EQUATIONS.md in TensorFlow, op by op, differentiated by GradientTape."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from backends.tensorflow.runtime import to_array
from common.parameters import layer_parameters
from common.spec import ModelSpec

State = dict[str, Tensor]
Lists = dict[str, list[Tensor]]
"""A state whose layers are not stacked: (n, h) for each layer."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
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
    z = tf.sigmoid(X @ p["W_xz"] + H @ p["W_hz"] + p["b_z"])
    r = tf.sigmoid(X @ p["W_xr"] + H @ p["W_hr"] + p["b_r"])
    if reset == "after":
        candidate = tf.tanh(X @ p["W_xh"] + p["b_xh"] + r * (H @ p["W_hh"] + p["b_hh"]))
    else:
        candidate = tf.tanh(X @ p["W_xh"] + (r * H) @ p["W_hh"] + p["b_h"])
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
    i = tf.sigmoid(X @ p["W_xi"] + H @ p["W_hi"] + p["b_i"])
    f = tf.sigmoid(X @ p["W_xf"] + H @ p["W_hf"] + p["b_f"])
    o = tf.sigmoid(X @ p["W_xo"] + H @ p["W_ho"] + p["b_o"])
    candidate = tf.tanh(X @ p["W_xc"] + H @ p["W_hc"] + p["b_c"])
    C = f * C + i * candidate
    return o * tf.tanh(C), C


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
    shifted = O - tf.stop_gradient(tf.reduce_max(O, axis=-1, keepdims=True))
    chosen = tf.gather(shifted, Y, batch_dims=2)
    return tf.reduce_mean(tf.math.log(tf.reduce_sum(tf.exp(shifted), axis=-1)) - chosen)


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)
    """

    read = staticmethod(tf.convert_to_tensor)
    """How a parameter is read; in mixed precision, otherwise."""

    def __init__(self, spec: ModelSpec, params: dict[str, np.ndarray]) -> None:
        self.spec = spec
        self.params = {name: tf.Variable(array) for name, array in params.items()}
        self.trainable = list(self.params.values())

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   returns O (T, n, q) and the last state"""
        steps = self.steps(X, state)
        return self.output(steps), stacked(steps[-1])

    def steps(self, X: Tensor, state: State) -> list[Lists]:
        """The state after every step: for each part the (n, h) of all layers."""
        # Read once: a tf.Variable is copied out anew by every op that uses it.
        params = {name: self.read(value) for name, value in self.params.items()}
        layers = [layer_parameters(params, layer + 1) for layer in range(self.spec.L)]
        steps, now = [], {part: tf.unstack(tensor) for part, tensor in state.items()}
        for H in tf.unstack(X):
            now = {part: list(tensors) for part, tensors in now.items()}
            for layer, p in enumerate(layers):
                before = {part: tensors[layer] for part, tensors in now.items()}
                for part, tensor in layer_step(self.spec, layer + 1, p, H, before).items():
                    now[part][layer] = tensor
                H = now["H"][layer]
            steps.append(now)
        return steps

    def output(self, steps: list[Lists]) -> Tensor:
        H = tf.stack([after["H"][-1] for after in steps])
        return H @ self.read(self.params["output.W_hq"]) + self.params["output.b_q"]

    def forward(self, X: Tensor, state: State) -> tuple[Tensor, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part."""
        steps = self.steps(X, state)
        trace = {part: tf.stack([stacked(step)[part] for step in steps]) for part in state}
        return self.output(steps), stacked(steps[-1]), trace

    def freeze(self, grads: list[Tensor]) -> list[Tensor]:
        """Every parameter is the equations' own; none is frozen."""
        return grads

    def canonical(self, tensors: list[Tensor]) -> dict[str, np.ndarray]:
        """One tensor for each of ``trainable``, values or gradients, by canonical name."""
        return dict(zip(self.params, map(to_array, tensors), strict=True))


def stacked(state: Lists) -> State:
    """The states of all layers in one tensor, (L, n, h) for each part."""
    return {part: tf.stack(tensors) for part, tensors in state.items()}
