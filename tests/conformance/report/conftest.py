"""A real results folder."""

import shutil
from pathlib import Path

import pytest

from conformance.__main__ import main

CASES = ("lstm-L2", "gru-before-L1")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases and one short training run by the NumPy backend, judged; not to be changed."""
    folder = tmp_path_factory.mktemp("report") / "results"
    train = ["train", "--backend", "numpy", "--cell", "rnn", "--numerics", "lattice", "float32"]
    assert main(["record", "--backend", "numpy", "--out", str(folder), "--cases", *CASES]) == 0
    assert main([*train, "--out", str(folder), "--quiet"]) == 0
    assert main(["judge", str(folder), "--quiet", "--json", str(folder / "verdict.json")]) == 0
    return folder


@pytest.fixture
def results(recorded: Path, tmp_path: Path) -> Path:
    """The same in a folder of its own."""
    return Path(shutil.copytree(recorded, tmp_path / "results"))
