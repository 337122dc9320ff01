"""MXNet's conventions, as docs/field_guide.toml states them."""

from contextlib import nullcontext
from functools import cache
from inspect import signature
from itertools import pairwise

import numpy as np
import pytest

from tests.conventions.finding import (
    EXAMPLES,
    LAST,
    LENGTH,
    ON,
    OWN,
    RATE,
    SEQUENCE,
    SIDE_BY_SIDE,
    STEPS,
    UNITS,
    UNKNOWN,
    H,
    alike,
    by_chance,
    gradient_of_W_hh,
    gru_conventions,
    lstm_orders,
    mask_of,
    same,
)

mx = pytest.importorskip("mxnet", reason="needs MXNet")
from mxnet import nd
from mxnet.gluon import contrib, rnn, utils


def made(kind, d, h, **options):
    layer = kind(h, input_size=d, **options)
    layer.initialize(mx.init.Zero())
    return layer


def lstm(a, H_0, C_0):
    layer = made(rnn.LSTM, 1, H)
    layer.l0_i2h_bias.set_data(nd.array(a.ravel()))
    _, (H_1, C_1) = layer(nd.zeros((1, 1, 1)), [nd.array(H_0[None]), nd.array(C_0[None])])
    return H_1[0].asnumpy(), C_1[0].asnumpy()


def gru(a, b, U, H_0):
    layer = made(rnn.GRU, 1, H)
    layer.l0_h2h_weight.set_data(nd.array(np.concatenate([u.T for u in U])))
    layer.l0_i2h_bias.set_data(nd.array(a.ravel()))
    layer.l0_h2h_bias.set_data(nd.array(b.ravel()))
    return layer(nd.zeros((1, 1, 1)), [nd.array(H_0[None])])[1][0][0].asnumpy()


@cache
def of_the_gru():
    return gru_conventions(gru)


def test_shape_of_the_input_weights():
    assert made(rnn.LSTM, 2, 3).l0_i2h_weight.shape == (4 * 3, 2)


def test_order_of_the_lstm_s_gates():
    assert lstm_orders(lstm) == ["i, f, g, o"]


def test_order_of_the_gru_s_gates():
    assert [order for order, _, _ in of_the_gru()] == ["r, z, n"]


def test_where_the_gru_resets():
    assert [reset for _, reset, _ in of_the_gru()] == ["after"]


def test_what_the_update_gate_keeps():
    assert [meaning for _, _, meaning in of_the_gru()] == ["keeps"]


def test_biases_of_an_lstm_layer():
    layer = made(rnn.LSTM, 2, 3)
    assert layer.l0_i2h_bias.shape == layer.l0_h2h_bias.shape == (4 * 3,)


def test_biases_of_a_gru_layer():
    layer = made(rnn.GRU, 2, 3)
    assert layer.l0_i2h_bias.shape == layer.l0_h2h_bias.shape == (3 * 3,)


def test_activation_of_a_vanilla_rnn():
    layer = made(rnn.RNN, 1, 1)
    layer.l0_i2h_bias.set_data(nd.array([5.0]))
    assert float(layer(nd.zeros((1, 1, 1))).asnumpy()) == 5.0  # relu; tanh is below 1


def test_forget_bias_at_the_start():
    layer = rnn.LSTM(3, input_size=2)
    layer.initialize()
    assert not layer.l0_i2h_bias.data().asnumpy().any()
    assert not layer.l0_h2h_bias.data().asnumpy().any()


def test_layout_of_a_sequence():
    layer = made(rnn.LSTM, 2, 3)
    assert layer(nd.zeros((5, 4, 2))).shape == (5, 4, 3)
    assert layer.begin_state(4)[0].shape == (1, 4, 3)


def test_order_of_the_lstm_s_states():
    state = [nd.zeros((1, 1, 3)), 9 * nd.ones((1, 1, 3))]
    _, (first, second) = made(rnn.LSTM, 2, 3)(nd.zeros((1, 1, 2)), state)
    assert first.asnumpy().max() < 1 < second.asnumpy().max()


def test_what_a_call_returns():
    layer = made(rnn.GRU, 2, 3)
    assert layer(nd.zeros((5, 4, 2))).shape == (5, 4, 3)
    O, (last,) = layer(nd.zeros((5, 4, 2)), layer.begin_state(4))
    assert O.shape == (5, 4, 3)
    assert last.shape == (1, 4, 3)


def test_what_the_clip_adds_to_the_norm():
    gradient = nd.ones((4,)) * 2e-4  # small, or float32 would not show it
    assert abs(utils.clip_global_norm([gradient], 1e-4) - 4e-4) < 1e-9
    ratio = float(gradient[0].asscalar()) / 2e-4
    assert abs(ratio - 1e-4 / (4e-4 + 1e-8)) < 1e-6 < abs(ratio - 1e-4 / 4e-4)


def test_hard_sigmoid():
    assert abs(float(nd.hard_sigmoid(nd.array([1.0])).asscalar()) - (0.2 + 0.5)) < 1e-6


def test_float64_stays_float64():
    layer = made(rnn.LSTM, 2, 3, dtype="float64")
    assert layer(nd.zeros((5, 4, 2), dtype="float64")).dtype == np.float64


def in_two_directions():
    layer = made(rnn.RNN, 1, 1, activation="tanh", bidirectional=True)
    layer.l0_i2h_weight.set_data(nd.ones((1, 1)))
    layer.r0_i2h_weight.set_data(-nd.ones((1, 1)))
    O, (last,) = layer(nd.array(SEQUENCE[:, None, None]), layer.begin_state(1))
    return O[:, 0].asnumpy(), last[:, 0, 0].asnumpy()


def test_weights_of_the_backward_direction():
    layer = made(rnn.LSTM, 2, 3, num_layers=2, bidirectional=True)
    assert layer.l0_i2h_weight.shape == layer.r0_i2h_weight.shape == (4 * 3, 2)
    assert layer.r1_i2h_weight.shape == (4 * 3, 2 * 3)


def test_how_two_directions_are_joined():
    assert same(in_two_directions()[0], SIDE_BY_SIDE)


def test_last_states_of_two_directions():
    assert same(in_two_directions()[1], LAST)
    layer = made(rnn.GRU, 2, 3, num_layers=2, bidirectional=True)
    assert layer.begin_state(4)[0].shape == (2 * 2, 4, 3)


def shorter(sequence):
    """The outputs (T,) of a cell, the last state, and the gradient by the weight."""
    cell = made(rnn.RNNCell, 1, 1)
    cell.i2h_weight.set_data(nd.ones((1, 1)))
    X, length = nd.array(sequence[:, None, None]), nd.array([LENGTH])
    with mx.autograd.record():
        O, (last,) = cell.unroll(len(sequence), X, None, "TNC", True, length)
        total = O[:LENGTH].sum()
    total.backward()
    gradient = cell.i2h_weight.grad().asnumpy().item()
    return O[:, 0, 0].asnumpy(), last.asnumpy().item(), gradient


def test_how_lengths_are_given():
    for dtype in ("float32", "float64"):
        layer = made(rnn.RNN, 1, 1, activation="tanh", use_sequence_length=True, dtype=dtype)
        layer.l0_i2h_weight.set_data(nd.ones((1, 1)))
        X, start = nd.array(SEQUENCE[:, None, None], dtype=dtype), layer.begin_state(1, dtype=dtype)
        length = nd.array([LENGTH], dtype=dtype)
        if dtype == "float64":
            with pytest.raises(mx.MXNetError):
                layer(X, start, length)[0].asnumpy()
        else:
            O, (last,) = layer(X, start, length)
            assert same(O[:, 0, 0].asnumpy(), np.tanh(SEQUENCE))
            assert abs(last.asnumpy().item() - ON) < 1e-6


def test_outputs_behind_an_end():
    assert shorter(SEQUENCE)[0][LENGTH] == 0


def test_last_state_of_a_shorter_example():
    assert abs(shorter(SEQUENCE)[1] - OWN) < 1e-6


def test_nan_in_the_padding():
    O, last, gradient = shorter(UNKNOWN)
    assert np.isfinite([*O, last]).all() and np.isnan(gradient)


def stack(dtype="float64", rate=RATE):
    """The lower layer adds half of its H to X, which is one number, 1; the upper one hands on what
    it reads."""
    mx.random.seed(1)
    layer = made(rnn.RNN, 1, UNITS, num_layers=2, activation="relu", dropout=rate, dtype=dtype)
    layer.l0_i2h_weight.set_data(nd.ones((UNITS, 1), dtype=dtype))
    layer.l0_h2h_weight.set_data(nd.eye(UNITS, dtype=dtype) / 2)
    layer.l1_i2h_weight.set_data(nd.eye(UNITS, dtype=dtype))
    return layer, nd.ones((STEPS, EXAMPLES, 1), dtype=dtype)


def two_layers(dtype="float64", rate=RATE, training=True):
    """H of the lower layer as it is handed up, and the last states."""
    layer, X = stack(dtype, rate)
    with mx.autograd.record() if training else nullcontext():
        O, (last,) = layer(X, layer.begin_state(EXAMPLES, dtype=dtype))
    return O.asnumpy(), last.asnumpy()


def test_where_dropout_acts():
    (O, last), (whole, kept) = two_layers(), two_layers(rate=0)
    mask = mask_of(O, whole)  # not of X, which all units read, and once only
    assert by_chance(mask)
    assert np.array_equal(last[0], kept[0]) and np.array_equal(last[1], O[-1])
    assert np.array_equal(two_layers("float32")[0], two_layers("float32", rate=0)[0])


def test_masks_of_dropout_over_steps():
    mask = two_layers()[0] != 0
    assert all((one != other).any() for one, other in pairwise(mask))


def test_when_dropout_is_off():
    for dtype in ("float32", "float64"):
        both = two_layers(dtype, training=False), two_layers(dtype, 0, training=False)
        for found, wanted in zip(*both, strict=True):
            assert np.array_equal(found, wanted)


def test_gradient_through_dropout():
    layer, X = stack()
    X.attach_grad()  # without it the lower layer has none at all
    with mx.autograd.record():
        O, _ = layer(X, layer.begin_state(EXAMPLES, dtype="float64"))
        total = O.sum()
    total.backward()
    found, O = layer.l0_h2h_weight.grad().asnumpy().T, O.asnumpy()
    assert not alike(found, gradient_of_W_hh(O))
    assert alike(found, gradient_of_W_hh(O, handed_up=True))


def test_layers_of_different_sizes():
    with pytest.raises(TypeError):
        made(rnn.LSTM, 2, [3, 4], num_layers=2)
    lower, upper = made(rnn.LSTM, 2, 3), made(rnn.LSTM, 3, 4)
    assert upper(lower(nd.ones((5, 2, 2)))).shape == (5, 2, 4)


def test_projection():
    layer, X = made(rnn.LSTM, 2, 4, num_layers=2, projection_size=3), nd.ones((5, 2, 2))
    assert layer.l0_h2r_weight.shape == (3, 4)
    assert layer.l0_h2h_weight.shape == layer.l1_i2h_weight.shape == (4 * 4, 3)
    O, (H, C) = layer(X, layer.begin_state(2))
    assert (O.shape, H.shape, C.shape) == ((5, 2, 3), (2, 2, 3), (2, 2, 4))
    with pytest.raises(mx.MXNetError, match="No training support"), mx.autograd.record():
        layer(X, layer.begin_state(2))[0].asnumpy()
    cell = contrib.rnn.LSTMPCell(4, 3, input_size=2)
    cell.initialize()
    with mx.autograd.record():
        total = cell.unroll(5, X, None, "TNC")[0][-1].sum()
    total.backward()
    assert cell.h2r_weight.shape == (3, 4) and cell.h2r_weight.grad().asnumpy().any()


def test_peepholes_clip_and_layer_normalisation():
    names = {name.lower() for module in (rnn, contrib.rnn) for name in dir(module)}
    names |= set(signature(rnn.LSTM).parameters) | set(signature(rnn.LSTMCell).parameters)
    clips = {name for name in names if "clip" in name}
    assert clips == {"state_clip_min", "state_clip_max", "state_clip_nan"}
    assert not any(word in name for name in names for word in ("peep", "norm"))
    bounds = {"state_clip_min": -0.1, "state_clip_max": 0.1}
    layer = made(rnn.LSTM, 1, 1, **bounds)
    start = [nd.zeros((1, 1, 1)), 2 * nd.ones((1, 1, 1))]
    _, (_, C) = layer(nd.zeros((1, 1, 1)), start)
    assert abs(float(C.asscalar())) > 0.5  # oneDNN computes as if nothing had been said
    layer = made(rnn.LSTM, 1, 1, dtype="float64", **bounds)
    with pytest.raises(mx.MXNetError, match="clip"):
        layer(nd.zeros((1, 1, 1), dtype="float64"), [s.astype("float64") for s in start])[
            0
        ].asnumpy()
