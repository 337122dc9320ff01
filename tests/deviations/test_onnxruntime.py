"""A small reproduction for each of ONNX Runtime's entries in deviations.toml."""

import numpy as np
import pytest

from tests.deviations.reproduction import still

onnxruntime = pytest.importorskip(
    "onnxruntime", reason="needs ONNX Runtime: its deviations are reproduced on it"
)
from onnx import helper  # noqa: E402  where ONNX Runtime is, ONNX is

FLOAT = 1


def run(*nodes, **given: np.ndarray) -> np.ndarray:
    """What nodes make of inputs, as the output y."""
    ends = [
        [helper.make_tensor_value_info(name, FLOAT, None) for name in names]
        for names in (given, ["y"])
    ]
    graph = helper.make_graph(list(nodes), "reproduction", *ends)
    opsets = [helper.make_opsetid("", 14)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=7).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["y"], {n: np.asarray(a, "float32") for n, a in given.items()})[0]


def layer(operator: str, gates: int, x: float, bias: bool = True, **options) -> float:
    """One step of a layer of one unit whose weights are 1   x: its input"""
    ones = {"W": np.ones((1, gates, 1)), "R": np.ones((1, gates, 1))}
    ones |= {"B": np.ones((1, 2 * gates))} if bias else {}
    node = helper.make_node(operator, ["x", *ones], ["y"], hidden_size=1, **options)
    return float(run(node, x=np.full((1, 1, 1), x), **ones).item())


def elementwise(operator: str, x: np.ndarray) -> np.ndarray:
    return run(helper.make_node(operator, ["x"], ["y"]), x=x)


def test_an_rnn_with_relu_swallows_nan():
    assert np.isnan(elementwise("Relu", [np.nan])).all()
    assert np.isnan(layer("RNN", 1, np.nan, activations=["Tanh"]))
    assert layer("RNN", 1, 2.0, activations=["Relu"]) == 4
    still(layer("RNN", 1, np.nan, activations=["Relu"]) == 0, "relu-rnn-swallows-nan")


def test_gru_and_lstm_swallow_nan():
    layers = (("GRU", 3), ("LSTM", 4))
    assert np.isnan([layer(*one, np.nan, bias=False) for one in layers]).all()
    found = [layer(*one, np.nan) for one in layers]
    still(bool(np.isfinite(found).all()), "gru-and-lstm-swallow-nan")


def test_the_sigmoid_is_0_below_minus_18():
    x = np.array([-5.0, -17.0, -18.1])
    right, found = 1 / (1 + np.exp(-x)), elementwise("Sigmoid", x)
    error = np.abs(found - right) / right
    assert error[0] < 1e-4
    still(error[1] > 0.1 and found[2] == 0, "sigmoid-is-0-below-minus-18")


def test_the_tanh_exceeds_1():
    found = elementwise("Tanh", np.linspace(-30, 30, 2_000_001))
    assert np.abs(found).max() < 1 + 1e-6
    still(np.abs(found).max() > 1 and (np.diff(found) < 0).any(), "tanh-exceeds-1")


def test_a_shut_reset_gate_is_negative():
    """H = tanh(r · 1): the update gate is shut, and the candidate is r times a bias of 1."""

    def reset(x: float) -> float:
        W = np.array([0, 1, 0]).reshape(1, 3, 1)
        B = np.array([-100, 0, 0, 0, 0, 1]).reshape(1, 6)
        options = {"hidden_size": 1, "linear_before_reset": 1}
        node = helper.make_node("GRU", ["x", "W", "R", "B"], ["y"], **options)
        return float(run(node, x=np.full((1, 1, 1), x), W=W, R=np.zeros((1, 3, 1)), B=B).item())

    assert abs(reset(0.0) - np.tanh(0.5)) < 1e-6
    still(-3e-7 < reset(-30.0) < -1e-7, "gru-reset-gate-is-negative")


def test_the_tanh_of_an_rnn_loses_small_values():
    x = 0.01 * np.arange(1, 101) / 100
    right = np.tanh(x.astype("float32").astype("float64"))
    ones = {name: np.ones((1, 1, 1)) for name in "WR"}
    node = helper.make_node("RNN", ["x", *ones], ["y"], hidden_size=1)
    found = run(node, x=x.reshape(1, -1, 1), **ones).ravel()
    assert np.abs(elementwise("Tanh", x) / right - 1).max() < 1e-6
    assert np.abs(found - right).max() < 2e-7
    still(np.abs(found / right - 1).max() > 1e-5, "rnn-tanh-is-a-difference")
