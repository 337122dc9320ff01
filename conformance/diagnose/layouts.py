"""Somebody's own weights, as frameworks lay them out, read into canonical parameters.

Every layout stacks a layer's gates in its own order; here they are split, and both biases kept:
``b_x…`` of the input side and ``b_h…`` of the recurrent side. Keys may carry any prefix.

    pytorch  weight_ih_l0 (G·h, in), weight_hh_l0 (G·h, h), bias_ih_l0, bias_hh_l0 (G·h,)
    mxnet    l0_i2h_weight (G·h, in), l0_h2h_weight (G·h, h), l0_i2h_bias, l0_h2h_bias (G·h,)
    keras    layers.0.kernel (in, G·h), layers.0.recurrent_kernel (h, G·h), layers.0.bias (G·h,), or
             (2, G·h) of a GRU that resets after
    onnx     layers.0.W (1, G·h, in), layers.0.R (1, G·h, h), layers.0.B (1, 2·G·h)
    flax     nnx: layers.0.dense_i.kernel (in, G·h), layers.0.dense_h.kernel (h, G·h) and their bias
             (G·h,), also below a .cell; Linen: layers.0.i.kernel, layers.0.h.kernel, or per gate
             layers.0.ii.kernel (in, h), layers.0.hi.kernel (h, h), layers.0.hi.bias (h,)
    output   W_hq (h, q) and b_q (q,), if the outputs are behind an output layer

Sources: torch 2.13 ``nn.RNNBase``; MXNet 1.9.1 ``gluon.rnn``; Keras 3.15 ``LSTM``, ``GRU``; ONNX'
operators LSTM, GRU and RNN; Flax 0.12 ``OptimizedLSTMCell``, ``GRUCell``, ``SimpleCell``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import BadInput
from common.parameters import GATES, Arrays
from common.spec import Cell

CELLS: dict[int, Cell] = {1: "rnn", 3: "gru", 4: "lstm"}
"""The cell, by how many gates it has."""


@dataclass(frozen=True)
class Layout:
    """keys:  a layer's tensors, as patterns with the layer's number; the first two are needed
    order: the gates as they are stacked, in canonical letters, by cell
    rows:  whether they are stacked along the rows, (G·h, in)
    """

    keys: dict[str, str]
    order: dict[str, str]
    rows: bool = False


LAYOUTS = {
    "pytorch": Layout(
        {"W_x": r"weight_ih_l(\d+)", "W_h": r"weight_hh_l(\d+)", "b_x": r"bias_ih_l(\d+)",
         "b_h": r"bias_hh_l(\d+)"},
        {"rnn": "h", "gru": "rzh", "lstm": "ifco"}, rows=True),
    "mxnet": Layout(
        {"W_x": r"l(\d+)_i2h_weight", "W_h": r"l(\d+)_h2h_weight", "b_x": r"l(\d+)_i2h_bias",
         "b_h": r"l(\d+)_h2h_bias"},
        {"rnn": "h", "gru": "rzh", "lstm": "ifco"}, rows=True),
    "keras": Layout(
        {"W_x": r"layers\.(\d+)\.kernel", "W_h": r"layers\.(\d+)\.recurrent_kernel",
         "b": r"layers\.(\d+)\.bias"},
        {"rnn": "h", "gru": "zrh", "lstm": "ifco"}),
    "onnx": Layout(
        {"W_x": r"layers\.(\d+)\.W", "W_h": r"layers\.(\d+)\.R", "b": r"layers\.(\d+)\.B"},
        {"rnn": "h", "gru": "zrh", "lstm": "iofc"}, rows=True),
    "flax": Layout(
        {"W_x": r"layers\.(\d+)\.dense_i\.kernel",
         "W_h": r"layers\.(\d+)\.dense_h\.kernel",
         "b_x": r"layers\.(\d+)\.dense_i\.bias",
         "b_h": r"layers\.(\d+)\.dense_h\.bias"},
        {"rnn": "h", "gru": "rzh", "lstm": "ifco"}),
}  # fmt: skip

LINEN: dict[Cell, dict[str, str]] = {
    "gru": {"r": "r", "z": "z", "n": "h"},
    "lstm": {"i": "i", "f": "f", "g": "c", "o": "o"},
}
"""Linen's letters of the gates, each of which has a matrix of its own, and ours."""

LINEN_KEY = re.compile(r"(?:.*[._/])?layers\.(\d+)(?:\.cell)?\.([ih])([a-z])\.(kernel|bias)")
NNX_KEY = re.compile(r"\.(?:cell\.)?(?:dense_)?([ih])\.(kernel|bias)$")
"""Of a cell, or of the nnx.RNN around it; Linen's SimpleCell has no dense_."""


@dataclass(frozen=True)
class Stack:
    """layers: W_xg, W_hg and both biases b_xg, b_hg of every gate g
    output: W_hq and b_q, or nothing
    biases: how many the file holds for each gate
    """

    cell: Cell
    layers: list[Arrays]
    output: Arrays
    biases: int

    @property
    def d(self) -> int:
        return self.layers[0][f"W_x{GATES[self.cell][0]}"].shape[0]

    @property
    def h(self) -> int:
        return self.layers[0][f"W_h{GATES[self.cell][0]}"].shape[0]


def read_stack(arrays: Arrays, name: str, path: Path) -> Stack:
    """The weights of a file in a layout; BadInput says what was looked for, and found."""
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise BadInput(path, key, "finite values", "NaN or infinity")
    output = {key: a for key, a in arrays.items() if key in ("W_hq", "b_q")}
    rest = {key: a for key, a in arrays.items() if key not in output}
    per_gate = name == "flax" and any(map(LINEN_KEY.fullmatch, rest))
    if name == "flax":
        rest = {NNX_KEY.sub(r".dense_\1.\2", key): array for key, array in rest.items()}
    found = _read_linen(rest, path) if per_gate else _read_stacked(rest, name, path)
    cell, layers, biases = found
    below = layers[0]["W_x" + GATES[cell][0]].shape[0]
    h = layers[0]["W_h" + GATES[cell][0]].shape[0]
    for number, layer in enumerate(layers):
        for key, array in layer.items():
            shape = {"W_x": (below, h), "W_h": (h, h)}.get(key[:3], (h,))
            if array.shape != shape:
                raise BadInput(path, f"layer {number}, {key}", f"shape {shape}", array.shape)
        below = h
    if output and (set(output) != {"W_hq", "b_q"} or output["W_hq"].shape[:1] != (h,)):
        raise BadInput(path, "W_hq, b_q", f"both, W_hq of shape ({h}, q)", sorted(output))
    return Stack(cell, layers, output, biases)


def _read_stacked(arrays: Arrays, name: str, path: Path) -> tuple[Cell, list[Arrays], int]:
    layout = LAYOUTS[name]
    found: dict[int, Arrays] = {}
    for key, array in arrays.items():
        for kind, pattern in layout.keys.items():
            if match := re.fullmatch(rf"(?:.*[._/])?{pattern}|{pattern}", key):
                number = int(next(group for group in match.groups() if group is not None))
                found.setdefault(number, {})[kind] = array
    needed = list(layout.keys.values())[:2]
    for number in range(max(len(found), 1)):
        for kind, pattern in zip(("W_x", "W_h"), needed, strict=True):
            if kind not in found.get(number, {}):
                looked = pattern.replace(r"(\d+)", str(number)).replace("\\", "")
                held = ", ".join(sorted(arrays)[:4]) or "nothing"
                raise BadInput(path, f"--layout {name}", f"a tensor named {looked}", held)
    first = {kind: _one_direction(array, name, path) for kind, array in found[0].items()}
    gates = _count_gates(first, layout, name, path)
    cell = CELLS[gates]
    layers, biases = [], 0
    for number in range(len(found)):
        kinds = {kind: _one_direction(a, name, path) for kind, a in found[number].items()}
        b_x, b_h, biases = _biases(kinds, name, path)
        stacked = {"W_x": kinds["W_x"], "W_h": kinds["W_h"], "b_x": b_x, "b_h": b_h}
        layers.append(_split(stacked, layout, cell, f"layer {number}", path))
    return cell, layers, biases


def _one_direction(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    """ONNX's first axis counts directions."""
    if name != "onnx":
        return array
    if array.shape[:1] != (1,):
        raise BadInput(path, "--layout onnx", "one direction, shape (1, …)", array.shape)
    return array[0]


def _count_gates(first: Arrays, layout: Layout, name: str, path: Path) -> int:
    shape = first["W_h"].shape
    stacked, h = (shape if layout.rows else shape[::-1]) if len(shape) == 2 else (0, 0)
    gates = stacked // h if h and stacked % h == 0 else 0
    if gates not in CELLS:
        wanted = "(G·h, h)" if layout.rows else "(h, G·h)"
        expected = f"a recurrent matrix {wanted} with G of 1, 3 or 4"
        raise BadInput(path, f"--layout {name}", expected, f"shape {shape}")
    return gates


def _biases(kinds: Arrays, name: str, path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Both biases (G·h,), and how many there are."""
    size = max(kinds["W_h"].shape)
    zeros = np.zeros(size)
    if "b" in kinds:
        whole = kinds["b"].reshape(-1)
        if whole.size == 2 * size:
            return whole[:size], whole[size:], 2
        if whole.size == size:
            return whole, zeros, 1
        raise BadInput(path, f"--layout {name}", f"a bias of {size} or {2 * size}", whole.size)
    there = [kind for kind in ("b_x", "b_h") if kind in kinds]
    return kinds.get("b_x", zeros), kinds.get("b_h", zeros), len(there)


def _split(stacked: Arrays, layout: Layout, cell: str, where: str, path: Path) -> Arrays:
    order, found = layout.order[cell], {}
    for kind, array in stacked.items():
        across = layout.rows or kind.startswith("b")
        size = array.shape[0 if across else -1]
        if array.ndim != (1 if kind.startswith("b") else 2) or size % len(order):
            expected = f"{len(order)} gates stacked"
            raise BadInput(path, f"{where}, {kind}", expected, f"shape {array.shape}")
        blocks = np.split(array, len(order), axis=0 if across else -1)
        for gate, block in zip(order, blocks, strict=True):
            turned = block.T if layout.rows and block.ndim == 2 else block
            found[f"{kind}{gate}"] = np.asarray(turned, "float64")
    return found


def _read_linen(arrays: Arrays, path: Path) -> tuple[Cell, list[Arrays], int]:
    found: dict[int, dict[tuple[str, str, str], np.ndarray]] = {}
    for key, array in arrays.items():
        if match := LINEN_KEY.fullmatch(key):
            number, side, letter, kind = match.groups()
            found.setdefault(int(number), {})[side, letter, kind] = array
    letters = {letter for side, letter, kind in found.get(0, {})}
    cell: Cell | None = next((cell for cell, names in LINEN.items() if set(names) == letters), None)
    if cell is None or sorted(found) != list(range(len(found))):
        expected = "tensors named layers.0.ii.kernel …, or layers.0.ir.kernel …"
        raise BadInput(path, "--layout flax", expected, ", ".join(sorted(arrays)[:4]) or "nothing")
    layers, biases = [], 0
    for number, tensors in sorted(found.items()):
        layer = {}
        for letter, gate in LINEN[cell].items():
            for side, where in (("i", "x"), ("h", "h")):
                if (side, letter, "kernel") not in tensors:
                    looked = f"a tensor named layers.{number}.{side}{letter}.kernel"
                    raise BadInput(path, "--layout flax", looked, "none")
                kernel = np.asarray(tensors[side, letter, "kernel"], "float64")
                bias = tensors.get((side, letter, "bias"))
                biases = max(biases, sum(k == "bias" and n == letter for s, n, k in tensors))
                layer[f"W_{where}{gate}"] = kernel
                none = np.zeros(kernel.shape[-1])
                layer[f"b_{where}{gate}"] = none if bias is None else np.asarray(bias, "float64")
        layers.append(layer)
    return cell, layers, biases
