"""A layer's tensors as a layout has them, made into a Direction: gates in canonical order."""

from collections.abc import Iterator

import numpy as np

from common.errors import BadInput
from common.parameters import GATES
from conformance.models.layouts import Layout
from conformance.models.network import Direction

CELLS = {1: "rnn", 3: "gru", 4: "lstm"}
"""The cell, by how many gates it has."""

Kinds = dict[str, np.ndarray]


def cell_of(kinds: Kinds, layout: Layout, name: str, path: object, where: str) -> str:
    """From the shape of the recurrent matrix, or from which gates have tensors."""
    if "C" in kinds:
        return "gru"
    if single := {kind[2:] for kind in kinds if kind.startswith("W:")}:
        for cell, letters in layout.letters.items():
            if single <= set(letters) and letters:
                return cell
    if layout.form == "joint":
        return "rnn" if is_rnn_cell(where) else "lstm"
    U = kinds["U"][0] if name == "onnx" and kinds["U"].ndim == 3 else kinds["U"]
    if U.ndim == 2:
        stacked, h = U.shape if layout.form == "rows" else U.shape[::-1]
        if "R" in kinds:  # projected: U is (4h, p)
            h = max(kinds["R"].shape)
        if name == "dl4j" and stacked == 4 * h + 3:
            return "lstm"
        if h and stacked % h == 0 and stacked // h in CELLS:
            found = CELLS[stacked // h]
            if found in layout.order:
                return found
    wanted = "(G·h, h)" if layout.form == "rows" else "(h, G·h)"
    expected = f"a recurrent matrix {wanted} with G of 1, 3 or 4, as {layout.says} have"
    raise BadInput(path, f"--layout {name}", expected, f"shape {kinds['U'].shape}")


def is_rnn_cell(name: str) -> bool:
    return "rnn_cell" in name and "lstm" not in name and "gru" not in name


def unpack(
    kinds: Kinds, layout: Layout, name: str, cell: str, where: str, path: object
) -> Iterator[tuple[Direction, int]]:
    """Every direction that the tensors hold, ONNX' hold two, and how many biases each gate has."""
    kinds = {kind: np.asarray(array, "float64") for kind, array in kinds.items()}
    if name == "onnx":
        count = len(kinds["W"])
        if any(array.ndim < 2 or len(array) != count for array in kinds.values()) or count > 2:
            shapes = ", ".join(str(array.shape) for array in kinds.values())
            raise BadInput(path, f"--layout onnx, {where}", "a first axis of directions", shapes)
        for k in range(count):
            yield one(
                {kind: array[k] for kind, array in kinds.items()}, layout, name, cell, where, path
            )
        return
    yield one(kinds, layout, name, cell, where, path)


def one(kinds: Kinds, layout: Layout, name: str, cell: str, where: str, path: object):
    order = layout.order[cell]
    G = len(order)
    kinds = together(kinds, layout, cell, where, path)
    if layout.form == "joint":
        kinds = cut_joint(kinds, cell, where, path)
    W, U = kinds["W"], kinds["U"]
    peephole = kinds.get("P")
    if name == "dl4j" and cell == "lstm" and U.shape[-1] % 4 == 3:
        U, extra = U[:, :-3], U[:, -3:]  # of f, o and i
        peephole = np.stack([extra[:, 2], extra[:, 0], extra[:, 1]])
    elif peephole is not None and name == "onnx":
        peephole = peephole.reshape(3, -1)[[0, 2, 1]]  # of i, o and f
    if layout.form == "rows":
        W, U = W.T, U.T
    for kind, M in (("W", W), ("U", U)):
        if M.ndim != 2 or M.shape[1] % G:
            raise BadInput(path, f"{where}, {kind}", f"{G} gates stacked", f"shape {M.shape}")
    if W.shape[1] != U.shape[1]:
        raise BadInput(path, where, f"as many gates in both matrices, {U.shape[1]}", W.shape[1])
    h = U.shape[1] // G
    project = kinds.get("R")
    if project is not None:
        project = project.T if layout.form == "rows" else project
        if project.shape != (h, U.shape[0]):
            expected = f"shape ({h}, {U.shape[0]})"
            raise BadInput(path, f"{where}, projection", expected, project.shape)
    elif U.shape[0] != h:
        raise BadInput(path, f"{where}, U", f"shape ({h}, {G * h})", U.shape)
    if layout.form == "cudnn":
        W = np.hstack([b.reshape(b.shape[::-1]).T for b in np.split(W, G, axis=1)])
        U = np.hstack([b.T for b in np.split(U, G, axis=1)])
    b_x, b_h, biases = both(kinds, name, cell, G * h, where, path)
    into = [order.index(gate) for gate in GATES[cell]]

    def sorted_(M: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(M.reshape(-1, G, h)[:, into]).reshape(M.shape)

    parts = sorted_(W), sorted_(U), sorted_(b_x), sorted_(b_h)
    return Direction(*parts, peephole, project), biases


def both(kinds: Kinds, name: str, cell: str, size: int, where: str, path: object):
    """Both biases (G·h,), and how many the file has."""
    zeros = np.zeros(size)
    if "b" in kinds and "b_x" not in kinds and "b_h" not in kinds:
        whole = kinds["b"].reshape(-1)
        if name == "ncnn" and cell == "gru" and whole.size == size // 3 * 4:
            h = size // 3  # of R, U, the input's N and the state's N
            b_h = zeros.copy()
            b_h[2 * h :] = whole[3 * h :]
            return whole[: 3 * h], b_h, 2
        if whole.size == 2 * size:
            return whole[:size], whole[size:], 2
        if whole.size == size:
            return whole, zeros, 1
        expected = f"a bias of {size} or {2 * size}"
        raise BadInput(path, where, expected, f"shape {kinds['b'].shape}")
    there = [kind for kind in ("b_x", "b_h") if kind in kinds]
    for kind in there:
        if kinds[kind].shape != (size,):
            raise BadInput(path, f"{where}, {kind}", f"shape ({size},)", kinds[kind].shape)
    return kinds.get("b_x", zeros), kinds.get("b_h", zeros), len(there)


def together(kinds: Kinds, layout: Layout, cell: str, where: str, path: object) -> Kinds:
    """The gates' own tensors stacked in the layout's order; a gate without a bias has zeros."""
    found = {kind: array for kind, array in kinds.items() if ":" not in kind}
    for kind in dict.fromkeys(kind.split(":")[0] for kind in kinds if ":" in kind):
        gates = "ifo" if kind == "P" else layout.order[cell]
        blocks = {gate: kinds.get(f"{kind}:{gate}") for gate in gates}
        some = next(block for block in blocks.values() if block is not None)
        missing = [gate for gate, block in blocks.items() if block is None]
        if missing and not kind.startswith("b"):
            letter = layout.letters[cell][missing[0]]
            looked = layout.keys[f"{kind}:g"].replace("{g}", letter).replace("[./]", ".")
            raise BadInput(path, where, f"a tensor named {looked} beside it", "none")
        zeros = np.zeros_like(some)
        parts = [zeros if block is None else block for block in blocks.values()]
        found[kind] = np.stack(parts) if kind == "P" else np.concatenate(parts, axis=-1)
    return found


def cut_joint(kinds: Kinds, cell: str, where: str, path: object) -> Kinds:
    """A kernel (in + p, G·h), cut into W and U; a GRU's candidate has a kernel of its own."""
    kernel, found = kinds["W"], dict(kinds)
    bias = kinds.get("b")
    if cell == "gru":
        if "C" not in kinds or kernel.shape[1] != 2 * kinds["C"].shape[1]:
            raise BadInput(path, where, "gates (in + h, 2·h) and candidate (in + h, h)",
                           f"shape {kernel.shape}")  # fmt: skip
        kernel = np.hstack([kernel, kinds["C"]])
        if bias is not None and "b_C" in kinds:
            found["b"] = np.concatenate([bias, kinds["b_C"]])
        elif bias is not None:
            raise BadInput(path, where, "a bias of the candidate beside it", "none")
    G = len(GATES[cell])
    h = kernel.shape[1] // G
    p = kinds["R"].shape[1] if "R" in kinds else h
    if kernel.shape[1] % G or kernel.shape[0] <= p:
        raise BadInput(path, where, f"a kernel (in + h, {G}·h)", f"shape {kernel.shape}")
    return found | {"W": kernel[:-p], "U": kernel[-p:]}
