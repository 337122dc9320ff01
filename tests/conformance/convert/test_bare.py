"""A network without an output layer is moved as it is: O is the topmost H."""

import json

import numpy as np
import pytest

from common.weights import load_weights, write_arrays
from conformance.__main__ import main
from conformance.convert.targets import TARGETS
from conformance.files.loading import load
from tests.captures import captured, layer_of, plain
from tests.conformance.convert.helpers import convert
from tests.conformance.files.samples import single, write_network

LINE = "There is no output layer: O is the topmost H."


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "own" / "bare.safetensors"
    path.parent.mkdir()
    write_arrays(path, single(write_network(plain(), "pytorch")), {})
    return path


@pytest.mark.parametrize("target", TARGETS)
def test_its_file_holds_its_layers_and_nothing_else(target, source, tmp_path, capsys):
    out = convert(source, target, tmp_path)
    assert LINE in capsys.readouterr().out
    found = json.loads((tmp_path / f"{out.name}.certificate.json").read_text())["found"]
    assert found["outputs"]["same"] and found["weights"]["same"] and LINE in found["assumed"]
    layers = sum(a.size for h in plain().halves for a in (h.W, h.U, h.b_x))
    assert found["weights"]["numbers"] == layers
    assert main(["verify", f"{out}.certificate.json", "--source", str(source)]) == 0
    if target != "canonical":
        written = load(out, *layout(target))
        assert not written.loaded.left and written.loaded.network.output is None


def layout(target: str):
    options = {"keras": {"activation": "tanh", "recurrent_activation": "sigmoid"}}
    return ("", options.get(target, {}))


def test_the_suite_s_own_file_of_it_has_the_identity_on_top(source, tmp_path):
    spec, params = load_weights(convert(source, "canonical", tmp_path))
    assert spec.q == spec.h
    assert np.array_equal(params["output.W_hq"], np.eye(spec.h))
    assert not params["output.b_q"].any()


def test_a_captured_layer_is_moved_alone(tmp_path, capsys):
    net = layer_of(plain())
    path = captured(tmp_path / "own.safetensors", net)
    convert(path, "flax", tmp_path)
    assert LINE in capsys.readouterr().out


def test_it_is_recorded_and_judged(source, tmp_path):
    weights = ["--weights", str(source), "--cases", "weights", "--quiet"]
    out = str(tmp_path / "results")
    assert main(["record", "--backend", "numpy", "--out", out, *weights]) == 0
    assert main(["judge", out, *weights]) == 0
