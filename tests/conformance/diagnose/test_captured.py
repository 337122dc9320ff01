"""``diagnose`` of a capture: every layer is answered, from the file alone."""

import json

import numpy as np
import pytest

from common.capture import Capture, write_capture
from conformance.__main__ import main
from conformance.files.canonical import load_any
from tests.captures import captured, inputs, layer_of, plain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.safetensors"


def asked(capsys, *words) -> tuple[int, str]:
    code = main(["diagnose", "--quiet", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("cell", "layout"), [("lstm", "pytorch"), ("gru", "mxnet")])
def test_what_the_framework_computes_is_all_right(cell, layout, dtype, path, capsys):
    captured(path, layer_of(plain(cell, biases=2), layout, dtype))
    code, said = asked(capsys, path)
    assert code == 0 and "all right" in said and f"body (LSTM; numpy {np.__version__}" in said


def test_options_come_from_the_capture(path, capsys):
    captured(path, layer_of(plain("rnn"), "keras", activation="relu", go_backwards="False"))
    code, said = asked(capsys, path)
    assert code == 0 and "with activation=relu reproduces" in said
    code, said = asked(capsys, path, "--option", "activation=tanh")
    assert code == 2 and "activation=relu, as the file says" in said


def test_another_function_is_named(path, capsys):
    twice = layer_of(plain(), change=lambda usual: usual.with_(forget_bias=1.0))
    captured(path, twice)
    code, said = asked(capsys, path)
    assert code == 1 and "forget gate" in said and "all right" not in said


def test_of_several_layers_one_that_is_wrong_is_enough(path, capsys):
    wrong = layer_of(plain(), X=inputs(3), name="wrong", change=lambda u: u.with_(forget_bias=1.0))
    captured(path, layer_of(plain(), name="right"), wrong)
    code, said = asked(capsys, path)
    assert code == 1 and "right (LSTM" in said and "wrong (LSTM" in said
    code, said = asked(capsys, path, "--prefix", "right")
    assert code == 0 and "wrong (LSTM" not in said
    code, said = asked(capsys, path, "--prefix", "left")
    assert code == 2 and "one of wrong, right" in said


@pytest.mark.parametrize("part", ["H", "C"])
def test_a_final_state_that_is_not_where_the_outputs_end_is_wrong(part, path, capsys):
    layer = layer_of(plain())
    layer.arrays[part] = layer.arrays[part] + 0.01
    captured(path, layer)
    code, said = asked(capsys, path, "--json", path.with_suffix(".json"))
    assert code == 1 and f"the final {part} is not the state in which they end" in said
    (found,) = json.loads(path.with_suffix(".json").read_text())["layers"]
    assert len(found["wrong ends"]) == 1


def test_what_cannot_be_computed_is_said_before_anything_else(path, capsys):
    odd = layer_of(plain(), name="odd", X=inputs(3))
    odd.unjudged.append("it clips its state")
    captured(path, layer_of(plain()), odd)
    code, said = asked(capsys, path)
    assert code == 2 and said.count("\n") == 1 and "it clips its state" in said
    assert asked(capsys, path, "--prefix", "body")[0] == 0


def test_what_is_half_asked_is_refused(path, capsys):
    captured(path, layer_of(plain()))
    for words in ([], ["--weights", path], [path, "--weights", path, "--io", path]):
        code, said = asked(capsys, *words)
        assert code == 2 and said.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda layer: layer.arrays.update(X=np.full((5, 3, 4), np.nan)), "finite"),
        (lambda layer: layer.arrays.update(X=np.ones((5, 3, 9))), "X: expected shape"),
        (lambda layer: layer.arrays.update(lengths=np.array([0, 1, 2])), "a step or more"),
        (lambda layer: layer.options.update(batch_first="maybe"), "batch_first"),
        (lambda layer: layer.options.update(gates="all"), "gates"),
        (lambda layer: layer.tensors[0][0].update(Z=layer.tensors[0][0].pop("b_h")), "W, U"),
        (lambda layer: setattr(layer, "cell", "gru"), "cell"),
        (lambda layer: setattr(layer, "layout", "jaxlib"), "layout"),
    ],
)
def test_a_capture_that_contradicts_itself_is_one_line(change, expected, path, capsys):
    layer = layer_of(plain())
    change(layer)
    captured(path, layer)
    code, said = asked(capsys, path)
    assert code == 2 and said.count("\n") == 1 and expected in said, said


def test_record_takes_a_captured_layer_and_the_output_layer_above_it(path):
    net = plain(biases=2)
    rng = np.random.RandomState(1)
    other = {"head.weight": rng.rand(5, 3), "head.bias": rng.rand(5)}
    write_capture(path, Capture("torch", "2", "cpu", [layer_of(net)], other))
    spec, params = load_any(path)
    assert (spec.cell, spec.L, spec.q) == ("lstm", net.L, 5)
    assert np.array_equal(params["output.W_hq"], other["head.weight"].T)
    assert np.array_equal(params["layer2.W_hi"], net.layers[1][0].U[:, :3])
