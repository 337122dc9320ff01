"""Files that old releases themselves have written (old/make.py): read as what these computed."""

from pathlib import Path

import numpy as np
import pytest

from common.weights import write_arrays
from conformance.__main__ import main

pytestmark = pytest.mark.once

OLD = Path(__file__).with_name("old")
FILES = sorted(p for p in OLD.iterdir() if p.suffix in (".params", ".h5"))


def asked(path: Path, folder: Path, scale: float) -> int:
    """The exit code of ``diagnose`` about what the release made of X, times a number."""
    io = folder / "io.safetensors"
    with np.load(path.with_suffix(".npz")) as made:
        write_arrays(io, {"X": made["X"], "outputs": made["O"] * np.float32(scale)}, {})
    return main(["diagnose", "--weights", str(path), "--io", str(io), "--quiet"])


def test_there_are_files_of_every_age():
    names = " ".join(path.name for path in FILES)
    for release in ("mxnet-0.9.5", "mxnet-0.11.0", "keras-1.2.2", "keras-2.2.5", "tf-keras-2.16"):
        assert release in names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_an_old_release_is_the_network_that_it_computed(path, tmp_path, capsys):
    """In float32, by the release's own kernels; the file says all that is asked."""
    assert asked(path, tmp_path, 1.0) == 0
    said = capsys.readouterr().out
    assert "all right" in said and "The output layer is" in said


def test_other_outputs_are_not_its_own(tmp_path):
    assert asked(FILES[-1], tmp_path, 1.001) == 1
