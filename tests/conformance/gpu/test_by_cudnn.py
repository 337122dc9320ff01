"""What was recorded of Keras' LSTM on JAX when it called cuDNN, judged as everything is."""

import pytest

from conformance.gpu.evidence import judged_records
from conformance.gpu.pack import unpack_one
from tests.source import ROOT

pytestmark = pytest.mark.once

STORED = ROOT / "docs" / "results" / "gpu" / "keras-lstm-by-cudnn.zip"
PAGE, DECLARED = "docs/gpu.md", "conformance/verdict/deviations.toml"


def said_in(path: str) -> str:
    """The text of a file, without its line ends."""
    return " ".join((ROOT / path).read_text(encoding="utf-8").split())


def test_none_of_it_passes_and_nothing_excuses_it(tmp_path):
    """And what is said of it in words are the judge's figures."""
    unpack_one(STORED, tmp_path)
    found = judged_records(tmp_path / "ladder")
    wrong = {name: {row["case"]: row["status"] for row in v["wrong"]} for name, v in found.items()}
    assert wrong == {
        "lstm-float32": {"lstm-L1": "fail", "lstm-one-unit": "fail"},
        "lstm-float64": {"lstm-L1": "crashed"},
        "lstm_more-float64": {"lstm-bidirectional-lengths-L1": "fail"},
    }
    row = found["lstm-float32"]["rows"]["jax:keras float32"]
    assert {key for key in row if ": " not in key} == {"fail"}
    assert max(row["outputs: ratio"], row["loss: ratio"]) < 8, "outputs and loss are right"
    for page in (PAGE, DECLARED):
        assert f"by up to {row['gradients: error']:.0f} times their largest" in said_in(page)
    row = found["lstm_more-float64"]["rows"]["jax:keras float64"]
    assert f"by up to {round(row['outputs: error'], -1):.0f} times its largest" in said_in(DECLARED)
