"""What a record says about where it was made."""

import importlib
import json
from pathlib import Path

import pytest

from backends.registry import Backend
from common.errors import BadInput
from conformance.run.child import Child


def test_a_passport_is_json_and_names_the_version_that_runs(backend: Backend) -> None:
    passport = backend.passport("cpu")
    assert json.loads(json.dumps(passport, allow_nan=False)) == passport
    framework = importlib.import_module(passport["framework"])
    assert passport["version"] == framework.__version__
    assert passport["device"] and passport["threads"]
    assert passport["mode"]  # what a record's programs are: eager calls, graphs, compiled ones


def test_a_passport_states_the_kernel_path_of_every_layer_and_dtype(
    backend: Backend, backend_name: str
) -> None:
    path = backend.passport("cpu")["kernel path"]
    dtypes = {key.split()[-1] for key in path}
    assert dtypes == {"float32", "float64"}
    assert all(isinstance(kernel, str) and kernel for kernel in path.values())
    if backend_name != "numpy":
        assert len(path) == 6  # three layer types in two dtypes


def test_a_worker_has_as_many_threads_as_it_is_asked_for(backend_name: str, tmp_path: Path) -> None:
    """Also where there are more cores, all of which XLA and others would take."""
    worker = Child(backend_name, "cpu", ["float32"], 1, None, tmp_path / "log")
    try:
        assert int(worker.start()["passport"]["threads"]) == 1
    finally:
        worker.stop()


def test_a_gpu_that_is_not_there_is_refused(backend: Backend, backend_name: str) -> None:
    try:
        backend.implementation("equations", "gpu", "float32")
    except BadInput as error:
        assert "gpu" in str(error).lower() and "\n" not in str(error)
    else:
        pytest.skip("there is a GPU")
