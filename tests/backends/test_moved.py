"""A network that ``convert`` has moved is loaded by the framework's own function, and computed."""

import contextlib
import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common.weights import load_weights
from conformance.convert.targets import TARGETS
from conformance.verdict.deviations import load_deviations
from tests.commands import beside
from tests.conformance.convert.helpers import SPECS, bare, can, options, parameters
from tests.conformance.convert.helpers import saved as own
from tests.moved import agrees, built, given_to

TARGET = {"tensorflow": "keras", "jax": "flax"}
"""By backend, the target where it has another name."""

DTYPES = ("float32", "float64")
DECLARED = {
    ("mxnet", name, "float64"): "native-relu-rounds-to-float32"
    for name in ("relu", "relu both ways")
}
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


@pytest.mark.parametrize("name", ["lstm", "gru both ways"])
def test_the_framework_loads_a_network_without_an_output_layer(name, backend_name, tmp_path):
    target = TARGET.get(backend_name, backend_name)
    if target not in TARGETS:
        pytest.skip(f"nothing is moved to {target}")
    spec = bare(SPECS[name])
    path, X, numbers = given_to(target, spec, "float32", tmp_path, bare=True)
    with as_it_begins(backend_name, "float32"):
        to = partial(to_array, backend_name)
        agrees(target, spec, "float32", path, X, numbers, to, bare=True)


def said_by(*words: str) -> str:
    """By a command that goes well."""
    code, out, err = beside().said(*words)
    assert code == 0, err
    return out


def test_a_certificate_carries_the_framework_s_own_error(backend_name, tmp_path):
    target = TARGET.get(backend_name, backend_name)
    if target not in TARGETS:
        pytest.skip(f"nothing is moved to {target}")
    spec = SPECS["lstm"]
    source = own(tmp_path / "own.safetensors", spec, parameters(spec, target))
    out = tmp_path / f"moved{TARGETS[target].end}"
    said_by("convert", str(source), "--to", target, "--out", str(out), "--measure")
    path = tmp_path / f"{out.name}.certificate.json"
    measured = json.loads(path.read_text())["measured"]
    package = importlib.import_module(measured["package"])
    assert measured["version"] == package.__version__
    assert 0 < measured["error"] < 1e-6 < measured["bound"]
    assert f"{measured['package']} {measured['version']} computes it" in said_by(
        "verify", str(path)
    )


def saved(target: str, net, folder: Path) -> Path:
    """A file that the framework's own function makes of its network."""
    if target == "pytorch":
        importlib.import_module("torch").save(net.state_dict(), folder / "own.pt")
    elif target == "keras":
        net.save(folder / "own.keras")
    elif target == "mxnet":
        net.save_parameters(str(folder / "own.params"))
    else:
        nnx, serialization = (
            importlib.import_module(f"flax.{n}") for n in ("nnx", "serialization")
        )
        state = nnx.to_pure_dict(nnx.state(net, nnx.Param))
        (folder / "own.msgpack").write_bytes(serialization.to_bytes(state))
    return next(folder.glob("own.*"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15
def test_what_the_framework_saves_of_it_comes_back_number_for_number(backend_name, tmp_path):
    """Its own function loads the file, and its own function saves another; both are one network."""
    target = TARGET.get(backend_name, backend_name)
    if target not in TARGETS:
        pytest.skip(f"nothing is moved to {target}")
    spec, out = SPECS["lstm"], tmp_path / "back.safetensors"
    path, _, numbers = given_to(target, spec, "float32", tmp_path)
    with as_it_begins(backend_name, "float32"):
        source = saved(target, built(target, spec, "float32", path)["net"], tmp_path)
    words = options(target, spec) if target != "keras" else []
    said_by("convert", str(source), *words, "--to", "canonical", "--out", str(out))
    again, params = load_weights(out)
    assert again == spec
    assert all(np.array_equal(params[name], array) for name, array in numbers.params.items())
