"""What a record says about where it was made."""

import importlib
import json
from typing import Any

import pytest

from backends import registry
from backends.protocol import Part
from backends.registry import Backend
from common.errors import BadInput

BOTH = Part("", ("float64", "float32"))
"""Of a backend that answers the whole ladder."""


@pytest.fixture(scope="module")
def passport(pytestconfig: pytest.Config) -> dict[str, Any]:
    name = pytestconfig.getoption("--backend")
    if name is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")
    return registry.load(name).passport("cpu")


def test_a_passport_is_json_and_names_the_version_that_runs(passport: dict[str, Any]) -> None:
    assert json.loads(json.dumps(passport, allow_nan=False)) == passport
    framework = importlib.import_module(passport["framework"])
    assert passport["version"] == framework.__version__
    assert passport["device"] and passport["threads"]
    assert passport["mode"]  # what a record's programs are: eager calls, graphs, compiled ones


def test_a_passport_states_the_kernel_path_of_every_layer_and_dtype(
    backend: Backend, passport: dict[str, Any], backend_name: str
) -> None:
    path = passport["kernel path"]
    dtypes = {key.split()[-1] for key in path}
    assert dtypes == set(getattr(backend, "PART", BOTH).dtypes)
    assert all(isinstance(kernel, str) and kernel for kernel in path.values())
    if backend_name != "numpy" and not hasattr(backend, "PART"):
        assert len(path) == 6  # three layer types in two dtypes


def test_a_gpu_that_is_not_there_is_refused(backend: Backend, backend_name: str) -> None:
    try:
        backend.implementation(backend.IMPLEMENTATIONS[0], "gpu", "float32")
    except BadInput as error:
        assert "gpu" in str(error).lower() and "\n" not in str(error)
    else:
        pytest.skip("there is a GPU")
