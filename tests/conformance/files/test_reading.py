"""Files of every format are read as the network that was written, without their framework."""

import numpy as np
import pytest

from common.errors import BadInput
from common.weights import write_arrays
from conformance.__main__ import main
from conformance.files.loading import load
from conformance.models.evaluator import run
from conformance.models.frameworks import settings
from conformance.models.network import Network
from tests.conformance.files import samples
from tests.conformance.files.samples import WRITERS, network

CASES = [(kind, cell) for kind in WRITERS for cell in ("rnn", "gru", "lstm")]


def biases_of(kind: str, cell: str) -> int:
    """A layout with one bias for a gate cannot hold two, but for the reset-after GRU."""
    both = kind in ("safetensors", "onnx", "mxnet")
    return 2 if both or (cell == "gru" and kind in ("keras 3", "keras 2")) else 1


def same(found: Network, wanted: Network) -> None:
    assert (found.cell, found.L, found.directions) == (wanted.cell, wanted.L, wanted.directions)
    for a, b in zip(found.halves, wanted.halves, strict=True):
        assert np.array_equal(a.W, b.W) and np.array_equal(a.U, b.U)
        assert np.abs(a.b_x + a.b_h - b.b_x - b.b_h).max() < 1e-6


def outputs_of(net: Network, layout: str, X: np.ndarray, stated=None) -> np.ndarray:
    usual = settings(layout, net, stated or {}, "here")
    turn = usual.axis == "batch"
    made = run(net, usual.choices, X.swapaxes(0, 1) if turn else X).outputs
    return np.ascontiguousarray(made.swapaxes(0, 1) if turn else made)


@pytest.mark.parametrize(("kind", "cell"), CASES)
def test_a_file_is_the_network_that_was_written(kind, cell, tmp_path):
    name, layout, write = WRITERS[kind]
    net = network(cell, biases_of(kind, cell))
    write(tmp_path / name, net)
    read = load(tmp_path / name)
    assert read.layout == layout
    same(read.loaded.network, net)


@pytest.mark.parametrize(("kind", "cell"), CASES)
def test_diagnose_needs_no_option_and_finds_the_output_layer(kind, cell, tmp_path, capsys):
    name, layout, write = WRITERS[kind]
    net = network(cell, biases_of(kind, cell))
    write(tmp_path / name, net)
    rng = np.random.RandomState(1)
    X = rng.standard_normal((6, 3, samples.D))
    stated = load(tmp_path / name).told
    io = {"X": X, "outputs": outputs_of(net, layout, X, stated)}
    write_arrays(tmp_path / "io.safetensors", io, {})
    words = ["--weights", str(tmp_path / name), "--io", str(tmp_path / "io.safetensors")]
    assert main(["diagnose", *words, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "all right" in said and "The output layer is" in said


@pytest.mark.parametrize("kind", ["keras 3", "keras 2", "onnx", "flax", "mxnet", "safetensors"])
def test_two_directions_are_read(kind, tmp_path):
    name, _, write = WRITERS[kind]
    net = network("lstm", biases_of(kind, "lstm"), 2)
    write(tmp_path / name, net)
    same(load(tmp_path / name).loaded.network, net)


@pytest.mark.parametrize("kind", ["keras 3", "keras 2"])
def test_a_configuration_says_the_options(kind, tmp_path):
    name, _, write = WRITERS[kind]
    write(tmp_path / name, network("gru", 1), activation="relu", go_backwards=True,
          recurrent_activation="hard_sigmoid")  # fmt: skip
    read = load(tmp_path / name)
    assert read.told == {
        "activation": "relu", "recurrent_activation": "hard_sigmoid", "go_backwards": "True",
        "reset_after": "False",
    }  # fmt: skip
    assert read.silent == [] and read.notes == []


def test_layers_are_in_the_order_of_the_model_and_not_of_their_names(tmp_path):
    samples.keras(tmp_path / "w.keras", network("lstm"))
    assert load(tmp_path / "w.keras").loaded.stems == ("layer_2", "layer_1")


def test_what_contradicts_the_file_is_bad_input(tmp_path):
    path = tmp_path / "w.keras"
    samples.keras(path, network("lstm"))
    with pytest.raises(BadInput, match="activation=tanh, as the file says, found activation=relu"):
        load(path, stated={"activation": "relu"})
    with pytest.raises(BadInput, match="--layout: expected keras, as the file says, found pytorch"):
        load(path, "pytorch")
    assert load(path, "keras", {"activation": "tanh"}).layout == "keras"


def test_what_the_file_does_not_say_is_said(tmp_path):
    samples.safetensors(tmp_path / "w.safetensors", network("rnn"))
    read = load(tmp_path / "w.safetensors")
    assert read.silent == ["nonlinearity"]
    assert any("does not say nonlinearity: taken as by default" in line for line in read.notes)
    assert load(tmp_path / "w.safetensors", stated={"nonlinearity": "relu"}).silent == []


def test_names_of_two_frameworks_are_asked_about(tmp_path):
    net = network("lstm")
    both = samples.single(samples.write_network(net, "pytorch"))
    both |= samples.single(samples.write_network(net, "mxnet"))
    write_arrays(tmp_path / "w.safetensors", both, {})
    with pytest.raises(BadInput, match="--layout NAME, found names of pytorch and mxnet"):
        load(tmp_path / "w.safetensors")
    same(load(tmp_path / "w.safetensors", "mxnet").loaded.network, net)


@pytest.mark.parametrize("layout", ["keras", "mxnet", "flax", "onnx"])
def test_native_names_give_the_layout_away(layout, tmp_path):
    samples.safetensors(tmp_path / "w.safetensors", network("lstm"), layout)
    assert load(tmp_path / "w.safetensors").layout == layout


@pytest.mark.parametrize("kind", ["V1", "V2", "V3", "LEGACY"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_format_of_an_array_of_mxnet_is_read(kind, dtype, tmp_path):
    net = network("gru", 2)
    samples.mxnet(tmp_path / "w.params", net, kind, dtype)
    found = load(tmp_path / "w.params").loaded.network
    for a, b in zip(found.halves, net.halves, strict=True):
        assert np.array_equal(a.W, b.W.astype(dtype).astype("float64"))


def test_a_symbol_beside_the_parameters_says_activation_and_axis(tmp_path):
    net = network("rnn")
    samples.mxnet(tmp_path / "w-0003.params", net)
    samples.mxnet_symbol(tmp_path / "w-symbol.json", net, turned=True)
    assert load(tmp_path / "w-0003.params").told == {"activation": "relu", "layout": "NTC"}


def test_attributes_of_onnx_are_options(tmp_path):
    path = tmp_path / "w.onnx"
    samples.onnx(path, network("gru", 2), clip=2.0, activations=["HardSigmoid", "Tanh"])
    assert load(path).told == {
        "direction": "forward", "layout": "0", "activations": "HardSigmoid,Tanh", "clip": "2.0",
        "linear_before_reset": "1",
    }  # fmt: skip
    samples.onnx(path, network("gru", 2), activations=["HardSigmoid", "Tanh"],
                 activation_alpha=[0.3])  # fmt: skip
    with pytest.raises(BadInput, match="HardSigmoid with its default"):
        load(path)


def test_a_transposed_input_of_onnx_is_read_batch_first(tmp_path):
    from onnx import helper

    model = samples.onnx_model(network("lstm"))
    model.graph.node.insert(0, helper.make_node("Transpose", ["B"], ["X"], perm=[1, 0, 2]))
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())
    assert load(tmp_path / "w.onnx").told["layout"] == "1"


def test_branches_are_no_stack_and_a_prefix_chooses(tmp_path):
    path = tmp_path / "w.onnx"
    model = samples.onnx_model(network("lstm"))
    model.graph.node[2].input[0] = "X"  # the upper one reads X, too
    del model.graph.node[2].input[3:]  # and W (4h, 3) cannot be read of 4 numbers: never stacked
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match="--prefix cell 0 or --prefix cell 1, found 2 networks"):
        load(path)
    assert load(path, prefixes=("cell 1",)).loaded.stems == ("cell 1",)


def test_external_data_beside_the_model_are_read(tmp_path):
    from onnx import external_data_helper as outside

    net, path = network("lstm"), tmp_path / "w.onnx"
    model = samples.onnx_model(net)
    outside.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    import onnx

    onnx.save_model(model, str(path))
    assert (tmp_path / "w.bin").exists()
    same(load(path).loaded.network, net)


def test_layers_with_other_options_are_no_network(tmp_path):
    import json
    import zipfile

    samples.keras(tmp_path / "a.keras", network("lstm"))
    with (
        zipfile.ZipFile(tmp_path / "a.keras") as old,
        zipfile.ZipFile(tmp_path / "w.keras", "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                config["config"]["layers"][2]["config"]["activation"] = "relu"
                data = json.dumps(config)
            new.writestr(name, data)
    with pytest.raises(BadInput, match="one activation for all layers .* found tanh and relu"):
        load(tmp_path / "w.keras")
    assert load(tmp_path / "w.keras", prefixes=("layer_1",)).told["activation"] == "relu"


def test_an_unknown_file_is_one_line(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"hello, world")
    with pytest.raises(BadInput, match="one that begins with 68 65 6c 6c 6f"):
        load(tmp_path / "w.bin")
    with pytest.raises(BadInput, match="no such file"):
        load(tmp_path / "absent")
