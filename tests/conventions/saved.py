"""What ``diagnose`` says of a file that a framework itself has saved."""

from pathlib import Path

import numpy as np

from common.weights import write_arrays
from tests.commands import Commands, beside

RNG = np.random.RandomState(4)


def numbers(*shape: int) -> np.ndarray:
    return RNG.uniform(-0.7, 0.7, shape).astype("float32")


def asked(
    weights: Path, X: np.ndarray, outputs: np.ndarray, *words: str, by: Commands | None = None
) -> tuple[int, str]:
    """The exit code, and all that was said. by: the process that is asked, if not the usual one"""
    io = weights.parent / "io.safetensors"
    io.unlink(missing_ok=True)
    write_arrays(io, {"X": X, "outputs": np.ascontiguousarray(outputs)}, {})
    which = "--weights", str(weights), "--io", str(io)
    code, out, err = (by or beside()).said("diagnose", "--quiet", *which, *words)
    return code, out + err


def all_right(
    weights: Path, X: np.ndarray, outputs: np.ndarray, *words: str, by: Commands | None = None
) -> str:
    code, said = asked(weights, X, outputs, *words, by=by)
    assert code == 0 and "all right" in said, said
    return said
