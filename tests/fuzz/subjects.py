"""What is fuzzed: every reader of a file, and which bytes of the file matter.

A byte matters if a change of it changes the ``essence``: what is left of a file without spaces
between JSON values and the order of names. A file whose essence has changed must not lead to a
PASS, and what has a checksum or a seal is not read at all.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_PASS, BadInput
from common.parameters import initialise
from common.recipe import Recipe
from common.spec import ModelSpec
from common.weights import load_weights, read_arrays, save_weights, write_arrays
from conformance.__main__ import main
from conformance.cases.given import Given, load_given
from conformance.closeness.compare import BOUNDS, load_bounds
from conformance.diagnose.captured import captured
from conformance.judge.curves import ENSEMBLES, load_ensemble
from conformance.models.frameworks import settings
from conformance.models.given import load_given as load_io
from conformance.models.reading import read_network
from conformance.records.checkpoint import check_checkpoint
from conformance.records.training import load_run
from conformance.records.witness import WITNESSES, load_witness
from conformance.run.journal import Journal
from conformance.verdict.deviations import PATH as DEVIATIONS
from conformance.verdict.deviations import load_deviations
from tests import captures

SPEC = ModelSpec("gru", 4, 3, 4, 2, reset="after")
CASE = "rnn-tanh-one-unit"
SETTINGS = {"suite": "fuzz", "spec": SPEC.to_json()}


@dataclass(frozen=True)
class Subject:
    """name:    what is mutated, a path in the folder
    read:    reads the folder or the file; returns the exit code
    essence: what of the file matters, None if any file that is whole may be read
    """

    name: str
    read: Callable[[Path], int]
    essence: Callable[[Path], Any] | None = None


def loads(load: Callable[[Path], Any]) -> Callable[[Path], int]:
    """The exit code of a command that reads a file by a function."""

    def read(path: Path) -> int:
        try:
            load(path)
        except BadInput as error:
            assert str(error).isprintable() and len(str(error)) < 5000
            return EXIT_BAD_INPUT
        return EXIT_PASS

    return read


def judge(path: Path) -> int:
    """The judge, over the results folder that a file lies in, which is told what to expect."""
    results = next(p for p in path.parents if p.name == "results")
    expected = ["--expect", "numpy", "--cases", CASE, "--dtype", "float64"]
    written = ["--json", str(results.parent / "v.json")]
    return main(["judge", str(results), "--quiet", *expected, *written])


def all_arrays(path: Path) -> Any:
    arrays, metadata = read_arrays(path)
    return metadata, {n: (a.dtype.str, a.shape, a.tobytes()) for n, a in arrays.items()}


class Close:
    """Arrays that are equal as far as the bounds can tell: who forges a checksum may put in what
    another machine might have computed."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Close):
            return NotImplemented
        (arrays, metadata), (right, others) = self.found, other.found
        return (
            metadata == others
            and arrays.keys() == right.keys()
            and all(
                a.dtype == right[n].dtype
                and a.shape == right[n].shape
                and np.max(np.abs(a - right[n])) <= 1e-11 * np.max(np.abs(right[n]))
                for n, a in arrays.items()
            )
        )


def close_arrays(path: Path) -> Any:
    return Close(read_arrays(path))


def json_value(path: Path) -> Any:
    """Everything that a sealed file says."""
    return json.loads(path.read_bytes())


def journal_says(path: Path) -> Any:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def checkpoint(path: Path) -> None:
    check_checkpoint(path, SETTINGS, SPEC, Recipe(1.0, 1.0, epochs=3))


def diagnose(path: Path) -> None:
    folder = path.parent
    weights = read_arrays(folder / "w.safetensors")[0]
    found = read_network(weights, "pytorch", folder / "w.safetensors")
    load_io(folder / "io.safetensors", found.network)


def verify(path: Path) -> int:
    return main(["verify", str(path)])


def compared(path: Path) -> int:
    """It, and what it was before."""
    return main(["diff", str(path.with_name("captured-before.safetensors")), str(path)])


def capture(path: Path) -> None:
    asked = argparse.Namespace(capture=path, prefix=[], layout="", option=[], dtype=None)
    for question in captured(asked):
        read = question.read
        settings(read.layout, read.loaded.network, read.stated, path)


def report(path: Path) -> None:
    from conformance.report.verdict_file import read_verdict

    read_verdict(path)


MOVED = "moved.safetensors"
RECORD = "results/numpy-cpu"
RUN = "training/training/numpy-cpu/equations-rnn-quick-lattice"

SUBJECTS = [
    Subject(f"{RECORD}/record.json", judge, json_value),
    Subject(f"{RECORD}/given.safetensors", judge, all_arrays),
    Subject(f"{RECORD}/arrays/equations/float64/{CASE}.safetensors", judge, close_arrays),
    Subject("given.safetensors", loads(load_given)),
    Subject("weights.safetensors", loads(load_weights)),
    Subject("checkpoint.safetensors", loads(checkpoint)),
    Subject("journal.jsonl", loads(lambda p: Journal(p).read(p.parent))),
    Subject("run.json", loads(lambda p: load_run(p.parent)), json_value),
    Subject("verdict.json", loads(report), json_value),
    Subject("witness.json", loads(load_witness)),
    Subject("ensemble.json", loads(load_ensemble)),
    Subject("bounds.toml", loads(load_bounds)),
    Subject("deviations.toml", loads(load_deviations)),
    Subject("text.txt", loads(load_corpus)),
    Subject("w.safetensors", loads(diagnose)),
    Subject("io.safetensors", loads(diagnose)),
    Subject(f"{MOVED}.certificate.json", verify, json_value),
    Subject("captured.safetensors", loads(capture)),
    Subject("captured-after.safetensors", compared),
]
"""Of the kinds without an essence anything that is whole may be read, and means what it says."""


def make(folder: Path) -> None:
    """One good file of every kind."""
    results = folder / "results"
    record = ["record", "--backend", "numpy", "--cases", CASE, "--dtype", "float64", "--quiet"]
    assert main([*record, "--out", str(results)]) == EXIT_PASS
    assert main(["judge", str(results), "--json", str(folder / "verdict.json"), "--quiet"]) == 0
    train = ["train", "--backend", "numpy", "--cell", "rnn", "--numerics", "lattice", "--quiet"]
    assert main([*train, "--epochs", "2", "--out", str(folder / "training")]) == EXIT_PASS
    (folder / "run.json").write_bytes((folder / RUN / "run.json").read_bytes())
    (folder / "given.safetensors").write_bytes((folder / RUN / "given.safetensors").read_bytes())
    params = initialise(SPEC, "uniform", 1)
    save_weights(folder / "weights.safetensors", SPEC, params)
    moved = ["--to", "pytorch", "--out", str(folder / MOVED)]
    assert main(["convert", str(folder / "weights.safetensors"), *moved]) == EXIT_PASS
    rows = [{"losses": [1.5, 1.25], "norms": [0.5, 0.25], "seconds": 0.1, "tokens": 6}]
    metadata = {"settings": json.dumps(SETTINGS), "rows": json.dumps(rows)}
    write_arrays(folder / "checkpoint.safetensors", params, metadata)
    journal = Journal(folder / "journal.jsonl")
    for k in range(3):
        journal.add(("equations", "float64", f"case-{k}"), {"status": "crashed", "reason": "it"})
    for name, source in (
        ("witness.json", WITNESSES / "quick-rnn.json"),
        ("ensemble.json", ENSEMBLES / "quick-rnn.json"),
        ("bounds.toml", BOUNDS),
        ("deviations.toml", DEVIATIONS),
    ):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "text.txt").write_text("A text, of two lines\nand no great length. " * 3)
    rng = np.random.RandomState(1)
    layer = {"weight_ih_l0": (12, 4), "weight_hh_l0": (12, 3), "bias_ih_l0": (12,)}
    layer |= {"bias_hh_l0": (12,)}
    stack = {name: rng.random_sample(shape) for name, shape in layer.items()}
    write_arrays(folder / "w.safetensors", stack, {})
    io = {"X": (5, 2, 4), "outputs": (5, 2, 3), "H0": (1, 2, 3)}
    write_arrays(folder / "io.safetensors", {k: rng.random_sample(s) for k, s in io.items()}, {})
    for name in ("captured", "captured-before", "captured-after"):
        net = captures.layer_of(captures.plain())
        net.gradients = dict(net.weights)
        captures.captured(folder / f"{name}.safetensors", net, loss=0.5)
    assert Given(load_corpus()).corpus.q == load_given(folder / "given.safetensors").corpus.q
