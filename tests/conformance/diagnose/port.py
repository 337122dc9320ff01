"""Somebody's port: a small evaluator of its own, which shares no code with what is tested.

It loops over steps and gates, one matrix product for each, and takes whatever a situation needs to
get wrong. Weights are given per gate: W[g] (in, h), U[g] (p, h), b[g] (h,).
"""

from pathlib import Path

import numpy as np

from common.weights import write_arrays
from conformance.__main__ import main

GATES = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def weights(cell: str, d: int, h: int, seed: int = 1, scale: float = 0.7, p: int | None = None):
    """Random W, U, b_x and b_h of one layer."""
    rng = np.random.RandomState(seed)
    gates = GATES[cell]
    shapes = ((d, h), (p or h, h), (h,), (h,))
    return [{g: rng.uniform(-scale, scale, s) for g in gates} for s in shapes]


def lstm(X, W, U, b, H=None, C=None, gate=sigmoid, g=np.tanh, out=np.tanh, forget=0.0, after=0.0,
         cell_clip=None, clip=None, peep=None, project=None):  # fmt: skip
    """X (T, n, d); returns the outputs (T, n, p)."""
    h = b["i"].shape[0]
    H = np.zeros((X.shape[1], h if project is None else project.shape[1])) if H is None else H
    C = np.zeros((X.shape[1], h)) if C is None else C
    cut = (lambda a: a) if clip is None else (lambda a: np.clip(a, -clip, clip))
    outputs = []
    for X_t in X:
        a = {k: X_t @ W[k] + H @ U[k] + b[k] for k in "ifgo"}
        if peep is not None:
            a["i"], a["f"] = a["i"] + peep["i"] * C, a["f"] + peep["f"] * C
        C = (gate(cut(a["f"] + forget)) + after) * C + gate(cut(a["i"])) * g(cut(a["g"]))
        C = C if cell_clip is None else np.clip(C, -cell_clip, cell_clip)
        if peep is not None:
            a["o"] = a["o"] + peep["o"] * C
        H = gate(cut(a["o"])) * out(C)
        H = H if project is None else H @ project
        outputs.append(H)
    return np.stack(outputs)


def gru(X, W, U, b_x, b_h, H=None, reset="after", gate=sigmoid):
    H = np.zeros((X.shape[1], b_x["r"].shape[0])) if H is None else H
    outputs = []
    for X_t in X:
        r, z = (gate(X_t @ W[k] + H @ U[k] + b_x[k] + b_h[k]) for k in "rz")
        if reset == "after":
            n = X_t @ W["n"] + b_x["n"] + r * (H @ U["n"] + b_h["n"])
        else:
            n = X_t @ W["n"] + b_x["n"] + (r * H) @ U["n"] + b_h["n"]
        H = z * H + (1 - z) * np.tanh(n)
        outputs.append(H)
    return np.stack(outputs)


def rnn(X, W, U, b, phi=np.tanh, H=None):
    H = np.zeros((X.shape[1], b["h"].shape[0])) if H is None else H
    outputs = []
    for X_t in X:
        H = phi(X_t @ W["h"] + H @ U["h"] + b["h"])
        outputs.append(H)
    return np.stack(outputs)


def both(b_x, b_h):
    return {k: b_x[k] + b_h[k] for k in b_x}


def stacked(blocks, order, rows=False):
    """(in, G·h), or (G·h, in) with rows; of vectors (G·h,)."""
    made = np.concatenate([blocks[k] for k in order], axis=-1)
    return np.ascontiguousarray(made.T) if rows else made


def torch_names(cell, layer, prefix="", l=0, reverse=""):
    """A layer as PyTorch stores it."""
    order = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}[cell]
    W, U, b_x, b_h = layer
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {
        f"{prefix}{name}_l{l}{reverse}": stacked(part, order, rows=part is W or part is U)
        for name, part in zip(names, (W, U, b_x, b_h), strict=True)
    }


def keras_names(cell, layer, stem="layers.0"):
    """A layer as Keras stores it: one bias, or two of a GRU that resets after."""
    order = {"rnn": "h", "gru": "zrn", "lstm": "ifgo"}[cell]
    W, U, b_x, b_h = layer
    bias = stacked(both(b_x, b_h), order)
    if cell == "gru":
        bias = np.stack([stacked(b_x, order), stacked(b_h, order)])
    return {
        f"{stem}.kernel": stacked(W, order),
        f"{stem}.recurrent_kernel": stacked(U, order),
        f"{stem}.bias": bias,
    }


def ask(folder: Path, layout: str, tensors: dict, X, outputs, *options: str, dtype="float32", **io):
    """Exit code and what was said."""
    import json

    written = {name: np.asarray(array, dtype) for name, array in tensors.items()}
    write_arrays(folder / "w.safetensors", written, {})
    data = {"X": X, "outputs": outputs, **io}
    arrays = {name: np.asarray(array) for name, array in data.items()}
    kept = {n: a if a.dtype.kind == "i" else a.astype(dtype) for n, a in arrays.items()}
    write_arrays(folder / "io.safetensors", kept, {})
    code = main([
        "diagnose", "--quiet", "--weights", str(folder / "w.safetensors"), "--layout", layout,
        "--io", str(folder / "io.safetensors"), "--json", str(folder / "out.json"), *options,
    ])  # fmt: skip
    if code == 2:
        return code, {}
    return code, json.loads((folder / "out.json").read_text(encoding="utf-8"))
