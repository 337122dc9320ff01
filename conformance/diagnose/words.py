"""What mends a wrong order of gates, as a line of Python that can be run."""

from __future__ import annotations

from conformance.models.layouts import LAYOUTS
from conformance.models.network import Network


def mending(
    layout: str, network: Network, code: str, single: bool = False
) -> list[tuple[tuple[str, ...], str]]:
    """Which kinds of tensors, and the line that puts their blocks where the code looks for them.

    The file's block k is gate S[k], and the code takes it for gate ``code``[k]: so block k must
    become that of gate code[k]. h is the number of hidden units.
    single: every gate has tensors of its own
    """
    found = LAYOUTS[layout]
    stacked, G = found.order[network.cell], len(code)
    index = [stacked.index(gate) for gate in code]
    side_by_side = f"reshape(-1, {G}, h)[:, {index}]"
    if single:
        letters = found.letters[network.cell]
        names = ", ".join(letters[gate] for gate in stacked)
        values = ", ".join(letters[gate] for gate in code)
        return [(("W", "U", "b_x"), f"{names} = {values}")]
    if layout == "onnx":
        return [
            (("W", "U"), f"W = W.reshape(-1, {G}, h, W.shape[-1])[:, {index}].reshape(W.shape)"),
            (("b",), f"B = B.{side_by_side}.reshape(B.shape)"),
        ]
    if layout == "tf1" and network.cell == "gru":
        return [(
            ("W and C", "b and b_C"),
            "gates, candidate = np.split(np.concatenate([gates, candidate], -1)."
            f"{side_by_side}.reshape(*gates.shape[:-1], 3 * h), [2 * h], -1)",
        )]  # fmt: skip
    if layout == "ncnn" and network.cell == "gru":
        below = f"W = W.reshape(3, h, -1)[{index}].reshape(W.shape)"
        # The bias has a fourth block, the candidate's recurrent one, which stays the last.
        four = f"W = W.reshape(4, h, -1)[{[*index, 3]}].reshape(W.shape)"
        return [(("W", "U"), below), (("b",), four)]
    if found.form == "rows":
        return [
            (("W", "U", "b_x", "b_h", "b"), f"W = W.reshape({G}, h, -1)[{index}].reshape(W.shape)")
        ]
    return [(("W", "U", "b_x", "b_h", "b"), f"W = W.{side_by_side}.reshape(W.shape)")]


NAMES = {
    ("W", "U", "b_x", "b_h", "b"): "every matrix W and every bias of the file",
    ("W", "U"): "both matrices W",
    ("b",): "the bias",
    ("W", "U", "b_x"): "the gates' tensors, of each kind",
    ("W and C", "b and b_C"): "kernels and biases of gates and candidate",
}


def mending_in_words(layout: str, network: Network, code: str, single: bool = False) -> list[str]:
    """Lines for a reader."""
    h = ", ".join(str(size) for size in dict.fromkeys(network.sizes))
    lines = [
        f"to mend it, for {NAMES[kinds]}: {line}"
        for kinds, line in mending(layout, network, code, single)
    ]
    return lines if single else [*lines[:-1], f"{lines[-1]}   (h = {h})"]
