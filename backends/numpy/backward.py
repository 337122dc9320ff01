"""Backpropagation through time, by hand (EQUATIONS.md, BPTT-1 to BPTT-12, LEN-5).

Every function goes back through one layer of equations.py: from dH (T, n, h), the gradient by the
layer's outputs, to the gradients by its parameters, its inputs and its initial state. The loop
holds only what is recurrent; the products that form the weights' gradients are done once for all
steps. The names are the document's: B is what step t+1 sends back, D = dH_t + B_t, and dg stands
for its δg, the gradient by the pre-activation of gate g; dA holds those of all gates side by side.
"""

import functools
from collections.abc import Sequence

import numpy as np

from backends.numpy.equations import (
    Layer,
    cross_entropy,
    dropped,
    ended,
    forward,
    in_time,
    joined,
)
from backends.numpy.threads import each_way
from common.parameters import GATES, Arrays, parameter_shapes, prefix
from common.spec import ModelSpec

DERIVATIVES = {
    "tanh": lambda H: 1 - H * H,
    "relu": lambda H: (H > 0).astype(H.dtype),
    "sigmoid": lambda H: H * (1 - H),
    "identity": np.ones_like,
}
"""φ′ as a function of the value H = φ(a)."""


def flat(array: np.ndarray) -> np.ndarray:
    """(T, n, k) → (T·n, k)"""
    return array.reshape(-1, array.shape[-1])


def sum_over_rows(array: np.ndarray) -> np.ndarray:
    """(T, n, k) → (k,). As a matrix product: ``sum(axis=0)`` adds one row after another, and its
    float32 error was 17 times as large at D2L's 1,120 rows."""
    rows = flat(array)
    return np.ones(len(rows), rows.dtype) @ rows


def input_side(layer: Layer, cell: str, dA: np.ndarray) -> tuple[Arrays, np.ndarray]:
    """dW_xg = Σ_t X_tᵀ δg_t,  db_g = Σ δg_t,  dX_t = Σ_g δg_t W_xgᵀ   (BPTT-6)

    dA: (T, n, G·h), the gradient by XW   returns the gradients by name, and dX (T, n, in)
    """
    gates = GATES[cell]
    dW_x = flat(layer.X).T @ flat(dA)
    grads = {f"W_x{g}": w for g, w in zip(gates, np.split(dW_x, len(gates), 1), strict=True)}
    db = sum_over_rows(dA)
    grads |= {f"b_{g}": b for g, b in zip(gates, np.split(db, len(gates)), strict=True)}
    return grads, (flat(dA) @ layer.W_x.T).reshape(layer.X.shape)


def recurrent_side(H: np.ndarray, gates: str, dA: np.ndarray) -> Arrays:
    """dW_hg = Σ_t H_{t−1}ᵀ δg_t   (BPTT-7)

    H: (T, n, h), already shifted   dA: (T, n, len(gates)·h)
    """
    dW_h = flat(H).T @ flat(dA)
    return {f"W_h{g}": w for g, w in zip(gates, np.split(dW_h, len(gates), 1), strict=True)}


def rnn_layer(layer: Layer, phi: str, dH: np.ndarray) -> tuple[Arrays, np.ndarray, Arrays]:
    """δh_t = D_t ⊙ φ′,  B_{t−1} = δh_t W_hhᵀ   (BPTT-3)"""
    dA = np.empty_like(dH)
    slope = DERIVATIVES[phi](layer.H[1:])
    B = np.zeros_like(layer.H[0])
    for t in reversed(range(len(dH))):
        D = dH[t] + B
        dA[t] = layer.own(t, D * slope[t], 0)
        B = layer.own(t, dA[t] @ layer.W_h.T, D)
    grads, dX = input_side(layer, "rnn", dA)
    return grads | recurrent_side(layer.H[:-1], "h", dA), dX, {"H": B}


def gru_layer(layer: Layer, reset: str | None, dH: np.ndarray) -> tuple[Arrays, np.ndarray, Arrays]:
    """δz = D ⊙ (H_{t−1} − H̃) ⊙ z(1−z),  δh = D ⊙ (1−z) ⊙ (1−H̃²)   (BPTT-4)

    after:  M = (δh ⊙ r) W_hhᵀ   δr = δh ⊙ (H_{t−1} W_hh + b_hh) ⊙ r(1−r)
            B_{t−1} = D ⊙ z + δz W_hzᵀ + δr W_hrᵀ + M
    before: M = δh W_hhᵀ         δr = M ⊙ H_{t−1} ⊙ r(1−r)
            B_{t−1} = D ⊙ z + δz W_hzᵀ + δr W_hrᵀ + M ⊙ r
    """
    z, r, candidate, product = (layer.gates[k] for k in ("z", "r", "h", "product"))
    H, h = layer.H, layer.H.shape[-1]
    W_hzr, W_hh = layer.W_h[:, : 2 * h], layer.W_h[:, 2 * h :]
    dA = np.empty((*dH.shape[:2], 3 * h), dH.dtype)
    dz, dr, dh = dA[..., :h], dA[..., h : 2 * h], dA[..., 2 * h :]
    B = np.zeros_like(H[0])
    for t in reversed(range(len(dH))):
        D = dH[t] + B
        dz[t] = D * (H[t] - candidate[t]) * z[t] * (1 - z[t])
        dh[t] = D * (1 - z[t]) * (1 - candidate[t] ** 2)
        if reset == "after":
            M = (dh[t] * r[t]) @ W_hh.T
            dr[t] = dh[t] * product[t] * r[t] * (1 - r[t])
            B = D * z[t] + dA[t, :, : 2 * h] @ W_hzr.T + M
        else:
            M = dh[t] @ W_hh.T
            dr[t] = M * H[t] * r[t] * (1 - r[t])
            B = D * z[t] + dA[t, :, : 2 * h] @ W_hzr.T + M * r[t]
        dA[t], B = layer.own(t, dA[t], 0), layer.own(t, B, D)
    grads, dX = input_side(layer, "gru", dA)
    grads |= recurrent_side(H[:-1], "zr", dA[..., : 2 * h])
    if reset == "after":
        grads["b_xh"], grads["b_hh"] = grads.pop("b_h"), sum_over_rows(dh * r)
        grads |= recurrent_side(H[:-1], "h", dh * r)
    else:
        grads |= recurrent_side(r * H[:-1], "h", dh)
    return grads, dX, {"H": B}


def lstm_layer(layer: Layer, dH: np.ndarray) -> tuple[Arrays, np.ndarray, Arrays]:
    """K_t = D ⊙ o ⊙ (1 − tanh²(C_t)) + K_{t+1} ⊙ f_{t+1}   (BPTT-5)

    δi = K ⊙ C̃ ⊙ i(1−i)         δf = K ⊙ C_{t−1} ⊙ f(1−f)
    δo = D ⊙ tanh(C_t) ⊙ o(1−o)   δc = K ⊙ i ⊙ (1−C̃²)
    B_{t−1} = δi W_hiᵀ + δf W_hfᵀ + δo W_hoᵀ + δc W_hcᵀ

    With a projection D W_hpᵀ stands for D in them, and dW_hp = Σ_t (o ⊙ tanh(C_t))ᵀ D   (BPTT-9)
    With peepholes K_t has δo ⊙ P_o as well, and K_f δi ⊙ P_i + δf ⊙ P_f   (BPTT-11)
    With a clip δg is 0 where it clipped   (BPTT-12)
    """
    i, f, o, candidate, tanh_C = (layer.gates[k] for k in ("i", "f", "o", "c", "tanh_C"))
    C, h, D = layer.memory, layer.memory.shape[-1], np.empty_like(dH)
    dA = np.empty((*dH.shape[:2], 4 * h), dH.dtype)
    di, df, do, dc = (dA[..., gate * h : (gate + 1) * h] for gate in range(4))
    B, K_f = np.zeros_like(layer.H[0]), np.zeros_like(C[0])  # K_f: K_{t+1} ⊙ f_{t+1}
    for t in reversed(range(len(dH))):
        D[t] = dH[t] + B
        D_t = D[t] if layer.W_hp is None else D[t] @ layer.W_hp.T
        K = D_t * o[t] * (1 - tanh_C[t] ** 2) + K_f
        do[t] = D_t * tanh_C[t] * o[t] * (1 - o[t])
        if layer.P is not None:
            K += unclipped(layer, t, do[t], slice(2 * h, 3 * h)) * layer.P[2]
        di[t] = K * candidate[t] * i[t] * (1 - i[t])
        df[t] = K * C[t] * f[t] * (1 - f[t])
        dc[t] = K * i[t] * (1 - candidate[t] ** 2)
        dA[t] = unclipped(layer, t, layer.own(t, dA[t], 0))
        B = layer.own(t, dA[t] @ layer.W_h.T, D[t])
        peeped = 0 if layer.P is None else di[t] * layer.P[0] + df[t] * layer.P[1]
        K_f = layer.own(t, K * f[t] + peeped, K_f)
        D[t] = layer.own(t, D[t], 0)
    grads, dX = input_side(layer, "lstm", dA)
    if layer.W_hp is not None:
        grads["W_hp"] = flat(o * tanh_C).T @ flat(D)
    if layer.P is not None:
        seen = {"i": (di, C[:-1]), "f": (df, C[:-1]), "o": (do, C[1:])}
        grads |= {f"P_{gate}": sum_over_rows(dg * C_g) for gate, (dg, C_g) in seen.items()}
    return grads | recurrent_side(layer.H[:-1], "ifoc", dA), dX, {"H": B, "C": K_f}


def unclipped(layer: Layer, t: int, dA: np.ndarray, part: slice = slice(None)) -> np.ndarray:
    """δg, and 0 where step t's pre-activation was clipped   (BPTT-12)"""
    return dA if layer.inside is None else dA * layer.inside[t, :, part]


def direction(
    spec: ModelSpec, number: int, layer: Layer, dH: np.ndarray
) -> tuple[Arrays, np.ndarray, Arrays]:
    """Back through layer 1 … L, whichever cell it is; dH and dX are in the order of time."""
    dH = in_time(dH, layer.backward)
    if spec.cell == "rnn":
        grads, dX, start = rnn_layer(layer, spec.activations[number - 1], dH)
    elif spec.cell == "gru":
        grads, dX, start = gru_layer(layer, spec.reset, dH)
    else:
        grads, dX, start = lstm_layer(layer, dH)
    return grads, in_time(dX, layer.backward), start


def loss_and_gradients(
    spec: ModelSpec,
    params: Arrays,
    X: np.ndarray,
    Y: np.ndarray,
    state: Arrays,
    within: np.ndarray | None = None,
    kept: Sequence[np.ndarray] = (),
) -> tuple[float, Arrays, list[Layer]]:
    """The mean loss; its gradient by every parameter, by X and by the initial state (H0, C0);
    and the forward pass. BPTT-1 starts at the output layer, BPTT-2 hands dX of a layer down as dH
    of the one below. Of two directions each gets its half of dH, and their dX add up (BPTT-8).
    Behind an example's end nothing has a gradient; what comes to its last state passes (LEN-5).
    What was dropped between two layers has none either (BPTT-10).

    within: (T, n, 1), where a step is the example's own; None if all are
    kept:   M / (1 − r) of every layer but the last; empty if nothing is dropped"""
    O, layers = forward(spec, params, X, state, within, kept)
    loss, dO = cross_entropy(O, Y, within)
    dO = ended(dO, within)  # whatever the loss makes of it, O is 0 there
    grads = {
        "output.W_hq": flat(joined(layers[-spec.directions :])).T @ flat(dO),
        "output.b_q": sum_over_rows(dO),
    }
    dH = (flat(dO) @ params["output.W_hq"].T).reshape(*Y.shape, spec.width)
    starts = {part: np.zeros_like(array) for part, array in state.items()}
    for number in range(spec.L, 0, -1):
        rows = [spec.row(number, backward) for backward in spec.ways]
        halves = [layers[row] for row in rows], np.split(dH, spec.directions, axis=-1)
        back = functools.partial(direction, spec, number)
        parts: list[np.ndarray] = []
        done = each_way(back, len(Y[0]) * spec.h, *halves)
        for backward, row, (p_grads, dX, start) in zip(spec.ways, rows, done, strict=True):
            parts.append(dX)
            grads |= {f"{prefix(number, backward)}{n}": array for n, array in p_grads.items()}
            for part, array in start.items():
                starts[part][row, :, : array.shape[-1]] = array
        dH = functools.reduce(np.add, parts)
        if number > 1:
            dH = dropped(dH, number - 1, kept)
    ordered = {name: grads[name] for name in parameter_shapes(spec)}
    ordered |= {"X": dH} | {f"{part}0": array for part, array in starts.items()}
    return loss, ordered, layers
