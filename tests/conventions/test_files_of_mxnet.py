"""Files that MXNet itself has saved are read as the networks that they are."""

import numpy as np
import pytest

from tests.conventions.saved import all_right, numbers

mx = pytest.importorskip("mxnet", reason="needs MXNet")
from mxnet import gluon

X = numbers(6, 2, 4)


def made(net):
    net.initialize()
    net(mx.nd.array(X))
    for weight in net.collect_params().values():
        weight.set_data(mx.nd.array(numbers(*weight.shape)))
    return net


def test_parameters_of_a_gluon_block(tmp_path):
    net = gluon.nn.HybridSequential()
    net.add(gluon.rnn.LSTM(5, num_layers=2), gluon.nn.Dense(3, flatten=False))
    made(net).save_parameters(str(tmp_path / "w.params"))
    all_right(tmp_path / "w.params", X, net(mx.nd.array(X)).asnumpy())


@pytest.mark.parametrize("options", [{"layout": "NTC"}, {"bidirectional": True}])
def test_an_exported_block_says_axis_and_activation(options, tmp_path):
    net = gluon.rnn.RNN(5, activation="relu", **options)
    net.hybridize()
    made(net)
    outputs = net(mx.nd.array(X)).asnumpy()
    net.export(str(tmp_path / "w"), epoch=7)
    said = all_right(tmp_path / "w-0007.params", X, outputs)
    axis = "examples" if "layout" in options else "steps"
    assert f"the first axis of X as {axis}" in said and "does not say" not in said


def test_stacked_cells_of_gluon(tmp_path):
    net = gluon.nn.Sequential()
    stack = gluon.rnn.SequentialRNNCell()
    stack.add(gluon.rnn.LSTMCell(5, input_size=4))
    stack.add(gluon.rnn.LSTMCell(5, input_size=5))
    net.add(stack, gluon.nn.Dense(3, flatten=False, in_units=5))
    net.initialize()
    for weight in net.collect_params().values():
        weight.set_data(mx.nd.array(numbers(*weight.shape)))
    outputs, _ = stack.unroll(6, mx.nd.array(X), layout="TNC", merge_outputs=True)
    net.save_parameters(str(tmp_path / "w.params"))
    all_right(tmp_path / "w.params", X, net[1](outputs).asnumpy())


@pytest.mark.parametrize("mode", ["lstm", "gru", "rnn_relu"])
@pytest.mark.parametrize("both", [False, True])
def test_one_vector_of_all_weights(mode, both, tmp_path):
    """As the Module API's FusedRNNCell has it; its symbol says what is in it."""
    cell = mx.rnn.FusedRNNCell(5, num_layers=2, mode=mode, bidirectional=both, prefix="it_")
    outputs, _ = cell.unroll(6, mx.sym.Variable("X"), layout="TNC", merge_outputs=True)
    shapes, _, _ = outputs.infer_shape(X=X.shape)
    named = dict(zip(outputs.list_arguments(), shapes, strict=True))
    vector = mx.nd.array(numbers(*named.pop("it_parameters")))
    args = {n: mx.nd.zeros(s) for n, s in named.items()} | {"X": mx.nd.array(X)}
    (found,) = outputs.bind(mx.cpu(), args | {"it_parameters": vector}).forward()
    mx.nd.save(str(tmp_path / "w-0003.params"), {"arg:it_parameters": vector})
    outputs.save(str(tmp_path / "w-symbol.json"))
    said = all_right(tmp_path / "w-0003.params", X, np.array(found.asnumpy()))
    assert "does not say" not in said


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_numbers_and_the_cells_of_the_module_api(dtype, tmp_path):
    cell = mx.rnn.GRUCell(5, prefix="gru_")
    outputs, _ = cell.unroll(6, mx.sym.Variable("X"), layout="TNC", merge_outputs=True)
    shapes, _, _ = outputs.infer_shape(X=X.shape)
    named = dict(zip(outputs.list_arguments(), shapes, strict=True))
    state = {name: mx.nd.zeros(s) for name, s in named.items() if "begin" in name}
    given = {
        n: mx.nd.array(numbers(*s).astype(dtype), dtype=dtype)
        for n, s in named.items()
        if n != "X" and n not in state
    }
    args = {n: a.astype("float32") for n, a in given.items()} | {"X": mx.nd.array(X)} | state
    (found,) = outputs.bind(mx.cpu(), args).forward()
    mx.nd.save(str(tmp_path / "w.params"), {f"arg:{n}": a for n, a in given.items()})
    all_right(tmp_path / "w.params", X, np.array(found.asnumpy()))
