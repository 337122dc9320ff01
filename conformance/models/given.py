"""What somebody's code was given and what it made of it: X, the outputs, states and lengths.

Outputs are told by their shape: of every step, of the last step only, or the final states; and by
their values, whether they are behind a softmax or its logarithm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.weights import read_arrays
from conformance.models.evaluator import Run
from conformance.models.network import Network, State

KNOWN = ("X", "outputs", "H0", "C0", "lengths")
SUMS_TO_ONE = 2e-2
"""How far the sum of a softmax may be from 1: float16 adds up no better."""


@dataclass(frozen=True)
class Given:
    """As in the file: X (A, B, d), outputs of some shape, states (L·D, n, p), lengths (n,).
    unused: the names of what else is there; single: X and outputs had no axis of examples"""

    X: np.ndarray
    outputs: np.ndarray
    state: Arrays
    lengths: np.ndarray | None
    dtype: str
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Data:
    """Time first: X (T, n, d), and outputs as ``kind`` says:

    steps   (T, n, k)        last    (n, k), of step T
    ends    (n, k), of the final states, which for two directions is not step T
    states  (L·D, n, p), the final H of all layers
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

    def astype(self, dtype: str) -> Data:
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
        else:
            made = np.stack(run.last["H"]) if same_sizes(run.last["H"]) else run.ends[None]
        return BEHIND[self.behind](made)


def same_sizes(arrays: list[np.ndarray]) -> bool:
    return len({array.shape for array in arrays}) == 1


def softmax(O: np.ndarray) -> np.ndarray:
    e = np.exp(O - O.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


BEHIND = {
    "": lambda O: O,
    "softmax": softmax,
    "log-softmax": lambda O: np.log(softmax(O)),
    "sigmoid": lambda O: 1 / (1 + np.exp(-O)),
    "tanh": np.tanh,
    "relu": lambda O: np.maximum(O, 0),
}


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


def load_given(path: Path, network: Network) -> Given:
    """The file with X and the outputs; H0, C0 and lengths if they are there."""
    arrays, _ = read_arrays(path, follow=True)
    for name in ("X", "outputs"):
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise BadInput(path, name, "a tensor of that name", held)
    lengths = arrays.pop("lengths", None)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(path, name, "finite floating-point values", array.dtype)
    X, outputs, d = arrays["X"], arrays["outputs"], network.d
    dtype = str(outputs.dtype)
    X, outputs = X.astype("float64"), outputs.astype("float64")
    if X.ndim == 2 and X.shape[1] == d and outputs.ndim in (1, 2):
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
        T = max(X.shape[:2])
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not 0 <= lengths.min() <= T:
            raise BadInput(path, "lengths", f"(n,) whole numbers up to {T}", lengths)
    return Given(X, outputs, state, lengths, dtype, unused)


def check_state(path: Path, part: str, array: np.ndarray, X: np.ndarray, network: Network) -> None:
    sizes = {shape[1] for shape in network.state_shapes(1)[part]}
    count, size = network.L * network.directions, sizes.pop()
    if sizes:
        raise BadInput(path, f"{part}0", "no state of layers that differ in size", array.shape)
    if array.ndim == 2 and count == 1 and array.shape[1] == size:
        array = array[None]
    if array.ndim != 3 or array.shape[::2] != (count, size):
        raise BadInput(path, f"{part}0", f"shape ({count}, n, {size})", array.shape)
    if array.shape[1] not in X.shape[:2]:
        expected = f"n of X, {X.shape[0]} or {X.shape[1]}"
        raise BadInput(path, f"{part}0", expected, array.shape[1])


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
            state[part] = zeros[part] if array is None else list(array)
    lengths = given.lengths
    if lengths is not None and (len(lengths) != n or lengths.max() > T):
        return

    def made(array: np.ndarray, kind: str) -> Data:
        return Data(X, array, kind, state, lengths, behind(array))

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
    if outputs.ndim == 2 and outputs.shape[0] == n:
        yield made(outputs, "ends"), False
        if D > 1 or lengths is not None:
            yield made(outputs, "last"), False


def joined(outputs: np.ndarray, sizes: tuple[int, int], D: int) -> np.ndarray | None:
    """ONNX' Y, (T, D, n, p) or (n, T, D, p) with layout 1, as (T, n, D·p)."""
    T, n = sizes
    if outputs.shape[:3] == (T, D, n):
        return np.moveaxis(outputs, 1, 2).reshape(T, n, -1)
    if outputs.shape[:3] == (n, T, D):
        return outputs.reshape(n, T, -1).swapaxes(0, 1)
    return None


def widths(network: Network) -> set[int]:
    """How many numbers an output of every step may have."""
    p = [half.p for half in network.layers[-1]]
    found = {sum(p), p[0]}
    return found | ({network.output[1].size} if network.output is not None else set())
