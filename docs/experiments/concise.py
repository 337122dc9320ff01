"""Concise: each framework's own layers, and where they keep the equations' parameters.

Nothing here is drawn by hand: every parameter is filled with a number of its own and goes through
the backend's ``to_native``, and the picture shows where the numbers come out.
"""

import importlib
import sys
from itertools import pairwise

import numpy as np

from backends import registry
from common.parameters import Arrays, initialise, layer_shapes, zero_state
from common.spec import ModelSpec
from docs.experiments import run
from docs.experiments.tools import Found

SPECS = {
    "gru": ModelSpec("gru", 2, 3, 2, 1, (), "after"),
    "lstm": ModelSpec("lstm", 2, 3, 2, 1),
}
"""One small layer of each, with d and h that differ."""

GAP = 1.5
"""Between two tensors of a picture."""

D2L = ModelSpec("lstm", d=28, h=256, q=28, L=2)


def native(backend: str) -> None:
    """The tensors that the framework's LSTM keeps for D2L's first layer, and their shapes."""
    if backend == "numpy":
        for name, shape in layer_shapes(D2L, 1).items():
            print(f"{name:24} {shape}")
        return
    params = {name: np.zeros(shape) for name, shape in layer_shapes(D2L, 1).items()}
    for name, array in flat(mapping(backend).to_native(D2L, params)).items():
        print(f"{name:24} {array.shape}")


def layer(backend: str) -> None:
    """Two layers of LSTM on one minibatch: shapes, and the mean of the outputs."""
    name = registry.load(backend).IMPLEMENTATIONS[-1]
    model = registry.load(backend).implementation(name, "cpu", "float32")
    params = initialise(D2L, "pytorch", 1)
    X = np.arange(35 * 32).reshape(35, 32) % 28
    O, state = model.model(D2L, params).outputs(X, zero_state(D2L, 32, "float32"))
    print(f"{backend}:{name}  X {X.shape}  O {O.shape}")
    print(" ".join(f"{part} {array.shape}" for part, array in state.items()))
    print(f"mean of O: {O.astype('float64').mean():.5f}")


def mapping(backend: str):
    """The backend's layers.py, which needs its framework."""
    return importlib.import_module(f"backends.{backend}.layers")


def flat(arrays: dict, prefix: str = "") -> Arrays:
    """One level of names, with a dot between them."""
    found = {}
    for name, value in arrays.items():
        inner = (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
        found |= inner
    return found


def measure(backend: str, short: bool) -> Found:
    """The blocks of every native tensor: where it starts and ends, and what lies there."""
    if backend == "numpy":
        return {}
    tables = {}
    for table, spec in SPECS.items():
        shapes = layer_shapes(spec, 1)
        names = list(shapes)
        params = {name: np.full(shapes[name], k) for k, name in enumerate(names, start=1)}
        tensors = flat(mapping(backend).to_native(spec, params))
        tables[table] = blocks(backend, tensors, names)
    return {"tables": tables}


def blocks(backend: str, tensors: Arrays, names: list[str]) -> list[Found]:
    """One record for each rectangle of one number; 0 is where the suite keeps a frozen 0. Tensors
    with their gates along the rows stand side by side, others lie one below the other. ``at_x`` and
    ``at_y`` are where the letter of a block goes, or the number of a tensor."""
    tall = next(iter(tensors.values())).shape[0] > next(iter(tensors.values())).shape[1]
    found, start = [], 0.0
    for place, array in enumerate(tensors.values(), start=1):
        shown = array if array.ndim == 2 else array[:, None] if tall else array[None]
        x, y = (start, 0.0) if tall else (0.0, start)
        start += shown.shape[1 if tall else 0] + GAP
        label = (x + shown.shape[1] / 2, -1.0) if tall else (-1.0, y + shown.shape[0] / 2)
        found.append({"backend": backend, "number": str(place), "at_x": label[0], "at_y": label[1]})
        for top, bottom in edges(shown[:, 0]):
            for left, right in edges(shown[top]):
                k = int(shown[top, left])
                record = {"backend": backend, "gate": names[k - 1][-1] if k else "0"}
                record |= {
                    "left": x + left,
                    "right": x + right,
                    "top": y + top,
                    "bottom": y + bottom,
                }
                middle = {"at_x": x + (left + right) / 2, "at_y": y + (top + bottom) / 2}
                found.append(record | middle)
    return found


def edges(line: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of equal numbers start and end."""
    cuts = [0, *(np.flatnonzero(np.diff(line)) + 1), len(line)]
    return [(int(a), int(b)) for a, b in pairwise(cuts)]


def solution_1(backend: str) -> None:
    """Two gates exchanged: every shape fits, and the outputs are others."""
    spec = ModelSpec("lstm", 6, 8, 5, 2)
    params = initialise(spec, "uniform", 1)
    exchanged = str.maketrans("if", "fi")  # the last letter of a name is its gate
    wrong = {name[:-1] + name[-1].translate(exchanged): array for name, array in params.items()}
    name = registry.load(backend).IMPLEMENTATIONS[-1]
    implementation = registry.load(backend).implementation(name, "cpu", "float64")
    X = np.random.RandomState(1).standard_normal((7, 3, spec.d))
    zero = zero_state(spec, 3, "float64")
    right, _ = implementation.model(spec, params).outputs(X, zero)
    made, _ = implementation.model(spec, {key: wrong[key] for key in params}).outputs(X, zero)
    print(f"shapes {right.shape} and {made.shape}")
    print(f"apart by {np.abs(right - made).max() / np.abs(right).max():.2f} of the largest output")


def solution_2(backend: str) -> None:
    """What second biases add to D2L's LSTM, and how far SGD moves two that stand for one."""
    print(f"{D2L.L} layers, 4 gates, h = {D2L.h}: {D2L.L * 4 * D2L.h} more numbers")
    rate, gradient = 2.0, 0.25
    one, two = 0.0, [0.0, 0.0]
    one -= rate * gradient
    two = [b - rate * gradient for b in two]
    print(f"one bias moves by {one}, the sum of two by {sum(two)}")


def main(words: list[str] | None = None) -> int:
    return run("concise", (native, layer, solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
