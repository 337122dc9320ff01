"""The process that runs a model in its framework and writes the capture.

    python -m conformance.captures.live BACKEND PACKAGE.MODULE:FUNCTION OUT INPUT.npy …

It answers with one line of JSON on standard output: null, or what a BadInput says. Whatever the
model prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from backends import registry
from common.errors import BadInput
from common.storage.reading import check_file
from common.weights import LARGEST_FILE

ROOT = Path(__file__).resolve().parents[2]
ARRAY = "an array of numbers in NumPy's format (.npy)"


def ask(backend: str, model: str, inputs: list[Path], out: Path) -> None:
    """Have a process of its own write the capture; BadInput says why it could not."""
    # Safe path (-P): a folder ``common`` where the user is must not take the place of the suite's.
    command = [sys.executable, "-P", "-m", "conformance.captures.live", backend, model, str(out)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [*command, *map(str, inputs)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    if done.stdout:
        if (found := json.loads(done.stdout)) is not None:
            raise BadInput(*found)
        return
    number, said = done.returncode, done.stderr.strip().splitlines()[-1:] or ["nothing"]
    how = signal.Signals(-number).name if number < 0 else f"exit code {number}"
    raise BadInput(model, "", "a model that runs", f"its process ended ({how}), saying {said[0]}")


def main(words: list[str]) -> int:
    """Carry it out in this process."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    backend, model, out, *inputs = words
    found = None
    try:
        run(backend, model, Path(out), [Path(path) for path in inputs])
    except BadInput as error:
        found = [error.where, error.field, error.expected, error.found]
    with answer:
        json.dump(found, answer)
    return 0


def run(backend: str, model: str, out: Path, inputs: list[Path]) -> None:
    capture: Any = registry.load_part(backend, "capture")
    if capture is None:
        found = f"{backend}, which has no layers of its own"
        raise BadInput("--backend", "", "a framework's backend", found)
    arrays = [read_array(path) for path in inputs]
    sys.path.append(os.getcwd())
    try:
        made = registry.find(model)()
        capture.capture(made, out, *(capture.from_array(array) for array in arrays))
    except (BadInput, OSError):
        raise
    except Exception as error:  # of the user's own code: the place is what helps
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        given = " and ".join(path.name for path in inputs)
        raise BadInput(model, "", f"a model that takes {given}", " ".join(said.split())) from None


def read_array(path: Path) -> np.ndarray:
    """An array out of a .npy file, of whose header nothing is believed: it is mapped, not read, and
    nothing is unpickled."""
    check_file(path, ARRAY, LARGEST_FILE, follow=True)
    try:
        found = np.array(np.load(path, mmap_mode="r"))
    except (ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError) as error:
        raise BadInput(path, "", ARRAY, " ".join(str(error).split())) from None
    if found.dtype.kind not in "iufb":
        raise BadInput(path, "", ARRAY, found.dtype)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
