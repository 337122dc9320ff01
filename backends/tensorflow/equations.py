"""The equations of common/EQUATIONS.md in TensorFlow, op by op, differentiated by GradientTape."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from backends.tensorflow.runtime import to_array
from common.parameters import GATES, layer_parameters, state_of
from common.spec import ModelSpec

State = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
    "identity": lambda a: a,
}


def input_products(spec: ModelSpec, p: State, X: Tensor) -> State:
    """A_g = X W_xg + b_g, of all steps and by gate; the reset-after GRU's candidate takes b_xh.

    X: (T, n, d or h)   returns A_g: (T, n, h) each
    """
    biases = {gate: f"b_{gate}" for gate in GATES[spec.cell]}
    if spec.reset == "after":
        biases["h"] = "b_xh"
    return {gate: X @ p[f"W_x{gate}"] + p[bias] for gate, bias in biases.items()}


def rnn_step(p: State, phi: str, A: State, H: Tensor) -> Tensor:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    A: X W_xh + b_h, (n, h)   H: (n, h)   returns H': (n, h)
    """
    return ACTIVATIONS[phi](A["h"] + H @ p["W_hh"])


def gru_step(p: State, reset: str | None, A: State, H: Tensor) -> Tensor:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    A: X W_xg and the bias beside it, (n, h) for each gate   H: (n, h)   returns H': (n, h)
    """
    z = tf.sigmoid(A["z"] + H @ p["W_hz"])
    r = tf.sigmoid(A["r"] + H @ p["W_hr"])
    if reset == "after":
        candidate = tf.tanh(A["h"] + r * (H @ p["W_hh"] + p["b_hh"]))
    else:
        candidate = tf.tanh(A["h"] + (r * H) @ p["W_hh"])
    return z * H + (1 - z) * candidate


def lstm_step(
    p: State, kappa: float | None, A: State, H: Tensor, C: Tensor
) -> tuple[Tensor, Tensor]:
    """i  = σ(X W_xi + H W_hi + b_i)      (LSTM-1)
    f  = σ(X W_xf + H W_hf + b_f)         (LSTM-2)
    o  = σ(X W_xo + H W_ho + b_o)         (LSTM-3)
    C̃  = tanh(X W_xc + H W_hc + b_c)     (LSTM-4)
    C' = f ⊙ C + i ⊙ C̃                   (LSTM-5)
    H' = o ⊙ tanh(C')                     (LSTM-6)
    H' = (o ⊙ tanh(C')) W_hp              (LSTM-7, with a projection)
    i, f and o also see P_i ⊙ C, P_f ⊙ C and P_o ⊙ C'  (LSTM-8 to LSTM-10, with peepholes)
    and what σ and tanh read is clipped to −κ … κ      (LSTM-11, with a κ)

    A: X W_xg + b_g, (n, h) for each gate   H, C: (n, h)   returns H', C': (n, h); or H, H': (n, p)
    """
    i = tf.sigmoid(clipped(kappa, peeped(p, "i", A["i"] + H @ p["W_hi"], C)))
    f = tf.sigmoid(clipped(kappa, peeped(p, "f", A["f"] + H @ p["W_hf"], C)))
    candidate = tf.tanh(clipped(kappa, A["c"] + H @ p["W_hc"]))
    C = f * C + i * candidate
    o = tf.sigmoid(clipped(kappa, peeped(p, "o", A["o"] + H @ p["W_ho"], C)))
    H = o * tf.tanh(C)
    return H @ p["W_hp"] if "W_hp" in p else H, C


def peeped(p: State, gate: str, a: Tensor, C: Tensor) -> Tensor:
    """a + P_g ⊙ C, where there are peepholes   (LSTM-8 to LSTM-10)"""
    return a + p[f"P_{gate}"] * C if f"P_{gate}" in p else a


def clipped(kappa: float | None, a: Tensor) -> Tensor:
    """min(max(a, −κ), κ), where there is a κ   (LSTM-11)"""
    return a if kappa is None else tf.clip_by_value(a, -kappa, kappa)


def layer_step(spec: ModelSpec, layer: int, p: State, A: State, state: State) -> State:
    """One step of layer 1 … L, whichever cell it is; each part of the state is (n, h)."""
    if spec.cell == "rnn":
        return {"H": rnn_step(p, spec.activations[layer - 1], A, state["H"])}
    if spec.cell == "gru":
        return {"H": gru_step(p, spec.reset, A, state["H"])}
    H, C = lstm_step(p, spec.gate_clip, A, state["H"], state["C"])
    return {"H": H, "C": C}


def direction(
    spec: ModelSpec,
    layer: int,
    backward: bool,
    params: State,
    X: Tensor,
    state: State,
    within: Tensor | None = None,
) -> list[State]:
    """The state after every step of one direction of layer 1 … L, (n, h) for each part, by step.

    →H_t = step of X_t and →H_{t−1},  t = 1 … T      (BI-1)
    ←H_t = step of X_t and ←H_{t+1},  t = T … 1      (BI-2, backward)
    H_t stays as it is where step t is not the example's own   (LEN-2)

    X: (T, n, d or D·h)   state: (D·L, n, h) for each part   within: (T, n, 1)
    """
    p, after = layer_parameters(params, layer, backward), []
    now = state_of(spec, state, layer, backward)
    steps = list(enumerate(by_step(input_products(spec, p, X))))
    for t, A in reversed(steps) if backward else steps:
        made = layer_step(spec, layer, p, A, now)
        now = made if within is None else chosen(within[t], made, now)
        after.append(now)
    return after[::-1] if backward else after


def chosen(where: Tensor, one: State, other: State) -> State:
    """Every part of one state where it says so, of the other elsewhere."""
    return {part: tf.where(where, one[part], other[part]) for part in one}


def ended(steps: Tensor, within: Tensor | None) -> Tensor:
    """0 in the place of what is behind an example's end   (LEN-3)"""
    return steps if within is None else tf.where(within, steps, tf.zeros((), steps.dtype))


def joined(halves: Sequence[list[State]]) -> Tensor:
    """H_t = [→H_t, ←H_t], (T, n, D·h), of the directions that there are   (BI-3)"""
    H = [tf.stack([state["H"] for state in after]) for after in halves]
    return H[0] if len(H) == 1 else tf.concat(H, axis=-1)


def dropped(H: Tensor, layer: int, kept: Sequence[Tensor]) -> Tensor:
    """M ⊙ H / (1 − r), what layer + 1 receives   (DROP-1)

    kept: M / (1 − r) of every layer but the last, (T, n, D·h) each; empty if nothing is dropped
    """
    return H * kept[layer - 1] if layer <= len(kept) else H


def cross_entropy(O: Tensor, Y: Tensor, within: Tensor | None = None) -> Tensor:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)

    within: (T, n, 1), the predictions that there are   (LEN-4)
    """
    shifted = O - tf.stop_gradient(tf.reduce_max(O, axis=-1, keepdims=True))
    # Not tf.gather(…, batch_dims=2): its gradient is some 30 ops, and took most of the loss's time.
    is_label = tf.one_hot(Y, shifted.shape[-1], True, False)
    of_labels = tf.reduce_sum(tf.where(is_label, shifted, tf.zeros((), O.dtype)), axis=-1)
    losses = tf.math.log(tf.reduce_sum(tf.exp(shifted), axis=-1)) - of_labels
    return tf.reduce_mean(losses if within is None else losses[within[..., 0]])


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)

    Of D = 2 directions, the states of both are rows of their own: l1 forward, l1 backward, …
    """

    read = staticmethod(tf.convert_to_tensor)
    """How a parameter is read; in mixed precision, otherwise."""

    def __init__(self, spec: ModelSpec, params: dict[str, np.ndarray]) -> None:
        self.spec = spec
        self.params = {name: tf.Variable(array) for name, array in params.items()}
        self.trainable = list(self.params.values())

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        H, trace = self.steps(X, state, within, kept)
        return ended(self.output(H), within), self.last(trace)

    def steps(
        self, X: Tensor, state: State, within: Tensor | None, kept: Sequence[Tensor]
    ) -> tuple[Tensor, list[list[State]]]:
        """H of the top layer, (T, n, D·h), and the state after every step, (n, h) for each part, by
        layer and direction."""
        # Read once: a tf.Variable is copied out anew by every op that uses it.
        params = {name: self.read(value) for name, value in self.params.items()}
        spec, H, trace = self.spec, ended(X, within), []
        for layer in range(1, spec.L + 1):
            halves = [direction(spec, layer, b, params, H, state, within) for b in spec.ways]
            H = dropped(ended(joined(halves), within), layer, kept)
            trace += halves
        return H, trace

    def last(self, trace: list[list[State]]) -> State:
        """The last state of each direction of each layer: the backward one ends at step 1."""
        ends = [0 if backward else -1 for _, backward in self.spec.passes]
        return stacked([after[t] for after, t in zip(trace, ends, strict=True)])

    def output(self, H: Tensor) -> Tensor:
        return H @ self.read(self.params["output.W_hq"]) + self.params["output.b_q"]

    def forward(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part."""
        H, trace = self.steps(X, state, within, kept)
        own = None if within is None else within[:, None]
        steps = [stacked(layers) for layers in zip(*trace, strict=True)]
        return (
            ended(self.output(H), within),
            self.last(trace),
            {part: ended(tf.stack([s[part] for s in steps]), own) for part in state},
        )

    def freeze(self, grads: list[Tensor]) -> list[Tensor]:
        """Every parameter is the equations' own; none is frozen."""
        return grads

    def canonical(self, tensors: list[Tensor]) -> dict[str, np.ndarray]:
        """One tensor for each of ``trainable``, values or gradients, by canonical name."""
        return dict(zip(self.params, map(to_array, tensors), strict=True))


def by_step(A: State) -> Iterator[State]:
    """The input products of one step after another, (n, h) by gate."""
    for tensors in zip(*(tf.unstack(tensor) for tensor in A.values()), strict=True):
        yield dict(zip(A, tensors, strict=True))


def stacked(layers: Sequence[State]) -> State:
    """The states of all layers in one tensor, (L, n, h) for each part."""
    return {part: in_rows([state[part] for state in layers]) for part in layers[0]}


def in_rows(rows: Sequence[Tensor]) -> Tensor:
    """One tensor, (L, n, h), as wide as the widest: a smaller layer has zeros behind its own."""
    widest = max(row.shape[-1] for row in rows)
    return tf.stack([widened(row, widest) for row in rows])


def widened(row: Tensor, size: int) -> Tensor:
    """So many columns: zeros behind those that there are."""
    missing = size - int(row.shape[-1] or 0)
    return tf.pad(row, [(0, 0)] * (len(row.shape) - 1) + [(0, missing)]) if missing else row
