"""The equations of common/EQUATIONS.md in MXNet, op by op, differentiated by autograd."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from mxnet import nd
from mxnet.ndarray import NDArray, dot, sigmoid, stack, tanh

from backends.mxnet.runtime import to_array
from common.parameters import GATES, layer_parameters, state_of
from common.spec import ModelSpec

State = dict[str, NDArray]

ACTIVATIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "tanh": tanh,
    "relu": nd.relu,
    "sigmoid": sigmoid,
    "identity": lambda a: a,
}


def input_products(spec: ModelSpec, p: State, X: NDArray) -> State:
    """A_g = X W_xg + b_g, of all steps and by gate; the reset-after GRU's candidate takes b_xh.

    X: (T, n, d or h)   returns A_g: (T, n, h) each
    """
    biases = {gate: f"b_{gate}" for gate in GATES[spec.cell]}
    if spec.reset == "after":
        biases["h"] = "b_xh"
    return {gate: dot(X, p[f"W_x{gate}"]) + p[bias] for gate, bias in biases.items()}


def rnn_step(p: State, phi: str, A: State, H: NDArray) -> NDArray:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    A: X W_xh + b_h, (n, h)   H: (n, h)   returns H': (n, h)
    """
    return ACTIVATIONS[phi](A["h"] + dot(H, p["W_hh"]))


def gru_step(p: State, reset: str | None, A: State, H: NDArray) -> NDArray:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    A: X W_xg and the bias beside it, (n, h) for each gate   H: (n, h)   returns H': (n, h)
    """
    z = sigmoid(A["z"] + dot(H, p["W_hz"]))
    r = sigmoid(A["r"] + dot(H, p["W_hr"]))
    if reset == "after":
        candidate = tanh(A["h"] + r * (dot(H, p["W_hh"]) + p["b_hh"]))
    else:
        candidate = tanh(A["h"] + dot(r * H, p["W_hh"]))
    return z * H + (1 - z) * candidate


def lstm_step(
    p: State, kappa: float | None, A: State, H: NDArray, C: NDArray
) -> tuple[NDArray, NDArray]:
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
    i = sigmoid(clipped(kappa, peeped(p, "i", A["i"] + dot(H, p["W_hi"]), C)))
    f = sigmoid(clipped(kappa, peeped(p, "f", A["f"] + dot(H, p["W_hf"]), C)))
    candidate = tanh(clipped(kappa, A["c"] + dot(H, p["W_hc"])))
    C = f * C + i * candidate
    o = sigmoid(clipped(kappa, peeped(p, "o", A["o"] + dot(H, p["W_ho"]), C)))
    H = o * tanh(C)
    return dot(H, p["W_hp"]) if "W_hp" in p else H, C


def peeped(p: State, gate: str, a: NDArray, C: NDArray) -> NDArray:
    """a + P_g ⊙ C, where there are peepholes   (LSTM-8 to LSTM-10)"""
    return a + p[f"P_{gate}"] * C if f"P_{gate}" in p else a


def clipped(kappa: float | None, a: NDArray) -> NDArray:
    """min(max(a, −κ), κ), where there is a κ   (LSTM-11)"""
    # nd.clip takes κ as a float32.
    return a if kappa is None else nd.maximum(nd.minimum(a, kappa), -kappa)


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
    X: NDArray,
    state: State,
    lengths: NDArray | None = None,
) -> list[State]:
    """The state after every step of one direction of layer 1 … L, (n, h) for each part, by step.

    →H_t = step of X_t and →H_{t−1},  t = 1 … T      (BI-1)
    ←H_t = step of X_t and ←H_{t+1},  t = T … 1      (BI-2, backward)
    H_t stays as it is where step t is not the example's own   (LEN-2)

    X: (T, n, d or D·h)   state: (D·L, n, h) for each part   lengths: (n,)
    """
    p, after = layer_parameters(params, layer, backward), []
    now = state_of(spec, state, layer, backward)
    steps = list(enumerate(by_step(input_products(spec, p, X))))
    for t, A in reversed(steps) if backward else steps:
        made = layer_step(spec, layer, p, A, now)
        now = made if lengths is None else chosen(lengths > t, made, now)
        after.append(now)
    return after[::-1] if backward else after


def chosen(where: NDArray, one: State, other: State) -> State:
    """Every part of one state for the examples that it says, of the other elsewhere.

    where: (n,)   states: (n, h) or (rows, n, h) for each part
    """

    def like(a: NDArray) -> NDArray:
        return where.reshape((*[1] * (a.ndim - 2), -1, 1)).broadcast_like(a)

    return {part: nd.where(like(one[part]), one[part], other[part]) for part in one}


def ended(steps: NDArray, lengths: NDArray | None) -> NDArray:
    """0 in the place of what is behind an example's end   (LEN-3)"""
    if lengths is None:
        return steps
    return nd.SequenceMask(steps, sequence_length=lengths, use_sequence_length=True)


def joined(halves: Sequence[list[State]]) -> NDArray:
    """H_t = [→H_t, ←H_t], (T, n, D·h), of the directions that there are   (BI-3)"""
    H = [stack(*[state["H"] for state in after]) for after in halves]
    return H[0] if len(H) == 1 else nd.concat(*H, dim=-1)


def dropped(H: NDArray, layer: int, kept: Sequence[NDArray]) -> NDArray:
    """M ⊙ H / (1 − r), what layer + 1 receives   (DROP-1)

    kept: M / (1 − r) of every layer but the last, (T, n, D·h) each; empty if nothing is dropped
    """
    return H * kept[layer - 1] if layer <= len(kept) else H


def cross_entropy(O: NDArray, Y: NDArray, lengths: NDArray | None = None) -> NDArray:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)

    lengths: (n,), within which the predictions are   (LEN-4)
    """
    shifted = O - O.max(axis=-1, keepdims=True).detach()
    chosen = shifted.pick(Y, axis=-1)
    losses = shifted.exp().sum(axis=-1).log() - chosen
    return losses.mean() if lengths is None else ended(losses, lengths).sum() / lengths.sum()


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)

    Of D = 2 directions, the states of both are rows of their own: l1 forward, l1 backward, …
    """

    def __init__(self, spec: ModelSpec, params: State) -> None:
        self.spec = spec
        self.params = params
        for tensor in params.values():
            tensor.attach_grad()
        self.trainable = list(params.values())
        self.frozen: list[NDArray] = []

    def __call__(
        self,
        X: NDArray,
        state: State,
        lengths: NDArray | None = None,
        kept: Sequence[NDArray] = (),
    ) -> tuple[NDArray, State]:
        """X: (T, n, d)   state: (L, n, h) each   lengths: (n,), of the examples (LEN-1)
        kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        H, trace = self.steps(X, state, lengths, kept)
        O = dot(H, self.params["output.W_hq"]) + self.params["output.b_q"]
        return ended(O, lengths), self.last(trace)

    def steps(
        self, X: NDArray, state: State, lengths: NDArray | None, kept: Sequence[NDArray]
    ) -> tuple[NDArray, list[list[State]]]:
        """H of the top layer, (T, n, D·h), and the state after every step, (n, h) for each part, by
        layer and direction."""
        spec, params, H, trace = self.spec, self.params, ended(X, lengths), []
        for layer in range(1, spec.L + 1):
            halves = [direction(spec, layer, b, params, H, state, lengths) for b in spec.ways]
            H = dropped(ended(joined(halves), lengths), layer, kept)
            trace += halves
        return H, trace

    def last(self, trace: list[list[State]]) -> State:
        """The last state of each direction of each layer: the backward one ends at step 1."""
        ends = [0 if backward else -1 for _, backward in self.spec.passes]
        return stacked([after[t] for after, t in zip(trace, ends, strict=True)])

    def trace(
        self,
        X: NDArray,
        state: State,
        lengths: NDArray | None = None,
        kept: Sequence[NDArray] = (),
    ) -> list[State]:
        """The state of all layers, (L, n, h) for each part, after every step."""
        steps = self.steps(X, state, lengths, kept)[1]
        return [stacked(layers) for layers in zip(*steps, strict=True)]

    def canonical(self, read: Callable[[NDArray], NDArray]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        return {name: to_array(read(tensor)) for name, tensor in self.params.items()}


def by_step(A: State) -> Iterator[State]:
    """The input products of one step after another, (n, h) by gate."""
    for tensors in zip(*(unstack(tensor) for tensor in A.values()), strict=True):
        yield dict(zip(A, tensors, strict=True))


def unstack(tensor: NDArray) -> list[NDArray]:
    """The steps of a tensor; of a single one ``split`` makes no list."""
    found = nd.split(tensor, len(tensor), axis=0, squeeze_axis=True)
    return found if isinstance(found, list) else [found]


def stacked(layers: Sequence[State]) -> State:
    """The states of all layers in one tensor, (L, n, h) for each part."""
    return {part: in_rows([state[part] for state in layers]) for part in layers[0]}


def in_rows(rows: Sequence[NDArray]) -> NDArray:
    """One tensor, (L, n, h), as wide as the widest: a smaller layer has zeros behind its own."""
    widest = max(row.shape[-1] for row in rows)
    return stack(*[widened(row, widest) for row in rows])


def widened(row: NDArray, size: int) -> NDArray:
    """So many columns: zeros behind those that there are."""
    missing = size - row.shape[-1]
    if not missing:
        return row
    zeros = nd.zeros((*row.shape[:-1], missing), ctx=row.context, dtype=row.dtype)
    return nd.concat(row, zeros, dim=-1)
