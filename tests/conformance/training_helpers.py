"""What the tests of training share: tiny runs, and workers with faults."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.weights import load_weights, read_arrays
from conformance.__main__ import main
from conformance.run.child import Child

SCRIPT = Path(__file__).with_name("faulty_trainee.py")
SIZES = ("--layers", "1", "--hidden", "6", "--batch", "4", "--steps", "5", "--max-tokens", "200")
EPOCHS = 6
COMMAND = ("train", "--backend", "numpy", *SIZES, "--epochs", str(EPOCHS))
CHECKPOINT = "checkpoint.safetensors"


def train(out: Path, *options: str) -> int:
    """``python -m conformance train``, tiny and in this process; returns the exit code."""
    return main([*COMMAND, "--out", str(out), *options])


def folder_of(out: Path, numerics: str = "float32", name: str = "equations-lstm-quick") -> Path:
    return out / "training" / "numpy-cpu" / f"{name}-{numerics}"


def partial_of(out: Path, numerics: str = "float32") -> Path:
    folder = folder_of(out, numerics)
    return folder.with_name(f".{folder.name}.partial")


def run_in(folder: Path) -> dict:
    """run.json, which has neither NaN nor infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((folder / "run.json").read_text(encoding="utf-8"), parse_constant=refuse)


def trained(folder: Path) -> dict:
    """Everything about a run that must not depend on when and how often it was interrupted: what
    was found in every epoch, the prediction, and the bits of the weights."""
    made = run_in(folder)
    assert made["status"] == "finished"
    spec, params = load_weights(folder / "weights.safetensors")
    epochs = [{k: v for k, v in row.items() if k != "seconds"} for row in made["epochs"]]
    return {
        "epochs": epochs,
        "prediction": made["prediction"],
        "spec": spec,
        "weights": {name: (array.dtype, array.tobytes()) for name, array in params.items()},
    }


def epochs_in(checkpoint: Path) -> list[dict]:
    """The epochs that a checkpoint holds; it must be whole."""
    arrays, metadata = read_arrays(checkpoint)
    assert arrays and all(np.isfinite(array).all() for array in arrays.values())
    return json.loads(metadata["rows"])


def use_faulty_trainee(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every worker that this process starts be faulty_trainee.py."""
    init = Child.__init__

    def faulty(self, *arguments):
        init(self, *arguments)
        at = self.command.index("-m")
        self.command[at : at + 2] = [str(SCRIPT)]
        # A script sees its own folder, where -m sees the current one.
        self.environment["PYTHONPATH"] = str(SCRIPT.parents[2])

    monkeypatch.setattr(Child, "__init__", faulty)


def asked_of(path: Path) -> list[tuple[int, str, int]]:
    """The epochs that were trained: pid, numerics and epoch."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(int(pid), numerics, int(epoch)) for pid, numerics, epoch in map(str.split, lines)]


def content(folder: Path) -> list[str]:
    """Every file and folder below a folder, hidden ones included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
