"""What the new framework itself makes of a written file, where it is at hand.

A process of its own runs the lines that ``convert`` prints, on the certificate's X, from a state of
zeros.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from common.errors import BadInput
from common.parameters import Arrays, zero_state
from common.spec import ModelSpec
from conformance.closeness.compare import load_bounds, relative_error
from conformance.convert.target import Target
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward

LONGEST = 600
"""Seconds: frameworks are slow to import."""

SHAPE = {"package": str, "version": str, "error": float, "bound": float}


def measured(
    goal: Target, spec: ModelSpec, params: Arrays, dtype: str, bare: bool, path: Path,
    inputs: dict[str, int],
) -> dict[str, Any]:  # fmt: skip
    """The largest error of its outputs, relative to the oracle's, and the bound.

    params: those that the file holds, in float64. Raises BadInput where the framework is not
    installed, and if it does not compute the file."""
    if not goal.package or importlib.util.find_spec(goal.package) is None:
        expected = f"{goal.package or 'a framework'} in this environment, for --measure"
        raise BadInput(f"--to {goal.name}", "", expected, "none")
    rng = np.random.RandomState(inputs["seed"])
    X = rng.standard_normal((inputs["T"], inputs["n"], spec.d)).astype(dtype)
    state = zero_state(spec, inputs["n"], "float64")
    with threadpool_limits(1):
        wanted = forward(TRUTH, spec, params, X.astype("float64"), state)["forward/O"]
    turned = goal.axes.startswith("(n")
    O, version = computed(goal, spec, dtype, bare, path, X.swapaxes(0, 1) if turned else X)
    O = O.swapaxes(0, 1) if turned else O
    if O.shape != wanted.shape or O.dtype != dtype:
        found = f"{O.dtype} of shape {O.shape}"
        raise BadInput(path, "", f"outputs of {dtype}, {wanted.shape}, by {goal.package}", found)
    if not np.isfinite(O).all():
        raise BadInput(path, "", f"finite outputs, by {goal.package}", "NaN or infinity")
    error = relative_error(O, wanted)
    bound = load_bounds()["cpu"][dtype]["outputs"].error
    return {"package": goal.package, "version": version, "error": error, "bound": bound}


def computed(
    goal: Target, spec: ModelSpec, dtype: str, bare: bool, path: Path, X: np.ndarray
) -> tuple[np.ndarray, str]:
    """O as the framework lays it, and the framework's version."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "X.npy", Path(folder) / "O.npy"
        np.save(given, np.ascontiguousarray(X))
        lines = [
            "import numpy",
            f"import {goal.package}",
            f"FILE, X = {str(path.resolve())!r}, numpy.load({str(given)!r})",
            *([goal.gives] if goal.gives else []),
            *goal.code(spec, dtype, bare),
            f"O = {goal.takes}",
            f"numpy.save({str(made)!r}, O)",
            f"print({goal.package}.__version__)",
        ]
        command = [sys.executable, "-P", "-c", "\n".join(lines)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=LONGEST, cwd=folder,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BadInput(path, "", f"{goal.package} to compute it", "nothing in time") from None
        if done.returncode or not made.exists():
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise BadInput(path, "", f"{goal.package} to compute it", last[:300])
        return np.load(made), done.stdout.strip().splitlines()[-1][:80]
