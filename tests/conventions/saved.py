"""What ``diagnose`` says of a file that a framework itself has saved.

In a process of its own, as users start it: it forks, which frameworks with threads do not like.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from common.weights import write_arrays

ROOT = Path(__file__).parents[2]
RNG = np.random.RandomState(4)


def numbers(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.7, 0.7, shape).astype("float32")


def asked(weights: Path, X: np.ndarray, outputs: np.ndarray, *words: str) -> tuple[int, str]:
    """The exit code, and all that was said."""
    io = weights.parent / "io.safetensors"
    io.unlink(missing_ok=True)
    write_arrays(io, {"X": X, "outputs": np.ascontiguousarray(outputs)}, {})
    command = [sys.executable, "-m", "conformance", "diagnose", "--quiet", "--weights"]
    command += [str(weights), "--io", str(io), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, env={**os.environ}
    )
    return done.returncode, done.stdout + done.stderr


def all_right(weights: Path, X: np.ndarray, outputs: np.ndarray, *words: str) -> str:
    code, said = asked(weights, X, outputs, *words)
    assert code == 0 and "all right" in said, said
    return said
