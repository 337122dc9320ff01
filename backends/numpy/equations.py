"""The forward equations of common/EQUATIONS.md, vectorised over the batch.

Two things make it fast, and neither changes the function: the gates of a layer are stacked side by
side in memory, (in, G·h), and the input products of all T steps are hoisted out of the recurrence
into one matrix product. Each layer returns what backward.py needs to go back through it.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.numpy.threads import each_way
from common.parameters import GATES, Arrays, layer_parameters, state_of
from common.spec import ModelSpec


def sigmoid(a: np.ndarray) -> np.ndarray:
    """σ(a) = 1 / (1 + e^(−a)); e^(−a) = ∞ gives 0, which is right. (1 + tanh(a/2)) / 2 would not
    overflow, but loses a closed gate: in float32 it is 0 from a = −17 on, where σ is 4e-8."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-a))


ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": sigmoid,
    "identity": lambda a: a,
}


@dataclass
class Layer:
    """One direction of a layer, its pass over a sequence, kept for the way back.

    X: (T, n, in)   H: (T+1, n, h), H[0] the initial state   C: likewise, LSTM only
    W_x: (in, G·h)   W_h: (h, G·h)   the gates side by side in canonical order
    gates: their values at every step, each (T, n, h), by name
    within: (T, n, 1), where a step is the example's own, in the order of X; None if all are (LEN-1)
    W_hp: (h, p), or None; with it H is (T+1, n, p) and W_h (p, G·h)
    P: (3, h), the LSTM's peepholes P_i, P_f and P_o; None if it has none
    inside: (T, n, G·h), which pre-activations were not clipped; None if none are (LSTM-11)
    backward: whether X and all that follows from it are in the order from step T to step 1 (BI-2)
    """

    X: np.ndarray
    W_x: np.ndarray
    W_h: np.ndarray
    H: np.ndarray
    C: np.ndarray | None = None
    gates: Arrays = field(default_factory=dict)
    W_hp: np.ndarray | None = None
    backward: bool = False
    within: np.ndarray | None = None
    P: np.ndarray | None = None
    inside: np.ndarray | None = None

    def states(self, part: str) -> np.ndarray:
        """H or C after every step, in the order of time; 0 behind an example's end   (LEN-3)"""
        return in_time(ended(getattr(self, part)[1:], self.within), self.backward)

    def own(self, t: int, array: np.ndarray, instead: np.ndarray | int) -> np.ndarray:
        """Of step t, for the examples whose own it is; for the others something else."""
        return array if self.within is None else np.where(self.within[t], array, instead)

    def stay(self, t: int) -> None:
        """Where step t is not the example's own, its state stays as it is   (LEN-2)"""
        if self.within is not None:
            self.H[t + 1] = self.own(t, self.H[t + 1], self.H[t])
            if self.C is not None:
                self.C[t + 1] = self.own(t, self.C[t + 1], self.C[t])

    @property
    def memory(self) -> np.ndarray:
        """C of an LSTM."""
        if self.C is None:
            raise ValueError("only an LSTM has a memory cell")
        return self.C


def ended(steps: np.ndarray, within: np.ndarray | None) -> np.ndarray:
    """Zeros in the place of what is behind an example's end   (LEN-3)"""
    return steps if within is None else np.where(within, steps, 0)


def start_layer(
    p: Arrays, cell: str, X: np.ndarray, state: Arrays, within: np.ndarray | None
) -> tuple[Layer, np.ndarray]:
    """Stack the gates, place the initial state, and form XW = X W_x + b for all steps at once.

    XW: (T, n, G·h)
    """
    T, n, d = X.shape
    W_x = np.concatenate([p[f"W_x{gate}"] for gate in GATES[cell]], axis=1)
    W_h = np.concatenate([p[f"W_h{gate}"] for gate in GATES[cell]], axis=1)
    # The reset-after GRU's candidate adds b_xh here and b_hh behind the reset gate.
    b = np.concatenate([p[f"b_{g}" if f"b_{g}" in p else f"b_x{g}"] for g in GATES[cell]])
    sequences = {part: np.empty((T + 1, *H_0.shape), X.dtype) for part, H_0 in state.items()}
    for part, H_0 in state.items():
        sequences[part][0] = H_0
    XW = (X.reshape(T * n, d) @ W_x + b).reshape(T, n, -1)
    P = np.stack([p["P_i"], p["P_f"], p["P_o"]]) if "P_i" in p else None
    states = sequences["H"], sequences.get("C")
    return Layer(X, W_x, W_h, *states, W_hp=p.get("W_hp"), within=within, P=P), XW


def rnn_layer(
    p: Arrays, phi: str, X: np.ndarray, state: Arrays, within: np.ndarray | None = None
) -> Layer:
    """H_t = φ(X_t W_xh + H_{t−1} W_hh + b_h)   (RNN-1)"""
    layer, XW = start_layer(p, "rnn", X, state, within)
    H = layer.H
    for t in range(len(X)):
        H[t + 1] = ACTIVATIONS[phi](XW[t] + H[t] @ layer.W_h)
        layer.stay(t)
    return layer


def gru_layer(
    p: Arrays, reset: str | None, X: np.ndarray, state: Arrays, within: np.ndarray | None = None
) -> Layer:
    """z = σ(X_t W_xz + H_{t−1} W_hz + b_z)                    (GRU-1)
    r = σ(X_t W_xr + H_{t−1} W_hr + b_r)                       (GRU-2)
    H̃ = tanh(X_t W_xh + b_xh + r ⊙ (H_{t−1} W_hh + b_hh))     (GRU-3a, reset after)
    H̃ = tanh(X_t W_xh + (r ⊙ H_{t−1}) W_hh + b_h)             (GRU-3b, reset before)
    H_t = z ⊙ H_{t−1} + (1 − z) ⊙ H̃                           (GRU-4)
    """
    layer, XW = start_layer(p, "gru", X, state, within)
    H, h = layer.H, layer.H.shape[-1]
    z, r, candidate, product = (np.empty_like(H[1:]) for _ in range(4))
    for t in range(len(X)):
        if reset == "after":
            HW = H[t] @ layer.W_h
            zr = sigmoid(XW[t, :, : 2 * h] + HW[:, : 2 * h])
            z[t], r[t] = zr[:, :h], zr[:, h:]
            product[t] = HW[:, 2 * h :] + p["b_hh"]
            candidate[t] = np.tanh(XW[t, :, 2 * h :] + r[t] * product[t])
        else:
            zr = sigmoid(XW[t, :, : 2 * h] + H[t] @ layer.W_h[:, : 2 * h])
            z[t], r[t] = zr[:, :h], zr[:, h:]
            product[t] = (r[t] * H[t]) @ layer.W_h[:, 2 * h :]
            candidate[t] = np.tanh(XW[t, :, 2 * h :] + product[t])
        H[t + 1] = z[t] * H[t] + (1 - z[t]) * candidate[t]
        layer.stay(t)
    layer.gates = {"z": z, "r": r, "h": candidate, "product": product}
    return layer


def lstm_layer(
    p: Arrays,
    kappa: float | None,
    X: np.ndarray,
    state: Arrays,
    within: np.ndarray | None = None,
) -> Layer:
    """i, f, o = σ(X_t W_x· + H_{t−1} W_h· + b_·)        (LSTM-1 to LSTM-3)
    C̃ = tanh(X_t W_xc + H_{t−1} W_hc + b_c)             (LSTM-4)
    C_t = f ⊙ C_{t−1} + i ⊙ C̃                           (LSTM-5)
    H_t = o ⊙ tanh(C_t)                                  (LSTM-6)
    H_t = (o ⊙ tanh(C_t)) W_hp   with a projection       (LSTM-7)
    with peepholes P_i ⊙ C_{t−1}, P_f ⊙ C_{t−1} and P_o ⊙ C_t are added  (LSTM-8 to LSTM-10)
    and with κ what σ and tanh read is clipped to −κ … κ (LSTM-11)
    """
    layer, XW = start_layer(p, "lstm", X, state, within)
    H, C, h = layer.H, layer.memory, layer.memory.shape[-1]
    i, f, o, candidate, tanh_C = (np.empty_like(C[1:]) for _ in range(5))
    layer.inside = None if kappa is None else np.empty(XW.shape, bool)
    for t in range(len(X)):
        A = XW[t] + H[t] @ layer.W_h
        if layer.P is not None:
            A[:, : 2 * h] += np.tile(C[t], 2) * layer.P[:2].ravel()
        a = clipped(layer, kappa, t, A)
        ifo = sigmoid(a[:, : 3 * h])
        i[t], f[t], o[t] = ifo[:, :h], ifo[:, h : 2 * h], ifo[:, 2 * h :]
        candidate[t] = np.tanh(a[:, 3 * h :])
        C[t + 1] = f[t] * C[t] + i[t] * candidate[t]
        if layer.P is not None:  # the output gate alone sees C_t, which is there only now
            A[:, 2 * h : 3 * h] += C[t + 1] * layer.P[2]
            o[t] = sigmoid(clipped(layer, kappa, t, A)[:, 2 * h : 3 * h])
        tanh_C[t] = np.tanh(C[t + 1])
        whole = o[t] * tanh_C[t]
        H[t + 1] = whole if layer.W_hp is None else whole @ layer.W_hp
        layer.stay(t)
    layer.gates = {"i": i, "f": f, "o": o, "c": candidate, "tanh_C": tanh_C}
    return layer


def clipped(layer: Layer, kappa: float | None, t: int, A: np.ndarray) -> np.ndarray:
    """min(max(a, −κ), κ) of step t's pre-activations, and where they were inside   (LSTM-11)"""
    if kappa is None or layer.inside is None:
        return A
    layer.inside[t] = np.abs(A) <= kappa
    return np.clip(A, -kappa, kappa)


def in_time(sequence: np.ndarray, backward: bool) -> np.ndarray:
    """A sequence that was read backward, put into the order of time; or the reverse."""
    return sequence[::-1] if backward else sequence


def stacked(rows: list[np.ndarray], axis: int = 0) -> np.ndarray:
    """The rows of a state in one array; those of a smaller layer have zeros behind their own."""
    widest = max(row.shape[-1] for row in rows)
    return np.stack([widened(row, widest) for row in rows], axis)


def widened(row: np.ndarray, size: int) -> np.ndarray:
    """So many columns: zeros behind those that there are."""
    missing = size - row.shape[-1]
    return np.pad(row, [*[(0, 0)] * (row.ndim - 1), (0, missing)]) if missing else row


def joined(halves: list[Layer]) -> np.ndarray:
    """H_t = [H_t forward, H_t backward], what a layer hands up, (T, n, h or 2h)   (BI-3)"""
    if len(halves) == 1:
        return halves[0].states("H")
    return np.concatenate([half.states("H") for half in halves], axis=-1)


def dropped(H: np.ndarray, number: int, kept: Sequence[np.ndarray]) -> np.ndarray:
    """M ⊙ H / (1 − r), what layer number + 1 receives; also of a gradient by it (DROP-1, BPTT-10).

    kept: M / (1 − r) of every layer but the last, (T, n, D·h) each; empty if nothing is dropped
    """
    return H * kept[number - 1] if number <= len(kept) else H


def direction(
    spec: ModelSpec,
    params: Arrays,
    number: int,
    backward: bool,
    X: np.ndarray,
    state: Arrays,
    within: np.ndarray | None = None,
) -> Layer:
    """Layer 1 … L, whichever cell it is, forward (BI-1) or backward in time (BI-2)."""
    p, X = layer_parameters(params, number, backward), in_time(X, backward)
    within = None if within is None else in_time(within, backward)
    start = state_of(spec, state, number, backward)
    if spec.cell == "rnn":
        layer = rnn_layer(p, spec.activations[number - 1], X, start, within)
    elif spec.cell == "gru":
        layer = gru_layer(p, spec.reset, X, start, within)
    else:
        layer = lstm_layer(p, spec.gate_clip, X, start, within)
    layer.backward = backward
    return layer


def forward(
    spec: ModelSpec,
    params: Arrays,
    X: np.ndarray,
    state: Arrays,
    within: np.ndarray | None = None,
    kept: Sequence[np.ndarray] = (),
) -> tuple[np.ndarray, list[Layer]]:
    """H^(0) = X;  H^(l) = layer l of H^(l−1);  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)

    With two directions H^(l) holds those of both side by side (BI-3).

    X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1) or None, as in Layer   kept: as above
    returns O: (T, n, q) and the layers, or the two directions of each
    """
    layers: list[Layer] = []
    H = ended(X, within)
    for number in range(1, spec.L + 1):
        one = functools.partial(direction, spec, params, number, X=H, state=state, within=within)
        layers += each_way(one, len(H[0]) * spec.h, spec.ways)
        H = dropped(joined(layers[-spec.directions :]), number, kept)
    T, n, width = H.shape
    O = H.reshape(T * n, width) @ params["output.W_hq"] + params["output.b_q"]
    return ended(O.reshape(T, n, spec.q), within), layers


def cross_entropy(
    O: np.ndarray, Y: np.ndarray, within: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1), and ∂ℓ/∂O = (softmax(O) − onehot(Y)) / (T·n)

    O: (T, n, q)   Y: (T, n) class numbers   within: the predictions that there are   (LEN-4)
    """
    shifted = O - O.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, Y[..., None], axis=-1)
    losses = np.log(total) - chosen
    loss = losses.mean() if within is None else losses[within].mean()
    dO = exponentials / total
    np.put_along_axis(dO, Y[..., None], np.take_along_axis(dO, Y[..., None], -1) - 1, axis=-1)
    count = Y.size if within is None else int(within.sum())
    return float(loss), ended(dO, within) / np.asarray(count, O.dtype)
