"""The judge over real records that were spoiled: each mistake is found, named and located."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import backends.numpy
from common.errors import EXIT_FAIL, EXIT_PASS
from common.weights import read_arrays
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import compare_all
from conformance.judge.reasons import NUMBERS_AGREE
from conformance.worker.ladder import answer
from tests.answers import right_once
from tests.conformance.helpers import (
    arrays_file,
    curated,
    judge,
    numbers,
    sample,
    spoil,
    verdict_of,
)

pytestmark = pytest.mark.usefixtures("few_suspects")

CASE = "lstm-L2"


def only_failure(out: Path) -> dict:
    """The one case result that fails, from the JSON; everything else passes."""
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert verdict["passed"] is False
    assert verdict["sentence"].startswith("FAIL: 1 case result failed")
    wrong = [result for result in verdict["results"] if result["status"] != "pass"]
    assert len(wrong) == 1 and len(verdict["results"]) == 4
    assert (wrong[0]["implementation"], wrong[0]["device"]) == ("numpy:equations", "cpu")
    assert (wrong[0]["case"], wrong[0]["status"]) == (CASE, "fail")
    return wrong[0]


def broken_rung(result: dict) -> str:
    """The first rung with a failure."""
    return next(
        rung for rung, found in result["rungs"].items() if found["passed"] < found["tensors"]
    )


def add(tensor: str, index: tuple, by: float):
    def change(arrays: dict) -> None:
        arrays[tensor][index] += by

    return change


def put(tensor: str, index: tuple, value: float):
    def change(arrays: dict) -> None:
        arrays[tensor][index] = value

    return change


def test_a_record_that_nothing_is_wrong_with_passes(out):
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS
    assert verdict["passed"] is True
    assert {result["status"] for result in verdict["results"]} == {"pass"}
    assert verdict["grid"]["elements"] > 1000
    assert verdict["grid"]["differing"] == 0


def test_one_gradient_element_that_is_wrong_by_a_billionth_fails(out, capsys):
    spoil(out / "numpy-cpu", CASE, add("gradients/layer1.W_xi", (3, 4), 1e-9))
    found = only_failure(out)
    assert broken_rung(found) == "gradients"
    assert found["place"] == "backward, layer 1, gate i"
    assert [failed["tensor"] for failed in found["failed"]] == ["gradients/layer1.W_xi"]
    failed = found["failed"][0]
    assert failed["index"] == [3, 4]
    assert failed["got"] - failed["wanted"] == pytest.approx(1e-9, rel=1e-6)
    assert failed["error"] > failed["bound"] > 0

    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_FAIL
    shown = capsys.readouterr().out
    assert f"✗ numpy:equations (cpu, float64) {CASE}: gradients: gradients/layer1.W_xi" in shown
    assert f"at (3, 4): got {failed['got']!r}, expected {failed['wanted']!r}; error" in shown
    assert "begins: backward, layer 1, gate i; 1 of" in shown
    assert f"--backend numpy --device cpu --dtype float64 --cases {CASE} --out replay" in shown


def test_one_float32_output_that_is_wrong_by_ten_noise_floors_fails(out):
    spoil(out / "numpy-cpu", CASE, add("forward/O", (1, 2, 3), 5e-6), "float32")
    found = only_failure(out)
    assert found["dtype"] == "float32"
    failed = next(failed for failed in found["failed"] if failed["tensor"] == "forward/O")
    assert failed["index"] == [1, 2, 3]
    assert failed["ratio"] > 8
    # The states are right, so it is the output layer.
    assert found["place"] == "forward, step 2, output layer"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "tensor", ["gradients/X", "step-K/losses", "forward/H", "weights/output.b_q"]
)
def test_a_value_that_is_not_finite_fails_anywhere(tensor, value, out):
    spoil(out / "numpy-cpu", CASE, lambda arrays: arrays[tensor].fill(value))
    found = only_failure(out)
    assert tensor in {failed["tensor"] for failed in found["failed"]}
    assert (
        next(f for f in found["failed"] if f["tensor"] == tensor)["error"] is None
    )  # no NaN in JSON


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_single_nan_fails(dtype, out):
    spoil(out / "numpy-cpu", CASE, put("clip/layer2.b_f", (6,), np.nan), dtype)
    found = only_failure(out)
    assert (broken_rung(found), found["place"]) == ("clip", "clip, layer 2, gate f")
    assert found["failed"][0]["problem"] == "not a number"
    assert found["failed"][0]["index"] == [6]


def test_every_recorded_tensor_is_looked_at(recorded):
    arrays, _ = read_arrays(arrays_file(recorded / "numpy-cpu", CASE))
    right, limits = right_once(CASE, sample()), load_bounds()["cpu"]["float64"]
    for tensor in arrays:
        left = {name: array for name, array in arrays.items() if name != tensor}
        failed = {c.tensor for c in compare_all(left, right, "float64", limits, {}) if not c.passed}
        # Without its own first answer there is nothing to hold an invariance against.
        assert tensor in failed if tensor.startswith("forward/") else failed == {tensor}


def test_a_missing_tensor_fails(out):
    spoil(out / "numpy-cpu", CASE, lambda arrays: arrays.pop("gradients/H0"))
    found = only_failure(out)
    assert [(f["tensor"], f["problem"]) for f in found["failed"]] == [("gradients/H0", "missing")]
    assert found["place"] == "backward, gradient of H0"


@pytest.mark.parametrize(
    "tensor",
    [
        "gradients/layer3.W_xi",
        "weights/extra",
        "gradients/foo.bar",
        "gradients",
        "forward/Z",
        "clip/",
    ],
)
def test_an_extra_tensor_fails(tensor, out, capsys):
    spoil(out / "numpy-cpu", CASE, lambda arrays: arrays.update({tensor: np.ones(3)}))
    found = only_failure(out)
    assert [(f["tensor"], f["problem"]) for f in found["failed"]] == [(tensor, "not expected")]
    assert judge(out, "--quiet") == EXIT_FAIL


def test_float32_under_a_float64_label_fails(out):
    def round_all(arrays: dict) -> None:
        for name in arrays:
            arrays[name] = arrays[name].astype("float32")

    spoil(out / "numpy-cpu", CASE, round_all)
    found = only_failure(out)
    # The weights of a case are float32 values, so only their dtype gives them away.
    assert broken_rung(found) == "weights"
    assert "dtype float32, expected float64" in {failed["problem"] for failed in found["failed"]}


def test_float64_under_a_float32_label_fails_though_it_is_more_exact(out):
    def widen(arrays: dict) -> None:
        arrays["gradients/X"] = arrays["gradients/X"].astype("float64")

    spoil(out / "numpy-cpu", CASE, widen, "float32")
    failure = only_failure(out)
    assert failure["failed"][0]["problem"] == "dtype float64, expected float32"
    assert (failure["why"], failure["suspects"]) == (NUMBERS_AGREE, [])


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_scalar_recorded_with_a_dimension_fails(shape, out):
    def reshape(arrays: dict) -> None:
        arrays["loss/loss"] = arrays["loss/loss"].reshape(shape)

    spoil(out / "numpy-cpu", CASE, reshape)
    assert only_failure(out)["failed"][0]["problem"] == f"shape {shape}, expected ()"


def swap_gates(arrays: dict, layer: int, a: str, b: str) -> None:
    """What an implementation records that takes one gate's parameters for the other's."""
    case = curated(CASE)
    given = numbers(case)
    params = dict(given.params)
    for kind in ("W_x", "W_h", "b_"):
        first, second = f"layer{layer}.{kind}{a}", f"layer{layer}.{kind}{b}"
        params[first], params[second] = params[second], params[first]
    reference = backends.numpy.implementation("equations", "cpu", "float64")
    wrong = answer(reference, case, dataclasses.replace(given, params=params))
    arrays |= {name: array for name, array in wrong.items() if not name.startswith("weights/")}


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("gates", ["if", "fo", "oc"])
def test_swapped_gates_fail_on_the_rung_of_the_outputs_in_their_own_layer(layer, gates, out):
    spoil(out / "numpy-cpu", CASE, lambda arrays: swap_gates(arrays, layer, *gates))
    found = only_failure(out)
    assert broken_rung(found) == "outputs"
    assert found["rungs"]["weights"]["passed"] == found["rungs"]["weights"]["tensors"]
    assert found["place"].startswith(f"forward, step 1, layer {layer}, ")


@pytest.mark.parametrize("part", ["H", "C"])
def test_a_state_that_goes_wrong_is_located_by_step_and_layer(part, out):
    def derail(arrays: dict) -> None:
        arrays[f"trace/{part}"][3:, 1] += 1e-6
        arrays[f"trace/{part}"][4:, 0] += 1e-6

    spoil(out / "numpy-cpu", CASE, derail)
    assert only_failure(out)["place"] == f"forward, step 4, layer 2, {part}"


def test_wrong_gradients_are_located_in_the_topmost_layer_that_has_them(out):
    def derail(arrays: dict) -> None:
        for name in arrays:
            if name.startswith(("gradients/layer1.W_x", "gradients/layer2.W_h", "gradients/X")):
                arrays[name] *= 1 + 1e-6

    spoil(out / "numpy-cpu", CASE, derail)
    assert only_failure(out)["place"] == "backward, step 5, layer 2"
    spoil(out / "numpy-cpu", CASE, add("gradients/output.b_q", (0,), 1e-6))
    assert only_failure(out)["place"] == "backward, output layer"


@pytest.mark.parametrize(
    ("tensor", "rung"),
    [
        ("weights/layer1.b_i", "weights"),
        ("trace/C", "outputs"),
        ("loss/loss", "loss"),
        ("gradients/C0", "gradients"),
        ("clip/norm", "clip"),
        ("step-1/layer2.W_ho", "steps"),
        ("step-K/output.W_hq", "steps"),
        ("invariance/stacked/O", "invariances"),
    ],
)
def test_a_failure_is_counted_on_its_own_rung(tensor, rung, out):
    spoil(out / "numpy-cpu", CASE, lambda arrays: arrays.update({tensor: arrays[tensor] * 1.001}))
    found = only_failure(out)
    assert broken_rung(found) == rung
    others = {r: v for r, v in found["rungs"].items() if r != rung}
    assert all(value["passed"] == value["tensors"] for value in others.values())


def test_the_first_broken_rung_is_named_though_a_later_one_is_further_off(out, capsys):
    def derail(arrays: dict) -> None:
        arrays["loss/loss"] *= 1 + 1e-9
        arrays["step-K/output.W_hq"] *= 100

    spoil(out / "numpy-cpu", CASE, derail)
    assert broken_rung(only_failure(out)) == "loss"
    capsys.readouterr()
    judge(out, "--quiet")
    assert f"{CASE}: loss: loss/loss: error" in capsys.readouterr().out


def test_an_option_that_changes_nothing_is_seen(out):
    def ignore(arrays: dict) -> None:
        arrays["invariance/option-layers/O"] = arrays["forward/O"].copy()

    spoil(out / "numpy-cpu", CASE, ignore)
    found = only_failure(out)
    assert found["failed"][0]["tensor"] == "invariance/option-layers/O"
    assert "changed by 0 only" in found["failed"][0]["problem"]
