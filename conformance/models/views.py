"""Every way in which X and outputs can be understood: their axes, and what the outputs are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.models.frameworks import LAYERS_FIRST
from conformance.models.given import Data, Given, behind
from conformance.models.network import Network, State


def readings(given: Given, network: Network, usual: str, layout: str) -> list[Given]:
    """The file as it is, and what else its shapes may mean. usual: the axis of X that the framework
    takes first"""
    found = [given]
    X, outputs = given.X, given.outputs
    A, B = X.shape[:2]
    if given.single:
        # One cell: X (n, d) is one step of n examples, not n steps of one.
        X, outputs = X.swapaxes(0, 1), outputs.swapaxes(0, 1)
        found.append(replace(given, X=X, outputs=outputs, note="X is read as one step of a cell."))
    if outputs.ndim == 2 and outputs.shape in ((A, B), (B, A)):
        found.append(replace(given, outputs=outputs[..., None]))
    if outputs.ndim == 1 and outputs.size in (A, B):
        found.append(replace(given, outputs=outputs[:, None]))
    if outputs.ndim == 2 and outputs.shape[0] == A * B and 1 not in (A, B):
        note = "The outputs are understood as (T·n, q): the rows of all steps below one another."
        for shape in ((A, B), (B, A)):
            wide = outputs.reshape(*shape, -1)
            found.append(replace(given, outputs=wide, note=note))
    n = B if usual == "time" else A
    count, p = network.L * network.directions, network.layers[-1][0].p
    if outputs.shape in ((n, count, p), (n, count * p)) and count > 1:
        each = outputs.reshape(n, count, p).swapaxes(0, 1)
        note, wrong = "Each example's final H stand together.", ""
        if outputs.ndim == 3 and usual in LAYERS_FIRST.get(layout, ()):
            note, wrong = "", f"the final H ({count}, n, {p}) have their first two axes exchanged"
        found.append(replace(given, outputs=each, note=note, wrong=wrong))
        if outputs.ndim == 2:
            wrong = (
                f"the final H ({count}, n, {p}) are reshaped (view) to (n, {count * p}) where they "
                "should be transposed first"
            )
            found.append(replace(given, outputs=outputs.reshape(count, n, p), wrong=wrong))
    return found


def views(given: Given, network: Network, axis: str) -> Iterator[tuple[Data, bool]]:
    """Every way in which the outputs' shape can be understood if X has this axis first; and whether
    the outputs have their first two axes the other way round than X."""
    X, outputs = given.X, given.outputs
    turn = axis == "batch"
    X = X.swapaxes(0, 1) if turn else X
    T, n = X.shape[:2]
    state: State | None = None
    if given.state:
        state = {}
        zeros = {p: [np.zeros(s) for s in shapes] for p, shapes in network.state_shapes(n).items()}
        for part in network.parts:
            array = given.state.get(part)
            array = array[None] if array is not None and array.ndim == 2 else array
            if array is not None and array.shape[1] != n:
                return
            state[part] = zeros[part]
            if array is not None:  # of a row, what is the layer's own
                rows = zip(array, zeros[part], strict=True)
                state[part] = [row[:, : own.shape[1]] for row, own in rows]
    lengths = given.lengths
    if lengths is not None and (len(lengths) != n or lengths.max() > T):
        return

    def made(array: np.ndarray, kind: str) -> Data:
        through = behind(array) if given.behind is None else given.behind
        return Data(X, array, kind, state, lengths, through)

    L, D = network.L, network.directions
    if outputs.ndim == 4:
        outputs = joined(outputs, (T, n), D)
        if outputs is not None:
            yield made(outputs, "steps"), False
        return
    if outputs.ndim == 3:
        wide = outputs.swapaxes(0, 1) if turn else outputs
        if wide.shape[:2] == (T, n):
            yield made(wide, "steps"), False
        elif wide.shape[:2] == (n, T):
            yield made(wide.swapaxes(0, 1), "steps"), True
        if outputs.shape[:2] == (L * D, n) and outputs.shape[2] == network.layers[-1][0].p:
            yield made(outputs, "states"), False
    if outputs.ndim == 2 and outputs.shape[0] == T and T > 1 and n > 1:
        yield made(outputs, "example"), False
    if outputs.ndim == 2 and outputs.shape[0] == n:
        yield made(outputs, "ends"), False
        if D > 1 or lengths is not None or not np.all(np.any(outputs, axis=1)):
            yield made(outputs, "last"), False


def joined(outputs: np.ndarray, sizes: tuple[int, int], D: int) -> np.ndarray | None:
    """ONNX' Y, (T, D, n, p) or (n, T, D, p) with layout 1, as (T, n, D·p)."""
    T, n = sizes
    if outputs.shape[:3] == (T, D, n):
        return np.moveaxis(outputs, 1, 2).reshape(T, n, -1)
    if outputs.shape[:3] == (n, T, D):
        return outputs.reshape(n, T, -1).swapaxes(0, 1)
    return None
