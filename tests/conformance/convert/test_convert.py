"""A network that was moved is the same network, number for number, there and back."""

import json
import re
import sys

import numpy as np
import pytest

from common.spec import ModelSpec
from common.weights import load_weights, read_arrays, write_arrays
from conformance.__main__ import main
from conformance.convert.targets import TARGETS
from conformance.files.loading import load
from conformance.verdict.deviations import load_deviations
from tests.conformance.convert.helpers import (
    SPECS,
    can,
    convert,
    options,
    parameters,
    saved,
)
from tests.conformance.files import samples
from tests.conformance.files.samples import WRITERS, network
from tests.conformance.files.test_reading import biases_of

pytestmark = pytest.mark.once

NATIVE = {"pytorch": "safetensors", "keras": "keras 3", "mxnet": "mxnet", "onnx": "onnx",
          "flax": "flax"}  # fmt: skip
"""Of targets that are formats of tests/conformance/files, the name there."""

ALL = [
    (target, name, dtype)
    for target in TARGETS
    for name, spec in SPECS.items()
    for dtype in ("float32", "float64")[: 1 + (name in ("lstm", "projected both ways"))]
    if can(target, spec, dtype)
]


@pytest.mark.parametrize(("target", "name", "dtype"), ALL)
def test_there_and_back_every_number_is_the_same(target, name, dtype, tmp_path, capsys):
    spec = SPECS[name]
    params = parameters(spec, target, dtype)
    source = saved(tmp_path / "own" / "own.safetensors", spec, params)
    out = convert(source, target, tmp_path)
    found = json.loads((tmp_path / f"{out.name}.certificate.json").read_text())["found"]
    assert found["weights"]["same"] and found["outputs"]["same"]
    assert found["weights"]["rounded"] == [] and found["outputs"]["error"] == 0
    assert found["weights"]["numbers"] == sum(a.size for a in params.values())
    back = tmp_path / "back.safetensors"
    words = options(target, spec)
    assert main(["convert", str(out), *words, "--to", "canonical", "--out", str(back)]) == 0
    again, found = load_weights(back)
    assert again == spec and all(np.array_equal(found[n], a) for n, a in params.items())
    # And once more: a native file out of the suite's own is the same file, byte for byte.
    more = ["--dtype", dtype] if target == "canonical" else []
    twice = convert(back, target, tmp_path / "again", *more)
    assert target == "canonical" or twice.read_bytes() == out.read_bytes()
    capsys.readouterr()


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_native_file_comes_back_from_the_suite_s_own(target, cell, tmp_path, capsys):
    name, _, write = WRITERS[NATIVE[target]]
    biases = biases_of(NATIVE[target], cell)
    write(tmp_path / name, network(cell, biases))
    spec = ModelSpec(cell, samples.D, samples.H, samples.Q, samples.L,
                     ("tanh",) * samples.L if cell == "rnn" else (),
                     "after" if cell == "gru" else None)  # fmt: skip
    words = options(target, spec)
    own, out = tmp_path / "own.safetensors", tmp_path / f"back{TARGETS[target].end}"
    assert main(["convert", str(tmp_path / name), *words, "--to", "canonical",
                 "--out", str(own)]) == 0  # fmt: skip
    assert main(["convert", str(own), "--to", target, "--out", str(out)]) == 0
    before, after = (load(path).loaded.network for path in (tmp_path / name, out))
    for a, b in zip(before.halves, after.halves, strict=True):
        assert np.array_equal(a.W, b.W) and np.array_equal(a.U, b.U)
        assert np.array_equal(a.b_x + a.b_h, b.b_x + b.b_h)
        both = slice(2 * samples.H, None) if cell == "gru" else slice(0)
        assert np.array_equal(a.b_x[both], b.b_x[both])
    assert ("The two biases of each gate are added up" in capsys.readouterr().out) == (biases == 2)


def test_a_sum_that_float32_cannot_hold_stands_in_both_biases(tmp_path):
    samples.safetensors(tmp_path / "w.safetensors", network("lstm", 2))
    arrays, _ = read_arrays(convert(tmp_path / "w.safetensors", "pytorch", tmp_path))
    net = network("lstm", 2)
    wanted = net.layers[0][0].b_x + net.layers[0][0].b_h
    i, f, o, c = np.split(wanted, 4)
    first, second = (arrays[f"rnn.bias_{k}_l0"] for k in ("ih", "hh"))
    assert first.dtype == np.float32 and second.any()
    assert np.array_equal(np.concatenate([i, f, c, o]), first.astype("float64") + second)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("gru before", "pytorch", "expected a GRU that resets after the matrix product, for --to"),
        ("gru before", "mxnet", "expected a GRU that resets after the matrix product, for --to"),
        ("gru before", "flax", "expected a GRU that resets after the matrix product, for --to"),
        ("sigmoid", "pytorch", "expected an activation tanh or relu, for --to pytorch"),
        ("rnn", "mxnet", "expected at most 10 layers, whose names load_parameters understands"),
        ("sigmoid", "mxnet", "expected an activation tanh or relu, for --to mxnet"),
        ("identity", "flax", "expected an activation tanh or relu or sigmoid, for --to flax"),
        ("projected", "keras", "expected an LSTM without a projection of H, for --to keras, found"),
        ("projected", "onnx", "expected an LSTM without a projection of H, for --to onnx, found"),
        ("projected", "flax", "expected an LSTM without a projection of H, for --to flax, found"),
        ("peepholes", "pytorch", "expected an LSTM without peepholes, for --to pytorch, found one"),
        (
            "peepholes",
            "keras",
            "expected an LSTM without peepholes, for --to keras, found one with",
        ),
        ("clipped", "mxnet", "expected an LSTM whose gates are not clipped, for --to mxnet, found"),
    ],
)
def test_what_a_framework_cannot_hold_is_one_line(name, target, said, tmp_path, capsys):
    spec = SPECS[name]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, target))
    out = convert(source, target, tmp_path, code=2)
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not out.exists() and list(tmp_path.iterdir()) == [tmp_path / "own"]


def test_a_clip_that_onnx_would_round_is_one_line(tmp_path, capsys):
    spec = ModelSpec("lstm", 4, 3, 5, 2, gate_clip=0.3)
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "onnx"))
    convert(source, "onnx", tmp_path, code=2)
    said = "a gate_clip that float32 holds (the nearest is 0.30000001192092896), for --to onnx"
    assert said in (err := capsys.readouterr().err) and err.count("\n") == 1


def test_a_projection_that_gluon_cannot_train_is_said(tmp_path, capsys):
    spec = SPECS["projected"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "mxnet"))
    out = convert(source, "mxnet", tmp_path)
    assert (
        "On a CPU MXNet computes this layer, and has no gradients of it." in capsys.readouterr().out
    )
    page = (tmp_path / f"{out.name}.certificate.html").read_text()
    assert "lstm of 2 layers, d = 4, h = 5, q = 3, p = 2" in page


def test_layers_of_different_sizes_are_modules_of_their_own(tmp_path, capsys):
    spec = SPECS["sizes"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "pytorch"))
    out = convert(source, "pytorch", tmp_path)
    said = capsys.readouterr().out
    assert "nn.ModuleList([nn.LSTM(d, h) for d, h in [(4, 3), (3, 5), (5, 2)]])" in said
    assert "rnn.2.weight_ih_l0" in read_arrays(out)[0]
    page = (tmp_path / f"{out.name}.certificate.html").read_text()
    assert "h = 3 and 5 and 2" in page


def test_a_second_bias_of_the_candidate_has_no_place_in_flax(tmp_path, capsys):
    spec = SPECS["gru"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "pytorch"))
    convert(source, "flax", tmp_path, code=2)
    assert "expected a candidate without the bias b_hh" in capsys.readouterr().err
    convert(source, "keras", tmp_path)


@pytest.mark.parametrize("target", ["keras", "flax"])
def test_a_sum_that_has_one_place_is_rounded_once_and_named(target, tmp_path, capsys):
    samples.safetensors(tmp_path / "w.safetensors", network("lstm", 2))
    out = convert(tmp_path / "w.safetensors", target, tmp_path)
    found = json.loads((tmp_path / f"{out.name}.certificate.json").read_text())["found"]
    rounded = found["weights"]["rounded"]
    assert rounded and all(".b_" in row["tensor"] for row in rounded)
    assert all(0 < row["largest"] <= 2**-24 for row in rounded), "half a unit of numbers below 2"
    assert found["weights"]["same"] and 0 < found["outputs"]["error"] < 1e-6
    assert f"{sum(row['numbers'] for row in rounded)} numbers are" in capsys.readouterr().out


def test_layers_of_several_activations_are_the_suite_s_alone(tmp_path, capsys):
    spec = ModelSpec("rnn", 2, 3, 2, 2, ("tanh", "relu"))
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "onnx"))
    convert(source, "onnx", tmp_path, code=2)
    assert "expected one activation in all layers, for --to onnx" in capsys.readouterr().err
    convert(source, "canonical", tmp_path)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_a_network_that_the_suite_cannot_hold_is_refused(activation, tmp_path, capsys):
    samples.keras(tmp_path / "w.keras", network("lstm"), activation="relu")
    convert(tmp_path / "w.keras", "pytorch", tmp_path, code=2)
    assert "expected gates of sigmoid and a candidate of tanh" in capsys.readouterr().err


def test_float64_in_onnx_is_rounded_only_if_that_is_asked_for(tmp_path, capsys):
    spec = SPECS["lstm"]
    params = parameters(spec, "onnx", "float64")
    source = saved(tmp_path / "own" / "own.safetensors", spec, params)
    convert(source, "onnx", tmp_path, code=2)
    assert "--dtype float32 rounds them" in capsys.readouterr().err
    convert(source, "onnx", tmp_path, "--dtype", "float32")
    shown = " ".join(capsys.readouterr().out.split())
    assert "numbers are rounded to float32, by at most" in shown
    found = json.loads((tmp_path / "moved.onnx.certificate.json").read_text())["found"]
    rounded = found["weights"]["rounded"]
    assert {row["tensor"] for row in rounded} >= {n for n, a in params.items() if a.ndim == 2}
    assert found["weights"]["same"] and not found["outputs"]["same"]
    assert 0 < found["outputs"]["error"] < found["outputs"]["bound"]


def test_a_known_fault_of_the_framework_is_said(tmp_path, capsys):
    spec = SPECS["relu"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "mxnet", "float64"))
    convert(source, "mxnet", tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert (named := re.search(r"in float32 \((\S+) in conformance/verdict", shown))
    assert named[1] in {deviation.id for deviation in load_deviations()}
    convert(source, "mxnet", tmp_path, "--dtype", "float32")
    assert "MXNet computes relu" not in capsys.readouterr().out


@pytest.mark.parametrize("number", [1e-60, 1e60])
def test_what_float32_cannot_hold_at_all_is_refused(number, tmp_path, capsys):
    spec = ModelSpec("rnn", 1, 1, 1, 1, ("identity",))
    params = parameters(spec, "onnx", "float64")
    params["output.W_hq"][:] = number
    params["output.b_q"][:] = 0
    source = saved(tmp_path / "own" / "own.safetensors", spec, params)
    convert(source, "onnx", tmp_path, "--dtype", "float32", code=2)
    err = capsys.readouterr().err
    assert "numbers that float32 can hold" in err or "outputs rounding moves by" in err
    assert list(tmp_path.iterdir()) == [tmp_path / "own"]


@pytest.mark.parametrize(
    ("target", "package"), [("keras", "h5py"), ("onnx", "onnx"), ("flax", "msgpack")]
)
def test_a_package_that_is_not_installed_is_named(target, package, tmp_path, monkeypatch, capsys):
    spec = SPECS["lstm"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, target))
    monkeypatch.setitem(sys.modules, package, None)
    convert(source, target, tmp_path, code=2)
    err = capsys.readouterr().err
    assert f"expected the package {package} in this environment" in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "own"]


def test_what_is_not_moved_is_named(tmp_path, capsys):
    samples.safetensors(tmp_path / "w.safetensors", network("lstm", 2))
    arrays, _ = read_arrays(tmp_path / "w.safetensors")
    more = {"embed.weight": np.ones((9, 2), "float32"), "ln.gamma": np.ones(7, "float32")}
    write_arrays(tmp_path / "more.safetensors", arrays | more, {})
    out = convert(tmp_path / "more.safetensors", "onnx", tmp_path)
    line = "Not moved: embed.weight (9, 2), an embedding; ln.gamma (7,), a layer normalisation."
    shown = capsys.readouterr().out
    assert line in shown and "The output layer is fc.weight and fc.bias." in shown
    certificate = json.loads((tmp_path / f"{out.name}.certificate.json").read_text())
    assert line in certificate["found"]["assumed"]
    convert(tmp_path / "w.safetensors", "onnx", tmp_path)
    assert "Not moved" not in capsys.readouterr().out


def test_the_names_of_files_are_checked(tmp_path, capsys):
    spec = SPECS["lstm"]
    source = saved(tmp_path / "own" / "own.safetensors", spec, parameters(spec, "onnx"))
    assert main(["convert", str(source), "--to", "onnx", "--out", str(tmp_path / "x.pb")]) == 2
    assert "expected a name that ends in .onnx" in capsys.readouterr().err
    assert main(["convert", str(source), "--to", "pytorch", "--out", str(source)]) == 2
    assert "expected another file than IN" in capsys.readouterr().err


def test_a_bias_of_one_output_is_read_again(tmp_path):
    """A reader once took a tensor of one number for no tensor."""
    write_arrays(tmp_path / "one.safetensors", {}, {})
    net = network("lstm", 2)
    W, b = net.output
    one = type(net)(net.cell, net.layers, (W[:, :1], b[:1]), 2)
    samples.onnx(tmp_path / "w.onnx", one)
    assert load(tmp_path / "w.onnx").loaded.left["bias"] == b[0].astype("float32")


def test_the_page_shows_what_a_file_says_as_text(tmp_path):
    spec = SPECS["lstm"]
    source = saved(tmp_path / "own" / "<b>&.safetensors", spec, parameters(spec, "onnx"))
    out = convert(source, "onnx", tmp_path)
    text = (tmp_path / f"{out.name}.certificate.html").read_text()
    assert "&lt;b&gt;&amp;.safetensors" in text and "<b>" not in text and "<script" not in text
    certificate = json.loads((tmp_path / f"{out.name}.certificate.json").read_text())
    assert certificate["seal"] in text and "onnxruntime.InferenceSession" in text
