"""A network written as a framework would store it: what ``reading`` reads, the other way."""

import numpy as np

from common.parameters import GATES, Arrays
from conformance.models.layouts import LAYOUTS, Layout
from conformance.models.network import Direction, Network

TF1 = {"rnn": "basic_rnn_cell", "gru": "gru_cell", "lstm": "lstm_cell"}
"""What TensorFlow 1 calls a cell's scope."""


def write_network(network: Network, name: str) -> Arrays:
    """The tensors of a file. Where a layout has one bias for a gate, both are added up, except for
    the two of a reset-after GRU's candidate, which are two parameters: a layout that cannot store
    them both stores their sum."""
    found: Arrays = {}
    for number, layer in enumerate(network.layers):
        if name == "onnx":
            parts = [tensors(half, network, name) for half in layer]
            for kind in parts[0]:
                key = LAYOUTS[name].names[kind].format(l=number)
                found[key] = np.stack([part[kind] for part in parts])
            continue
        for side, half in zip(LAYOUTS[name].backward, layer, strict=False):
            for kind, array in tensors(half, network, name).items():
                base, _, letter = kind.partition(":")
                template = LAYOUTS[name].names[f"{base}:g" if letter else base]
                found[template.format(l=number, r=side, g=letter, c=TF1[network.cell])] = array
    return found


def tensors(half: Direction, network: Network, name: str) -> Arrays:
    layout, cell = LAYOUTS[name], network.cell
    order = layout.order[cell]
    G, h = len(order), half.W.shape[1] // len(order)
    back = [GATES[cell].index(gate) for gate in order]

    def stacked(M: np.ndarray) -> np.ndarray:
        return M.reshape(-1, G, h)[:, back].reshape(M.shape)

    W, U, b_x, b_h = map(stacked, (half.W, half.U, half.b_x, half.b_h))
    whole = {"W": W, "U": U}
    if layout.form == "rows":
        whole = {"W": W.T, "U": U.T}
    elif layout.form == "cudnn":
        whole = {
            "W": np.hstack([b.T.reshape(b.shape) for b in np.split(W, G, axis=1)]),
            "U": np.hstack([b.T for b in np.split(U, G, axis=1)]),
        }
    if half.project is not None:
        whole["R"] = half.project.T
    if half.peephole is not None and name == "onnx":
        whole["P"] = half.peephole[[0, 2, 1]].reshape(-1)
    if layout.form == "joint":
        return joint(np.vstack([W, U]), b_x + b_h, cell)
    if name == "keras1" and cell != "rnn":
        return single(whole | {"b_x": b_x + b_h}, layout, cell)
    return whole | bias(b_x, b_h, network, name)


def bias(b_x: np.ndarray, b_h: np.ndarray, network: Network, name: str) -> Arrays:
    layout, cell = LAYOUTS[name], network.cell
    if "b_x" in layout.names:
        if name != "flax":
            return {"b_x": b_x, "b_h": b_h}
        return {"b_h": b_x + b_h} if cell == "lstm" else {"b_x": b_x + b_h}
    if name == "onnx":
        return {"b": np.concatenate([b_x, b_h])}
    if name == "cudnn":
        return {"b": np.concatenate([b_x, b_h])}
    if name == "ncnn" and cell == "gru":
        h = len(b_x) // 3
        return {"b": np.concatenate([(b_x + b_h)[: 2 * h], b_x[2 * h :], b_h[2 * h :]])}
    if cell == "gru" and network.biases == 2:
        return {"b": np.stack([b_x, b_h])}
    return {"b": b_x + b_h}


def joint(kernel: np.ndarray, b: np.ndarray, cell: str) -> Arrays:
    if cell != "gru":
        return {"W": kernel, "b": b}
    h = len(b) // 3
    return {"W": kernel[:, : 2 * h], "b": b[: 2 * h], "C": kernel[:, 2 * h :], "b_C": b[2 * h :]}


def single(whole: Arrays, layout: Layout, cell: str) -> Arrays:
    """Each gate's own tensors, under the letters of the layout."""
    order = layout.order[cell]
    return {
        f"{kind}:{layout.letters[cell][gate]}": block
        for kind, array in whole.items()
        for gate, block in zip(order, np.split(array, len(order), axis=-1), strict=True)
    }
