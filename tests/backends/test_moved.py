"""A network that ``convert`` has moved is loaded by the framework's own function, and computed."""

import contextlib
import importlib

import pytest

from conformance.convert.targets import TARGETS
from conformance.verdict.deviations import load_deviations
from tests.conformance.convert.helpers import SPECS, can
from tests.moved import agrees, given_to

TARGET = {"tensorflow": "keras", "jax": "flax"}
"""By backend, the target where it has another name."""

DTYPES = ("float32", "float64")
DECLARED = {("mxnet", "relu", "float64"): "native-relu-rounds-to-float32"}
"""Faults of frameworks; conformance/verdict/deviations.toml has them."""


def as_it_begins(backend_name: str, dtype: str):
    """JAX without the float64 that the backend switches on for the whole process."""
    if backend_name == "jax":
        return importlib.import_module("jax").enable_x64(dtype == "float64")
    return contextlib.nullcontext()


def to_array(backend_name: str, X):
    """NumPy's array as the framework takes it; Keras and Flax take it as it is."""
    if backend_name == "pytorch":
        return importlib.import_module("torch").from_numpy(X)
    if backend_name == "mxnet":
        return importlib.import_module("mxnet").nd.array(X, dtype=X.dtype)
    return X


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECS)
def test_the_framework_computes_what_the_oracle_does(name, dtype, backend_name, tmp_path):
    target = TARGET.get(backend_name, backend_name)
    if target not in TARGETS:
        pytest.skip(f"nothing is moved to {target}")
    spec = SPECS[name]
    if not can(target, spec, dtype):
        pytest.skip(f"{target} has no such layer")
    path, X, numbers = given_to(target, spec, dtype, tmp_path)
    declared = DECLARED.get((target, name, dtype))
    fails = contextlib.nullcontext()
    if declared:
        assert declared in {deviation.id for deviation in load_deviations()}
        fails = pytest.raises(AssertionError, match="above the bound")
    with as_it_begins(backend_name, dtype), fails:
        agrees(target, spec, dtype, path, X, numbers, lambda X: to_array(backend_name, X))
