"""Somebody's own weights may hold zeros: they are compared, and must be exactly that."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import EXIT_FAIL, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.weights import save_weights
from tests.conformance.helpers import judge, record, spoil, verdict_of

pytestmark = pytest.mark.usefixtures("few_suspects")

SPEC = ModelSpec("lstm", 4, 3, 5, 2)


def recorded(folder: Path, zero) -> Path:
    """A record of the reference with weights of which those are zero that ``zero`` says."""
    params = initialise(SPEC, "uniform", 3)
    params = {name: np.zeros_like(a) if zero(name) else a for name, a in params.items()}
    save_weights(folder / "mine.safetensors", SPEC, params)
    out, weights = folder / "r", ("--weights", str(folder / "mine.safetensors"))
    assert record(out, "--quiet", *weights, cases=("weights",)) == EXIT_PASS
    return out


@pytest.mark.parametrize(
    "zero",
    [lambda name: ".b_" in name, lambda name: ".W_h" in name and name != "output.W_hq",
     lambda name: name == "output.W_hq"],
    ids=["biases", "recurrent weights", "output layer"],
)  # fmt: skip
def test_weights_that_are_zero_are_no_failure(zero, tmp_path):
    assert judge(recorded(tmp_path, zero), "--quiet") == EXIT_PASS


@pytest.mark.parametrize("tensor", ["weights/layer1.b_i", "gradients/layer1.W_xi"])
def test_what_is_not_zero_where_it_must_be_is_a_failure(tensor, tmp_path):
    out = recorded(tmp_path, lambda name: name.startswith("layer1.b") or name == "output.W_hq")

    def change(arrays: dict) -> None:
        arrays[tensor].flat[0] = 1e-30

    spoil(out / "numpy-cpu", "weights", change)
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    failed = [f for r in verdict["results"] for f in r.get("failed", [])]
    assert [f["tensor"] for f in failed] == [tensor]
    assert "where exactly 0 is expected" in failed[0]["problem"]


def test_outputs_that_are_zero_are_nothing_to_compare(tmp_path):
    out = recorded(tmp_path, lambda name: name.startswith("output"))
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    failed = [f for r in verdict["results"] for f in r.get("failed", [])]
    assert {f["tensor"] for f in failed} == {"forward/O"}
    assert "nothing to compare" in failed[0]["problem"]
