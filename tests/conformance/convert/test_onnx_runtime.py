"""What is written for ONNX is a model by its own checker, and ONNX Runtime computes it."""

import json

import pytest

from common.storage.sums import sealed
from conformance.__main__ import main
from tests.conformance.convert.helpers import SPECS, bare, can, convert, parameters, saved
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


def test_a_certificate_carries_its_error(tmp_path, capsys):
    spec = SPECS["gru"]
    source = saved(tmp_path / "own.safetensors", spec, parameters(spec, "onnx"))
    out = convert(source, "onnx", tmp_path, "--measure")
    said = f"onnxruntime {onnxruntime.__version__} computes it within"
    assert said in capsys.readouterr().out
    path = tmp_path / f"{out.name}.certificate.json"
    assert "onnxruntime" in path.with_suffix(".html").read_text()
    assert main(["verify", str(path)]) == 0 and said in capsys.readouterr().out
    stored = json.loads(path.read_text())
    stored["measured"]["error"] = 1.0
    path.write_text(json.dumps(sealed({k: v for k, v in stored.items() if k != "seal"})))
    assert main(["verify", str(path)]) == 1
    assert "FAIL: onnxruntime" in capsys.readouterr().out


def test_a_framework_that_is_not_there_cannot_be_measured(tmp_path, capsys):
    spec = SPECS["lstm"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "mxnet"))
    for target in ("mxnet", "canonical"):
        convert(source, target, tmp_path, "--measure", code=2)
        assert "in this environment, for --measure" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "own"]
