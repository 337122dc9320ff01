"""``record --weights``: a framework's file as the suite's own spec and parameters."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.errors import BadInput
from common.parameters import zero_state
from common.weights import save_weights
from conformance.__main__ import main
from conformance.files.canonical import load_any
from conformance.files.loading import load
from conformance.models.frameworks import settings
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import forward
from tests.conformance.files import samples
from tests.conformance.files.samples import WRITERS, network
from tests.conformance.files.test_reading import biases_of, outputs_of

STATED = {
    ("safetensors", "rnn"): {"nonlinearity": "tanh"},
    ("flax", "rnn"): {"activation_fn": "tanh", "reverse": "False"},
    ("flax", "gru"): {"activation_fn": "tanh", "gate_fn": "sigmoid", "reverse": "False"},
    ("flax", "lstm"): {"activation_fn": "tanh", "gate_fn": "sigmoid", "reverse": "False"},
    ("mxnet", "rnn"): {"activation": "relu"},
}
"""What a file of weights alone does not say."""


@pytest.mark.parametrize(
    ("kind", "directions"),
    # Here Keras 1 is written in one direction only.
    [(kind, D) for kind in WRITERS for D in (1, 2) if (kind, D) != ("keras 1", 2)],
)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_oracle_computes_what_the_file_is(kind, cell, directions, tmp_path):
    name, layout, write = WRITERS[kind]
    net = network(cell, biases_of(kind, cell), directions)
    write(tmp_path / name, net)
    stated = STATED.get((kind, cell), {})
    if directions == 2:  # what turns a single direction around is no option of two
        stated = {name: value for name, value in stated.items() if name != "reverse"}
    spec, params = load_any(tmp_path / name, stated=stated)
    assert (spec.cell, spec.d, spec.h, spec.q, spec.L, spec.directions) == (
        cell, samples.D, samples.H, samples.Q, samples.L, directions,
    )  # fmt: skip
    assert ("layer1.b_xh" in params) == (spec.reset == "after")
    X = np.random.RandomState(3).standard_normal((5, 2, samples.D))
    told = load(tmp_path / name).told
    turn = settings(layout, net, {}, "here").axis == "batch"
    wanted = outputs_of(net, layout, X.swapaxes(0, 1) if turn else X, stated | told)
    made = forward(TRUTH, spec, params, X, zero_state(spec, 2, "float64"))["forward/O"]
    assert np.abs(made - (wanted.swapaxes(0, 1) if turn else wanted)).max() < 1e-6


def with_peepholes(net, layers=(0, 1)):
    rng = np.random.RandomState(6)
    drawn = [rng.uniform(-1, 1, (3, samples.H)).astype("float32").astype("float64") for _ in "12"]
    return net.each(lambda half, k: replace(half, peephole=drawn[k] if k in layers else None))


def test_peepholes_and_a_clip_of_onnx_are_the_specs_own(tmp_path):
    net = with_peepholes(network("lstm", 2))
    samples.onnx(tmp_path / "w.onnx", net, clip=0.5)
    spec, params = load_any(tmp_path / "w.onnx")
    assert spec.peepholes and spec.gate_clip == 0.5
    for gate, P in zip("ifo", net.layers[1][0].peephole, strict=True):
        assert np.array_equal(params[f"layer2.P_{gate}"], P)
    X = np.random.RandomState(3).standard_normal((5, 2, samples.D))
    made = forward(TRUTH, spec, params, X, zero_state(spec, 2, "float64"))["forward/O"]
    told = load(tmp_path / "w.onnx").told
    assert np.abs(made - outputs_of(net, "onnx", X, told)).max() < 1e-6
    assert np.abs(made - outputs_of(net, "onnx", X, told | {"clip": "none"})).max() > 1e-3


def test_a_clip_of_another_cell_and_peepholes_of_some_layers_are_refused(tmp_path):
    samples.onnx(tmp_path / "w.onnx", network("gru", 2), clip=0.5)
    with pytest.raises(BadInput, match="no clip in another cell than an LSTM.* found clip=0.5"):
        load_any(tmp_path / "w.onnx")
    samples.onnx(tmp_path / "w.onnx", with_peepholes(network("lstm", 2), layers=(1,)))
    with pytest.raises(BadInput, match="peepholes in all layers or in none"):
        load_any(tmp_path / "w.onnx")


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    samples.safetensors(tmp_path / "w.safetensors", network("rnn"))
    with pytest.raises(BadInput, match="expected --option nonlinearity=VALUE, which the file does"):
        load_any(tmp_path / "w.safetensors")
    spec, _ = load_any(tmp_path / "w.safetensors", stated={"nonlinearity": "relu"})
    assert spec.activations == ("relu", "relu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": "relu"}, "gates of sigmoid and a candidate of tanh"),
        ({"go_backwards": True}, "a layer that reads forward"),
    ],
)
def test_what_the_spec_cannot_hold_is_said(options, said, tmp_path):
    samples.keras(tmp_path / "w.keras", network("lstm"), **options)
    with pytest.raises(BadInput, match=said):
        load_any(tmp_path / "w.keras")


def test_directions_that_are_not_side_by_side_are_no_spec_of_the_suite(tmp_path, monkeypatch):
    config = json.dumps(samples.keras_config(network("lstm", 1, 2), 3))
    summed = json.loads(config.replace("concat", "sum"))
    monkeypatch.setattr(samples, "keras_config", lambda *given: summed)
    samples.keras(tmp_path / "w.keras", network("lstm", 1, 2))
    with pytest.raises(BadInput, match="merge_mode=concat, as the suite's spec has, found sum"):
        load_any(tmp_path / "w.keras")


def test_two_output_layers_are_one_too_many(tmp_path):
    net = network("lstm")
    both = samples.single(samples.write_network(net, "pytorch"))
    W, b = (array.astype("float32") for array in net.output)
    both |= {"fc.weight": W.T.copy(), "fc.bias": b, "value.weight": W.T[:1].copy()}
    samples.write_arrays(tmp_path / "w.safetensors", both, {})
    with pytest.raises(BadInput, match=r"one output layer, a matrix \(q, h\) with h = 3, found fc"):
        load_any(tmp_path / "w.safetensors")


def test_the_suite_s_own_format_takes_no_options(tmp_path):
    samples.keras(tmp_path / "w.keras", network("lstm"))
    spec, params = load_any(tmp_path / "w.keras")
    save_weights(tmp_path / "own.safetensors", spec, params)
    again, same = load_any(tmp_path / "own.safetensors")
    assert again == spec and all(np.array_equal(same[n], a) for n, a in params.items())
    with pytest.raises(BadInput, match="none for the suite's format"):
        load_any(tmp_path / "own.safetensors", "keras")


def test_a_file_of_keras_is_recorded_and_judged(tmp_path, capsys):
    """By the reference, in this process' own words."""
    weights = ["--weights", str(tmp_path / "w.keras"), "--cases", "weights", "--quiet"]
    samples.keras(tmp_path / "w.keras", network("gru", 2))
    out = str(tmp_path / "results")
    assert main(["record", "--backend", "numpy", "--out", out, *weights]) == 0
    assert main(["judge", out, *weights]) == 0
    assert "PASS" in capsys.readouterr().out
