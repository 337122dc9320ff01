"""What is written for ONNX is a model by its own checker, and ONNX Runtime computes it."""

import pytest

from tests.conformance.convert.helpers import SPECS, can
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
