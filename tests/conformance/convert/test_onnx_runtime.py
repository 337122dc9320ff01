"""What is written for ONNX is a model by its own checker, and ONNX Runtime computes it."""

import pytest

from tests.conformance.convert.helpers import SPECS, bare, can
from tests.moved import agrees, given_to

pytestmark = pytest.mark.once

onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")

HOLDS = [name for name, spec in SPECS.items() if can("onnx", spec)]


@pytest.mark.parametrize("name", HOLDS)
def test_onnx_runtime_computes_what_the_oracle_does(name, tmp_path):
    import onnx

    spec = SPECS[name]
    path, X, wanted = given_to("onnx", spec, "float32", tmp_path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    agrees("onnx", spec, "float32", path, X, wanted)


@pytest.mark.parametrize("name", ["lstm", "gru both ways"])
def test_it_computes_a_network_without_an_output_layer(name, tmp_path):
    import onnx

    spec = bare(SPECS[name])
    path, X, wanted = given_to("onnx", spec, "float32", tmp_path, bare=True)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    agrees("onnx", spec, "float32", path, X, wanted, bare=True)
