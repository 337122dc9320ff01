"""What somebody's code was given and what it made of it: X, the outputs, states and lengths.

Outputs may be of every step, of the last step only, or the final states, which their shape tells
(views.py). Their values tell whether they are behind a softmax or its logarithm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import BadInput
from common.lengths import check_lengths
from common.parameters import Arrays
from common.weights import read_arrays
from conformance.models.evaluator import Run
from conformance.models.network import Network, State

KNOWN = ("X", "outputs", "H0", "C0", "lengths")
EMBEDDING = re.compile("embed|token|lookup|wte", re.IGNORECASE)
SUMS_TO_ONE = 2e-2
"""How far the sum of a softmax may be from 1: float16 adds up no better."""


@dataclass(frozen=True)
class Given:
    """As in the file: X (A, B, d), outputs of some shape, states (L·D, n, p) with zeros behind what
    is a smaller layer's own, lengths (n,).
    unused: the names of what else is there; single: X and outputs had no axis of examples
    note: how the file is understood, if not as it is; wrong: a fault that is in that
    embedding: the name of the tensor that whole numbers in X were looked up in
    behind: what the outputs went through, if that was stated"""

    X: np.ndarray
    outputs: np.ndarray
    state: Arrays
    lengths: np.ndarray | None
    dtype: str
    unused: tuple[str, ...]
    single: bool = False
    note: str = ""
    wrong: str = ""
    embedding: str = ""
    behind: str | None = None


@dataclass(frozen=True)
class Data:
    """Time first: X (T, n, d), and outputs as ``kind`` says:

    steps   (T, n, k)        last    (n, k), of step T
    ends    (n, k), of the final states, which for two directions is not step T
    states  (L·D, n, p), the final H of all layers
    mean, max, sum  (n, k), over all steps
    example  (T, k), of the last example
    behind: what the outputs went through, "", softmax, log-softmax, …
    """

    X: np.ndarray
    outputs: np.ndarray
    kind: str
    state: State | None
    lengths: np.ndarray | None = None
    behind: str = ""

    @property
    def T(self) -> int:
        return len(self.X)

    @property
    def n(self) -> int:
        return self.X.shape[1]

    def some(self, steps: int, examples: int) -> Data:
        """The first steps, if outputs are of steps, and the first examples."""
        state = self.state and {
            part: [array[:examples] for array in arrays] for part, arrays in self.state.items()
        }
        lengths = None if self.lengths is None else self.lengths[:examples]
        if self.kind == "steps":
            few = self.outputs[:steps, :examples]
            return replace(
                self, X=self.X[:steps, :examples], outputs=few, state=state, lengths=lengths
            )
        outputs = self.outputs[..., :examples, :]
        return replace(self, X=self.X[:, :examples], outputs=outputs, state=state, lengths=lengths)

    def astype(self, dtype: str | np.dtype) -> Data:
        state = self.state and {
            part: [array.astype(dtype) for array in arrays] for part, arrays in self.state.items()
        }
        return replace(self, X=self.X.astype(dtype), state=state)

    def shown(self, run: Run) -> np.ndarray:
        """What of a run stands against the outputs."""
        if self.kind == "steps":
            made = run.outputs
        elif self.kind == "last":
            made = run.outputs[-1]
        elif self.kind == "ends":
            made = run.ends
        elif self.kind in POOLS:
            made = POOLS[self.kind](run.outputs)
        else:
            made = np.stack(run.finals) if same_sizes(run.finals) else run.ends[None]
        with np.errstate(all="ignore"):  # a wrong function may overflow
            return BEHIND[self.behind](made)


def same_sizes(arrays: list[np.ndarray]) -> bool:
    return len({array.shape for array in arrays}) == 1


POOLS = {
    "mean": lambda O: O.mean(0),
    "max": lambda O: O.max(0),
    "sum": lambda O: O.sum(0),
    "example": lambda O: O[:, -1],
}
"""What is made of all steps' outputs (T, n, k)."""


def softmax(O: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(O - O.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def log_softmax(O: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = O - O.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


AFTERWARDS = ("sigmoid", "tanh", "relu")
"""What outputs do not show that they went through."""

BEHIND = {
    "": lambda O: O,
    "softmax": softmax,
    "log-softmax": log_softmax,
    "sigmoid": lambda O: 1 / (1 + np.exp(-O)),
    "tanh": np.tanh,
    "relu": lambda O: np.maximum(O, 0),
    "softmax over the steps": lambda O: softmax(O, 0),
    "softmax over the examples": lambda O: softmax(O, -2),
    "log-softmax over the steps": lambda O: log_softmax(O, 0),
    "log-softmax over the examples": lambda O: log_softmax(O, -2),
}
WHOLE = tuple(name for name in BEHIND if " over " in name)
"""These need all steps and examples."""
STATED = {"none": "", **{name: name for name in ("softmax", "log-softmax", *AFTERWARDS)}}
"""What a user may state."""


def behind(outputs: np.ndarray) -> str:
    """What the values give away."""
    if outputs.shape[-1] < 2 or not outputs.size:
        return ""
    if outputs.min() >= 0 and near_one(outputs.sum(-1, dtype="float64")):
        return "softmax"
    if outputs.max() <= 0 and near_one(np.exp(outputs.astype("float64")).sum(-1)):
        return "log-softmax"
    return ""


def near_one(sums: np.ndarray) -> bool:
    return bool(np.max(np.abs(sums - 1)) <= SUMS_TO_ONE)


def load_given(path: Path, network: Network, left: Arrays | None = None) -> Given:
    """The file with X and the outputs; H0, C0 and lengths if they are there.

    left: the tensors of the file of weights that are of no layer; an embedding may be among them"""
    return understood(read_arrays(path, follow=True)[0], path, network, left)


def understood(arrays: Arrays, path: Path, network: Network, left: Arrays | None = None) -> Given:
    """The same of what was read already."""
    for name in ("X", "outputs"):
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise BadInput(path, name, "a tensor of that name", held)
    lengths = arrays.pop("lengths", None)
    embedding = ""
    if arrays["X"].dtype.kind in "iu":
        arrays["X"], embedding = looked_up(path, arrays["X"], network.d, left or {})
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(path, name, "finite floating-point values", array.dtype)
    X, outputs, d = arrays["X"], arrays["outputs"], network.d
    dtype = str(outputs.dtype)
    X, outputs = X.astype("float64"), outputs.astype("float64")
    single = X.ndim == 2 and X.shape[1] == d and outputs.ndim in (1, 2)
    if single:
        X, outputs = X[:, None], outputs[:, None] if outputs.ndim == 2 else outputs[None]
    if X.ndim != 3 or X.shape[2] != d:
        hint = ", features last" if X.ndim == 3 and d in X.shape else ""
        raise BadInput(path, "X", f"shape (T, n, {d}) or (n, T, {d}){hint}", X.shape)
    if 0 in X.shape or 0 in outputs.shape:
        raise BadInput(path, "X, outputs", "at least one step and one example", X.shape)
    state = {name[0]: arrays[name] for name in ("H0", "C0") if name in arrays}
    state = {part: array.astype("float64") for part, array in state.items()}
    unused = tuple(sorted(set(arrays) - set(KNOWN)))
    if "C" in state and network.cell != "lstm":
        raise BadInput(path, "C0", f"no such tensor for a {network.cell}", "it")
    for part, array in state.items():
        check_state(path, part, array, X, network)
    if lengths is not None:
        first, second = X.shape[:2]  # either may be the steps
        turned = lengths.shape == (first,) and lengths.max(initial=0) <= second
        n, T = (first, second) if turned else (second, first)
        lengths = check_lengths(lengths, n, T, path)
    return Given(X, outputs, state, lengths, dtype, unused, single, embedding=embedding)


def looked_up(path: Path, X: np.ndarray, d: int, left: Arrays) -> tuple[np.ndarray, str]:
    """Whole numbers as what a layer reads: numbers as they are, rows of the embedding that lies in
    the file of weights, or one-hot vectors; and the embedding's name."""
    if X.ndim == 3 and X.shape[2] == d:
        return X.astype("float64"), ""
    if X.ndim == 2 and X.size and X.min() >= 0:
        for name, E in left.items():
            if E.ndim == 2 and E.shape[1] == d and X.max() < len(E) and EMBEDDING.search(name):
                return E.astype("float64")[X], name
        if X.max() < d:
            return np.eye(d)[X], "one-hot vectors"
    expected = f"an embedding (…, {d}) in the file of weights, or its rows as X"
    raise BadInput(path, "X", f"floating-point values; or, for whole numbers, {expected}", X.shape)


def check_state(path: Path, part: str, array: np.ndarray, X: np.ndarray, network: Network) -> None:
    sizes = [shape[1] for shape in network.state_shapes(1)[part]]
    count, size = len(sizes), max(sizes)
    if array.ndim == 2 and count == 1 and array.shape[1] == size:
        array = array[None]
    if array.ndim != 3 or array.shape[::2] != (count, size):
        raise BadInput(path, f"{part}0", f"shape ({count}, n, {size})", array.shape)
    if any(np.any(row[:, own:]) for row, own in zip(array, sizes, strict=True)):
        expected = f"zeros behind a smaller layer's own numbers, of which there are {sizes}"
        raise BadInput(path, f"{part}0", expected, "others")
    if array.shape[1] not in X.shape[:2]:
        expected = f"n of X, {X.shape[0]} or {X.shape[1]}"
        raise BadInput(path, f"{part}0", expected, array.shape[1])
