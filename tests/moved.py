"""A network that was moved, in its new framework: its outputs beside the oracle's.

The file is loaded, and X computed, by the very lines of code that ``convert`` prints.
"""

from pathlib import Path
from typing import Any

import numpy as np

from common.parameters import zero_state
from common.spec import ModelSpec
from conformance.cases.table import Material
from conformance.closeness.compare import FLOAT64_SCALE, compare, load_bounds, noise_floor
from conformance.convert.targets import TARGETS
from conformance.convert.values import held, values
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward
from conformance.oracle.formats import neighbour
from conformance.oracle.truth import UNIT_IN_THE_LAST_PLACE
from tests.conformance.convert.helpers import parameters

T, N = 7, 2


def given_to(target: str, spec: ModelSpec, dtype: str, folder: Path, bare: bool = False):
    """The file, X (T, n, d), and what the oracle makes of it."""
    goal, params = TARGETS[target], parameters(spec, target, dtype)
    if bare:
        params |= {"output.W_hq": np.eye(spec.q), "output.b_q": np.zeros(spec.q)}
    params = {name: array.astype("float64") for name, array in params.items()}
    path = folder / f"moved{goal.end}"
    goal.check(spec, params, dtype, path)
    goal.write(path, values(spec, params, goal, dtype, bare))
    X = np.random.RandomState(8).standard_normal((T, N, spec.d)).astype(dtype)
    return path, X, Material(held(spec, params, goal, dtype), X.astype("float64"), X, zero(spec))


def zero(spec: ModelSpec) -> dict[str, np.ndarray]:
    return zero_state(spec, N, "float64")


def computed(spec: ModelSpec, numbers: Material, dtype: str) -> np.ndarray:
    params, state = (
        {name: array.astype(dtype) for name, array in arrays.items()}
        for arrays in (numbers.params, numbers.state)
    )
    return forward(TRUTH, spec, params, numbers.X.astype(dtype), state)["forward/O"]


def built(
    target: str, spec: ModelSpec, dtype: str, path: Path, X=None, bare: bool = False
) -> dict[str, Any]:
    """The names that the printed lines leave behind: ``net``, and O if there is an X."""
    names: dict[str, Any] = {"X": X, "FILE": str(path)}
    lines = TARGETS[target].code(spec, dtype, bare)
    exec("\n".join(lines if X is not None else lines[:-1]), names)
    return names


def agrees(target: str, spec: ModelSpec, dtype: str, path: Path, X: np.ndarray, numbers: Material,
           to=lambda X: X, bare: bool = False) -> None:  # fmt: skip
    """Within the ladder's bounds of outputs. to: makes the framework's array of NumPy's"""
    goal = TARGETS[target]
    turned = goal.axes.startswith("(n")
    X = to(np.ascontiguousarray(X.swapaxes(0, 1)) if turned else X)
    O = built(target, spec, dtype, path, X, bare)["O"]
    for read in ("detach", "asnumpy"):
        O = getattr(O, read)() if hasattr(O, read) else O
    got = np.asarray(O)
    got = got.swapaxes(0, 1) if turned else got
    assert got.dtype == dtype
    wanted = computed(spec, numbers, "float64")
    near = [numbers, *(neighbour(numbers, UNIT_IN_THE_LAST_PLACE, seed) for seed in range(1, 6))]
    noise = noise_floor(wanted, [computed(spec, one, "float32") for one in near])
    noise *= FLOAT64_SCALE if dtype == "float64" else 1
    found = compare("forward/O", got, wanted, load_bounds()["cpu"][dtype]["outputs"], noise)
    assert found.passed, found.problem
