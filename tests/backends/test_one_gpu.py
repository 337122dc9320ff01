"""conformance/one_gpu.py: what is run on a lent machine is run here on the CPU first."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, EXIT_PASS
from common.spec import ModelSpec
from conformance.one_gpu import main, operations

ROOT = Path(__file__).resolve().parents[2]

BLOCKED = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Blocked())
"""
NOT_THERE = ("rich", "argcomplete", "threadpoolctl", "flax", "optax")
OPTIONS = "--recipe quick --text sample --cells lstm --cases lstm-L2 --size 64"


def run(backend: str, device: str, out: Path, blocked: Path) -> subprocess.CompletedProcess:
    (blocked / "sitecustomize.py").write_text(BLOCKED.format(names=NOT_THERE))
    command = [sys.executable, "-m", "conformance.one_gpu", "--device", device]
    command += ["--backends", backend, *OPTIONS.split(), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(blocked), str(ROOT)])}
    return subprocess.run(
        command, cwd=blocked, env=environment, capture_output=True, text=True, check=False
    )


def check(backend: str, device: str, tmp_path: Path) -> None:
    made = run(backend, device, tmp_path / "results", tmp_path)
    assert made.returncode == EXIT_PASS, made.stderr
    report = tmp_path / "results" / "training" / f"one-{device}.json"
    rows = json.loads(report.read_text(encoding="utf-8"))["runs"]
    wanted = {"lattice", "float32"} | ({"tf32"} if device == "gpu" else set())
    assert {row["run"].rpartition("-")[2] for row in rows} == wanted
    assert {row["status"] for row in rows} == {"finished"}
    assert all(row["tokens/s"] > 0 and row["share of them"].endswith("%") for row in rows)
    lattice = next(row for row in rows if row["run"].endswith("lattice"))
    assert lattice["digests as the witness's"] == "15 of 15"
    # A float32 curve of equations may be a declared deviation; the main job judges the layers'.
    for run_of_a_curve in (tmp_path / "results" / "training").glob("*/*-float32"):
        shutil.rmtree(run_of_a_curve)
    judged = [sys.executable, "-m", "conformance", "judge", str(tmp_path / "results")]
    verdict = subprocess.run(judged, cwd=ROOT, capture_output=True, text=True, check=False)
    if backend == "jax":  # Flax is not there, and what is missing is no PASS
        assert verdict.returncode == EXIT_INCOMPLETE, verdict.stdout
        assert "INCOMPLETE: no record of jax:layers" in verdict.stdout
    else:
        assert verdict.returncode == EXIT_PASS, verdict.stdout
        assert re.search(r"PASS: .* agree", verdict.stdout)


@pytest.fixture
def can_multiply(backend, backend_name: str) -> str:
    if not hasattr(backend, "product_rate"):
        pytest.skip("the script is for frameworks that share an environment: PyTorch and JAX")
    return backend_name


def test_the_script_records_trains_and_measures_with_nothing_else_installed(can_multiply, tmp_path):
    check(can_multiply, "cpu", tmp_path)


@pytest.mark.usefixtures("there_is_a_gpu")
def test_the_same_on_a_gpu(can_multiply, tmp_path):
    check(can_multiply, "gpu", tmp_path)


def test_an_unknown_backend_is_refused_in_one_line(capsys, tmp_path):
    assert main(["--backends", "theano", "--out", str(tmp_path / "none")]) == EXIT_BAD_INPUT
    assert capsys.readouterr().err.startswith("--backend: expected one of numpy, pytorch")
    assert not (tmp_path / "none").exists()


def test_operations_count_every_product_of_a_token():
    """Forward: gates · (inputs · h + h · h) for each layer, and h · q; one multiplication and one
    addition each; backward twice that."""
    spec = ModelSpec("lstm", 3, 5, 7, 2)
    assert operations(spec) == 3 * 2 * (4 * (3 * 5 + 5 * 5) + 4 * (5 * 5 + 5 * 5) + 5 * 7)
