"""How to move a network: from one framework's file to another's, with a certificate."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from common.parameters import initialise, zero_state
from common.spec import ModelSpec
from common.storage.files import read_json
from common.weights import save_weights
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward
from docs._ext.sources import ROOT
from docs.experiments import run

SPEC = ModelSpec("lstm", 6, 8, 5, 2)
X = np.random.RandomState(2).standard_normal((7, 3, SPEC.d)).astype("float32")
FILES = {
    "pytorch": "pytorch.safetensors",
    "keras": "keras.weights.h5",
    "mxnet": "gluon.params",
    "onnx": "network.onnx",
    "flax": "flax.msgpack",
}
TO = {"numpy": "onnx", "pytorch": "pytorch", "mxnet": "mxnet", "tensorflow": "keras", "jax": "flax"}
"""What ``--to`` takes in each tab. ONNX Runtime takes and gives NumPy's arrays."""

ASKED = {
    "keras": "--layout keras --option activation=tanh recurrent_activation=sigmoid "
    "go_backwards=False",
    "flax": "--option activation_fn=tanh gate_fn=sigmoid reverse=False",
}
"""What a file of an LSTM's weights does not say of itself."""

BEGIN = """
import sys
from conformance.__main__ import main
sys.stderr = sys.stdout
for line in sys.stdin:
    main(line.split())
    print(end="\\0")
"""


def suite(*commands: str) -> list[str]:
    """What each command of the suite prints, in a process that has imported no framework."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN], input="\n".join(commands), capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.split("\0")[:-1]


def saved(name: str) -> str:
    """The command that makes a framework's file of the network."""
    return f"convert own.safetensors --to {name} --out {FILES[name]}"


def command(source: str, to: str, file: str) -> str:
    return " ".join(
        f"convert {FILES[source]} {ASKED.get(source, '')} --to {to} --out {file}".split()
    )


@contextlib.contextmanager
def network() -> Iterator[np.ndarray]:
    """A folder with the network in the suite's own file; what the equations make of X."""
    params = {n: a.astype("float32") for n, a in initialise(SPEC, "uniform", 1).items()}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        save_weights(Path("own.safetensors"), SPEC, params)
        state = zero_state(SPEC, X.shape[1], "float64")
        wide = {name: array.astype("float64") for name, array in params.items()}
        yield forward(TRUTH, SPEC, wide, X.astype("float64"), state)["forward/O"]


def computed(backend: str, file: str) -> np.ndarray:
    """O (T, n, q) of the framework, which loads the file by the lines of its certificate."""
    batch_first = backend in ("tensorflow", "jax")
    given: Any = X.swapaxes(0, 1) if batch_first else X
    narrow = contextlib.nullcontext()
    if backend == "pytorch":
        given = import_module("torch").from_numpy(given)
    elif backend == "mxnet":
        given = import_module("mxnet").nd.array(given)
    elif backend == "jax":  # as JAX begins; the suite asks it for float64 elsewhere
        narrow = import_module("jax").enable_x64(False)
    names = {"FILE": file, "X": given}
    with narrow:
        exec("\n".join(read_json(Path(f"{file}.certificate.json"))["found"]["code"]), names)
    O: Any = names["O"]
    for read in ("detach", "asnumpy"):
        O = getattr(O, read)() if hasattr(O, read) else O
    return np.asarray(O).swapaxes(0, 1) if batch_first else np.asarray(O)


def moved(backend: str) -> None:
    """From Keras, or to Keras from PyTorch; then the framework computes what it has loaded."""
    to = TO[backend]
    source, file = "pytorch" if to == "keras" else "keras", f"moved-{FILES[to]}"
    asked = f"{command(source, to, file)} --measure"
    with network() as wanted:
        _, said = suite(saved(source), asked)
        print("$", asked)
        print(said)
        print(f"largest error of the outputs: {np.abs(computed(backend, file) - wanted).max():.0e}")


def every_direction(backend: str) -> None:
    """To this framework from the files of all others."""
    to = TO[backend]
    files = {name: f"from-{name}-{FILES[to]}" for name in FILES if name != to}
    with network() as wanted:
        converted = (command(name, to, file) for name, file in files.items())
        suite(*map(saved, files), *converted)
        for name, file in files.items():
            same = read_json(Path(f"{file}.certificate.json"))["found"]["weights"]["same"]
            error = np.abs(computed(backend, file) - wanted).max()
            print(f"{name:8} every number the same: {same}   outputs within {error:.0e}")


def refused(backend: str) -> None:
    """A GRU that resets before the matrix product is another function of the same weights."""
    spec = ModelSpec("gru", 6, 8, 5, 2, reset="before")
    with network():
        save_weights(Path("gru.safetensors"), spec, initialise(spec, "uniform", 1))
        commands = [f"convert gru.safetensors --to {to} --out {file}" for to, file in FILES.items()]
        for (to, file), said in zip(FILES.items(), suite(*commands), strict=True):
            print(f"{to:8} {'done' if Path(file).exists() else said.strip()}")


def tampered(backend: str) -> None:
    """A certificate holds until a bit of either file is another."""
    verify = "verify pytorch.safetensors.certificate.json"
    with network():
        print(suite(saved("pytorch"), verify)[1], end="")
        data = bytearray(Path("pytorch.safetensors").read_bytes())
        data[-1] ^= 1
        Path("pytorch.safetensors").write_bytes(data)
        print(*suite(verify), end="")


def solution_1(backend: str) -> None:
    """To Keras and back to PyTorch: is every number the same?"""
    with network():
        suite(saved("pytorch"), command("pytorch", "keras", FILES["keras"]))
        back = command("keras", "pytorch", "back.safetensors")
        suite(back)
        same = read_json(Path("back.safetensors.certificate.json"))["found"]["weights"]["same"]
        print("$", back)
        print("every number the same:", same)


def solution_2(backend: str) -> None:
    """A certificate for another file than the one beside it."""
    with network():
        suite(saved("pytorch"), command("pytorch", "onnx", FILES["onnx"]))
        save_weights(Path("own.safetensors"), SPEC, initialise(SPEC, "uniform", 2))
        suite("convert own.safetensors --to onnx --out other.onnx")
        Path("other.onnx").replace(FILES["onnx"])
        print(*suite(f"verify {FILES['onnx']}.certificate.json"), end="")


EXAMPLES = (moved, every_direction, refused, tampered, solution_1, solution_2)


def main(words: list[str] | None = None) -> int:
    return run("move-a-network", EXAMPLES, None, words)


if __name__ == "__main__":
    sys.exit(main())
