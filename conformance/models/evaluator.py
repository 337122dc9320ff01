"""A forward pass in NumPy: vectorised, without a tape, in float64 or float32.

It computes what a Network is under Choices. The equations are those of common/EQUATIONS.md, RNN-1,
GRU-1 to GRU-4 and LSTM-1 to LSTM-6, with every choice of Choices put in. It shares no code with the
oracle: tests hold one against the other.
"""

from dataclasses import dataclass, replace

import numpy as np

from conformance.models.network import Choices, Direction, Network, State
from conformance.models.rounding import ROUNDINGS, Rounding


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda a: np.maximum(a, 0),
    "identity": lambda a: a,
    "hard sigmoid 0.2": lambda a: (0.2 * a + 0.5).clip(0, 1),
    "hard sigmoid 1/6": lambda a: (a / 6 + 0.5).clip(0, 1),
    "hard tanh": lambda a: a.clip(-1, 1),
    "softsign": lambda a: a / (1 + np.abs(a)),
    "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0))),
    "leaky relu 0.01": lambda a: np.where(a > 0, a, 0.01 * a),
    "softplus": lambda a: np.logaddexp(a, 0),
    "gelu": lambda a: 0.5 * a * (1 + np.tanh(0.7978845608028654 * (a + 0.044715 * a**3))),
    "sin": np.sin,
    "1 − sigmoid": lambda a: sigmoid(-a),
    "sigmoid of twice": lambda a: sigmoid(2 * a),
    "one": np.ones_like,
}
"""By the names that Choices use."""


EXACT = Rounding("")


class Misfit(Exception):
    """These choices cannot be made with this network: the sizes of its layers do not fit."""


@dataclass(frozen=True)
class Pass:
    """One direction of one layer. H: (T, n, p); C: (T, n, h) of an LSTM; last: state at its end"""

    H: np.ndarray
    C: np.ndarray | None
    last: dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """outputs: (T, n, k)     last: of every layer and direction, H (and C) at its end
    ends: what is made of the topmost last H of each direction, (n, k)
    finals: the last H, or C where that is read, of every layer and direction
    passes: of each layer, its directions"""

    outputs: np.ndarray
    last: State
    ends: np.ndarray
    finals: list[np.ndarray]
    passes: list[list[Pass]]


def run(network: Network, c: Choices, X: np.ndarray, state: State | None = None) -> Run:
    """X (T, n, d); state: zeros if none is given. Overflow is no error: a wrong function may.

    Raises Misfit if the layers cannot be stacked so."""
    with np.errstate(all="ignore"):
        state = zeros(network, X) if state is None else state
        if c.warm:
            state = _stack(network, c, X, state).last
        return _stack(network, c, X, state)


def zeros(network: Network, X: np.ndarray) -> State:
    shapes = network.state_shapes(X.shape[1])
    return {part: [np.zeros(s, X.dtype) for s in sizes] for part, sizes in shapes.items()}


def _stack(network: Network, c: Choices, X: np.ndarray, state: State) -> Run:
    """STACK-1 and OUT-1."""
    D, L = network.directions, network.L
    order = tuple(range(L)) if c.order is None else c.order
    last: State = {part: list(state[part]) for part in network.parts}
    below, seen = X, []
    for place, layer in enumerate(order):
        passes = []
        for direction, half in enumerate(network.layers[layer]):
            k = layer * D + direction
            if half.d != below.shape[-1]:
                raise Misfit(f"layer {layer + 1} reads {half.d} numbers, not {below.shape[-1]}")
            start = {part: state[part][k] for part in network.parts}
            backwards = D == 2 and direction == c.backward
            made = direct(network.cell, half, c, layer, below, start, backwards)
            for part in network.parts:
                last[part][k] = made.last[part]
            passes.append(made)
        above = network.layers[order[place + 1]][0].d if place + 1 < len(order) else None
        inner = "concat" if c.merge in AT_THE_TOP or above != passes[0].H.shape[-1] else c.merge
        if above == passes[0].H.shape[-1] and D == 2 and inner == "concat":
            inner = "sum"
        joined = merged([p.H for p in passes], inner if above is not None else c.merge)
        inside = place > 0 and (above is not None or c.residual == "all")
        if c.residual and inside and below.shape == joined.shape:
            joined = joined + below
        seen.append((passes, joined))
        below = joined
    outputs = _head(network, c, _read(c, seen, state, D))
    part = "C" if c.reads == "C" and "C" in last else "H"
    top = seen[int(c.reads)][0] if c.reads.isdecimal() else seen[-1][0]
    ends = _head(network, c, merged([p.last[part] for p in top], c.merge))
    return Run(outputs, last, ends, last[part], [passes for passes, _ in seen])


def _head(network: Network, c: Choices, H: np.ndarray) -> np.ndarray:
    """The output layer, if there is one of this size."""
    if network.output is not None and H.shape[-1] == len(network.output[0]):
        H = H @ network.output[0] + network.output[1]
    return ROUNDINGS[c.rounding].value(H) if c.rounding else H


AT_THE_TOP = {"interleave", "swapped", "forward", "backward"}
"""Merges that are mistaken for concatenation at the end; between layers it stays what it is."""


def merged(halves: list[np.ndarray], how: str) -> np.ndarray:
    if len(halves) == 1:
        return halves[0]
    forward, backward = halves
    if how == "concat":
        return np.concatenate(halves, axis=-1)
    if how == "swapped":
        return np.concatenate([backward, forward], axis=-1)
    if how == "interleave":
        return np.stack(halves, axis=-1).reshape(*forward.shape[:-1], -1)
    if how in ("forward", "backward"):
        return halves[how == "backward"]
    total = forward * backward if how == "mul" else forward + backward
    return total / 2 if how == "ave" else total


def _read(c: Choices, seen: list, state: State, D: int) -> np.ndarray:
    passes, joined = seen[-1]
    if c.reads == "C" and passes[0].C is not None:
        return merged([p.C for p in passes], c.merge)
    if c.reads == "before":
        first = merged(state["H"][-D:], c.merge)
        return np.concatenate([first[None], joined[:-1]])
    return seen[int(c.reads)][1] if c.reads.isdecimal() else joined


def direct(
    cell: str,
    half: Direction,
    c: Choices,
    layer: int,
    X: np.ndarray,
    start: dict[str, np.ndarray],
    backwards: bool,
) -> Pass:
    """One direction over X (T, n, in). A backward one reads from each example's own end."""
    T = len(X)
    if backwards:
        X = turned(X, c.lengths)
    rounding = ROUNDINGS[c.rounding] if c.rounding else EXACT
    if c.rounding:
        half = rounded(half, rounding)
    if not half.U.flags.c_contiguous:
        # BLAS would copy it anew at every step of a small batch: six times slower.
        half = replace(half, U=np.ascontiguousarray(half.U))
    wide = rounding.operand(X).reshape(-1, X.shape[-1])
    XW = (rounding.value(wide @ half.W) + half.b_x).reshape(T, X.shape[1], -1)
    step = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}[cell]
    H, C = start["H"], start.get("C")
    Hs = np.empty((T, *H.shape), X.dtype)
    Cs = None if C is None else np.empty((T, *C.shape), X.dtype)
    for t in range(T):
        H_new, C_new = step(half, c, layer, XW[t], H, C, rounding)
        Hs[t] = H_new
        if c.lengths is not None and c.after_end != "on":
            live = (t < c.lengths)[:, None]
            Hs[t] = np.where(live, H_new, H if c.after_end == "carry" and t else 0)
            H_new = np.where(live, H_new, H)
            C_new = np.where(live, C_new, C) if C is not None and C_new is not None else None
        H, C = H_new, C_new
        if Cs is not None:
            Cs[t] = C
    last = {"H": H} if C is None else {"H": H, "C": C}
    if backwards and c.turned:
        Hs = turned(Hs, c.lengths)
        Cs = None if Cs is None else turned(Cs, c.lengths)
    return Pass(Hs, Cs, last)


def turned(X: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Each example's own steps in reverse order; what is behind its end stays."""
    if lengths is None:
        return X[::-1]
    found = X.copy()
    for k, length in enumerate(lengths):
        found[:length, k] = X[:length, k][::-1]
    return found


def rounded(half: Direction, rounding: Rounding) -> Direction:
    def store(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else rounding.value(a)

    return Direction(
        rounding.weight(half.W), rounding.weight(half.U), rounding.value(half.b_x),
        rounding.value(half.b_h),
        store(half.peephole), None if half.project is None else rounding.weight(half.project),
        store(half.gain), store(half.shift),
    )  # fmt: skip


def recurrent(H: np.ndarray, U: np.ndarray, rounding: Rounding) -> np.ndarray:
    """H U, which need not be computed where a state is zero, as it mostly is at the first step."""
    if not H.any():
        return np.zeros((len(H), U.shape[1]), H.dtype)
    return rounding.value(rounding.operand(H) @ U)


def act(c: Choices, gate: str, a: np.ndarray, usual: str) -> np.ndarray:
    return ACTIVATIONS[c.activations.get(gate, usual)](a)


def prepared(half: Direction, c: Choices, a: np.ndarray, G: int) -> np.ndarray:
    """Pre-activations (n, G·h), normalised where that is chosen."""
    if c.normalise and half.gain is not None:
        wide = a.reshape(len(a), G, -1) if c.normalise == "gate" else a[:, None]
        mean, variance = wide.mean(-1, keepdims=True), wide.var(-1, keepdims=True)
        a = ((wide - mean) / np.sqrt(variance + c.epsilon)).reshape(a.shape)
        a = a * half.gain + half.shift
    return a


def clipped(c: Choices, a: np.ndarray) -> np.ndarray:
    """LSTM-11, and the same of the other cells"""
    return a if c.clip is None else np.clip(a, -c.clip, c.clip)


def _rnn(half, c, layer, XW, H, C, rounding):
    """RNN-1"""
    a = clipped(c, prepared(half, c, XW + (recurrent(H, half.U, rounding) + half.b_h), 1))
    phi = c.per_layer[layer] if c.per_layer else c.activations.get("h", "tanh")
    return rounding.value(ACTIVATIONS[phi](rounding.value(a))), None


def _gru(half, c, layer, XW, H, C, rounding):
    """GRU-1 to GRU-4; a clip is of every pre-activation."""
    h, q = H.shape[1], rounding.value
    U = half.U if c.reset == "after" else half.U[:, : 2 * h]
    HU = recurrent(H, U, rounding)
    if c.reset == "after":
        HU = HU + half.b_h
        a = q(XW[:, : 2 * h] + HU[:, : 2 * h])
    else:
        a = q(XW[:, : 2 * h] + HU + half.b_h[: 2 * h])
    a = clipped(c, a)
    z, r = q(act(c, "z", a[:, :h], "sigmoid")), q(act(c, "r", a[:, h:], "sigmoid"))
    if c.reset == "after":
        b = XW[:, 2 * h :] + r * HU[:, 2 * h :]
    else:
        product = recurrent(r * H, half.U[:, 2 * h :], rounding)
        b = XW[:, 2 * h :] + product + half.b_h[2 * h :]
    new = q(act(c, "h", q(clipped(c, b)), "tanh"))
    return q(z * H + (1 - z) * new), None


def _lstm(half, c, layer, XW, H, C, rounding):
    """LSTM-1 to LSTM-11: with a projection, peepholes and a clip where the file has them."""
    h, q = C.shape[1], rounding.value
    a = prepared(half, c, q(XW + recurrent(H, half.U, rounding) + half.b_h), 4)
    i, f, o, g = (a[:, k * h : (k + 1) * h] for k in range(4))
    if half.peephole is not None:
        i, f = i + half.peephole[0] * C, f + half.peephole[1] * C
    i, g = act(c, "i", clipped(c, i), "sigmoid"), clipped(c, g)
    f = act(c, "f", clipped(c, f + c.forget_bias if c.forget_bias else f), "sigmoid")
    f = 1 - i if c.coupled else f + c.forget_after if c.forget_after else f
    new = q(q(q(f) * C) + q(q(i) * q(act(c, "c", g, "tanh"))))
    if c.cell_clip is not None:
        new = np.clip(new, -c.cell_clip, c.cell_clip)
    if half.peephole is not None:
        o = o + half.peephole[2] * (new if c.late_peephole else C)
    made = q(q(act(c, "o", clipped(c, o), "sigmoid")) * q(ACTIVATIONS[c.out](new)))
    if half.project is not None:
        made = q(rounding.operand(made) @ half.project)
        if c.project_clip is not None:
            made = np.clip(made, -c.project_clip, c.project_clip)
    return made, new
