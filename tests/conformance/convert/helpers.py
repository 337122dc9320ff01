"""Networks to be moved, and how a file of one is made."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.parameters import Arrays, initialise
from common.spec import ModelSpec
from common.weights import save_weights
from conformance.__main__ import main
from conformance.convert.targets import TARGETS

SPECS = {
    "lstm": ModelSpec("lstm", 4, 3, 5, 2),
    "lstm of one": ModelSpec("lstm", 1, 1, 1, 1),
    "gru": ModelSpec("gru", 3, 4, 4, 3, reset="after"),
    "gru before": ModelSpec("gru", 3, 4, 1, 1, reset="before"),
    "rnn": ModelSpec("rnn", 2, 5, 3, 12, ("tanh",) * 12),
    "relu": ModelSpec("rnn", 4, 4, 4, 2, ("relu",) * 2),
    "sigmoid": ModelSpec("rnn", 4, 3, 5, 1, ("sigmoid",)),
    "both ways": ModelSpec("lstm", 4, 3, 5, 2, directions=2),
    "gru both ways": ModelSpec("gru", 3, 4, 2, 1, reset="after", directions=2),
    "relu both ways": ModelSpec("rnn", 3, 4, 2, 2, ("relu",) * 2, directions=2),
    "identity": ModelSpec("rnn", 4, 3, 5, 1, ("identity",)),
    "sizes": ModelSpec("lstm", 4, 5, 2, 3, sizes=(3, 5, 2)),
    "gru of sizes both ways": ModelSpec(
        "gru", 3, 4, 2, 2, reset="after", directions=2, sizes=(2, 4)
    ),
    "rnn of many sizes": ModelSpec("rnn", 2, 3, 3, 12, ("tanh",) * 12, sizes=(3, 2) * 6),
    "projected": ModelSpec("lstm", 4, 5, 3, 2, p=2),
    "peepholes": ModelSpec("lstm", 4, 3, 5, 2, peepholes=True),
    "clipped": ModelSpec("lstm", 4, 3, 5, 2, gate_clip=0.25),
    "peepholes and clip both ways": ModelSpec(
        "lstm", 3, 4, 2, 2, directions=2, peepholes=True, gate_clip=0.5
    ),
    "projected both ways": ModelSpec("lstm", 3, 5, 2, 2, directions=2, sizes=(5, 4), p=2),
}


def bare(spec: ModelSpec) -> ModelSpec:
    """The same without an output layer: O is the topmost H."""
    return replace(spec, q=spec.width)


def parameters(spec: ModelSpec, target: str, dtype: str = "float32") -> Arrays:
    """Random, and no more than the target can hold."""
    # What is drawn are numbers that float32 holds.
    scale = 1.0 if dtype == "float32" else 1 / 1.1
    params = {n: (a * scale).astype(dtype) for n, a in initialise(spec, "uniform", 3).items()}
    if target == "flax":
        zero = [name for name in params if name.endswith("b_hh")]
        params |= {name: np.zeros_like(params[name]) for name in zero}
    return params


def can(target: str, spec: ModelSpec, dtype: str = "float32") -> bool:
    goal = TARGETS[target]
    if goal.lacks(spec, parameters(spec, target, dtype)):
        return False
    if spec.p is not None and not goal.projects:
        return False
    if (spec.peepholes or spec.gate_clip) and not goal.peeps:
        return False
    activation = not spec.activations or spec.activations[0] in goal.activations
    return activation and (spec.cell != "gru" or spec.reset in goal.resets) and dtype in goal.dtypes


def saved(path: Path, spec: ModelSpec, params: Arrays) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_weights(path, spec, params)
    return path


def convert(source: Path, target: str, folder: Path, *words: str, code: int = 0) -> Path:
    """The written file."""
    out = folder / f"moved{TARGETS[target].end}"
    assert main(["convert", str(source), "--to", target, "--out", str(out), *words]) == code
    return out


def options(target: str, spec: ModelSpec) -> list[str]:
    """What the written file does not say of itself, as words of the command line."""
    goal = TARGETS[target]
    said = [f"--option={name}={value}" for name, value in goal.options(spec).items()]
    return [*said, *([f"--layout={goal.layout}"] if goal.layout else [])]
