"""PyTorch's conventions, as docs/field_guide.toml states them."""

from functools import cache
from inspect import signature
from itertools import pairwise

import numpy as np
import pytest

from tests.conventions.finding import (
    EXAMPLES,
    LAST,
    LENGTH,
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

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array, "float32"))


@torch.no_grad()
def lstm(a, H_0, C_0):
    layer = nn.LSTM(1, H)
    for weight in layer.parameters():
        weight.zero_()
    layer.bias_ih_l0.copy_(tensor(a.ravel()))
    _, (H_1, C_1) = layer(torch.zeros(1, 1, 1), (tensor(H_0[None]), tensor(C_0[None])))
    return H_1[0].numpy(), C_1[0].numpy()


@torch.no_grad()
def gru(a, b, U, H_0):
    layer = nn.GRU(1, H)
    layer.weight_ih_l0.zero_()
    layer.weight_hh_l0.copy_(tensor(np.concatenate([u.T for u in U])))
    layer.bias_ih_l0.copy_(tensor(a.ravel()))
    layer.bias_hh_l0.copy_(tensor(b.ravel()))
    return layer(torch.zeros(1, 1, 1), tensor(H_0[None]))[1][0].numpy()


@cache
def of_the_gru():
    return gru_conventions(gru)


def test_shape_of_the_input_weights():
    assert nn.LSTM(2, 3).weight_ih_l0.shape == (4 * 3, 2)


def test_order_of_the_lstm_s_gates():
    assert lstm_orders(lstm) == ["i, f, g, o"]


def test_order_of_the_gru_s_gates():
    assert [order for order, _, _ in of_the_gru()] == ["r, z, n"]


def test_where_the_gru_resets():
    assert [reset for _, reset, _ in of_the_gru()] == ["after"]


def test_what_the_update_gate_keeps():
    assert [meaning for _, _, meaning in of_the_gru()] == ["keeps"]


def test_biases_of_an_lstm_layer():
    layer = nn.LSTM(2, 3)
    assert layer.bias_ih_l0.shape == layer.bias_hh_l0.shape == (4 * 3,)


def test_biases_of_a_gru_layer():
    layer = nn.GRU(2, 3)
    assert layer.bias_ih_l0.shape == layer.bias_hh_l0.shape == (3 * 3,)


def test_activation_of_a_vanilla_rnn():
    assert nn.RNN(2, 3).nonlinearity == "tanh"


def test_forget_bias_at_the_start():
    torch.manual_seed(1)
    layer = nn.LSTM(2, 400)
    for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
        forget = bias[400:800]
        assert forget.abs().max() <= 400**-0.5
        assert 0.5 * 400**-0.5 < forget.std() < 0.65 * 400**-0.5  # uniform: 1/√3 of the limit


def test_layout_of_a_sequence():
    O, _ = nn.LSTM(2, 3)(torch.zeros(5, 4, 2))
    assert O.shape == (5, 4, 3)
    assert nn.LSTM(2, 3)(torch.zeros(5, 4, 2))[1][0].shape == (1, 4, 3)


def test_order_of_the_lstm_s_states():
    layer = nn.LSTM(2, 3)
    _, (first, second) = layer(
        torch.zeros(1, 1, 2), (torch.zeros(1, 1, 3), 9 * torch.ones(1, 1, 3))
    )
    assert first.abs().max() < 1 < second.abs().max()


def test_what_a_call_returns():
    O, last = nn.GRU(2, 3)(torch.zeros(5, 4, 2))
    assert O.shape == (5, 4, 3)
    assert last.shape == (1, 4, 3)


def test_what_the_clip_adds_to_the_norm():
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    weight.grad = torch.ones(4, dtype=torch.float64)
    norm = nn.utils.clip_grad_norm_([weight], 1.0)
    assert norm == 2
    assert abs(float(weight.grad[0]) - 1 / (2 + 1e-6)) < 1e-12


def test_hard_sigmoid():
    assert abs(float(nn.functional.hardsigmoid(torch.tensor(1.0))) - (1 / 6 + 1 / 2)) < 1e-6


def test_float64_stays_float64():
    O, _ = nn.LSTM(2, 3, dtype=torch.float64)(torch.zeros(5, 4, 2, dtype=torch.float64))
    assert O.dtype == torch.float64


@torch.no_grad()
def in_two_directions():
    layer = nn.RNN(1, 1, bidirectional=True)
    for weight in layer.parameters():
        weight.zero_()
    layer.weight_ih_l0.fill_(1)
    layer.weight_ih_l0_reverse.fill_(-1)
    O, last = layer(tensor(SEQUENCE[:, None, None]))
    return O[:, 0].numpy(), last[:, 0, 0].numpy()


def test_weights_of_the_backward_direction():
    layer = nn.LSTM(2, 3, 2, bidirectional=True)
    assert layer.weight_ih_l0_reverse.shape == (4 * 3, 2)
    assert layer.weight_ih_l1_reverse.shape == (4 * 3, 2 * 3)


def test_how_two_directions_are_joined():
    assert same(in_two_directions()[0], SIDE_BY_SIDE)


def test_last_states_of_two_directions():
    assert same(in_two_directions()[1], LAST)
    last = nn.GRU(2, 3, 2, bidirectional=True)(torch.zeros(5, 4, 2))[1]
    assert last.shape == (2 * 2, 4, 3)


def shorter(sequence, **options):
    """The outputs (T,), the last state, and the gradient by the weight."""
    layer = nn.RNN(1, 1, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.zero_()
    X = tensor(sequence)[:, None, None]
    packed = nn.utils.rnn.pack_padded_sequence(X, [LENGTH], **options)
    O, last = layer(packed)
    O = nn.utils.rnn.pad_packed_sequence(O, total_length=len(sequence))[0]
    O[:LENGTH].sum().backward()
    return O[:, 0, 0].detach().numpy(), last.item(), layer.weight_ih_l0.grad.item()


def test_how_lengths_are_given():
    X, lengths = torch.zeros(3, 2, 1), [1, 3]
    with pytest.raises(RuntimeError, match="sorted"):
        nn.utils.rnn.pack_padded_sequence(X, lengths)
    assert nn.utils.rnn.pack_padded_sequence(X, lengths, enforce_sorted=False).data.shape == (4, 1)


def test_outputs_behind_an_end():
    assert shorter(SEQUENCE)[0][LENGTH] == 0


def test_last_state_of_a_shorter_example():
    assert abs(shorter(SEQUENCE)[1] - OWN) < 1e-6


def test_nan_in_the_padding():
    O, last, gradient = shorter(UNKNOWN)
    assert np.isfinite([*O, last, gradient]).all()


def stack(rate=RATE):
    """The lower layer adds half of its H to X, which is one number, 1; the upper one hands on what
    it reads."""
    layer = nn.RNN(1, UNITS, 2, nonlinearity="relu", bias=False, dropout=rate)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.copy_(torch.eye(UNITS) / 2)
        layer.weight_ih_l1.copy_(torch.eye(UNITS))
        layer.weight_hh_l1.zero_()
    return layer


def two_layers(rate=RATE, training=True):
    """H of the lower layer as it is handed up, and the last states."""
    torch.manual_seed(1)
    O, last = stack(rate).train(training)(torch.ones(STEPS, EXAMPLES, 1))
    return O.detach().numpy(), last.detach().numpy()


def test_where_dropout_acts():
    (O, last), (whole, kept) = two_layers(), two_layers(0)
    mask = mask_of(O, whole)  # not of X, which all units read, and once only
    assert by_chance(mask)
    assert np.array_equal(last[0], kept[0]) and np.array_equal(last[1], O[-1])
    with pytest.warns(UserWarning, match="dropout"):
        one = nn.RNN(1, UNITS, dropout=RATE)
    X = torch.ones(STEPS, EXAMPLES, 1)
    assert torch.equal(one.train()(X)[0], one.eval()(X)[0])


def test_masks_of_dropout_over_steps():
    mask = two_layers()[0] != 0
    assert all((one != other).any() for one, other in pairwise(mask))


def test_when_dropout_is_off():
    for found, wanted in zip(two_layers(training=False), two_layers(0), strict=True):
        assert np.array_equal(found, wanted)


def test_gradient_through_dropout():
    torch.manual_seed(1)
    layer = stack()
    O, _ = layer(torch.ones(STEPS, EXAMPLES, 1))
    O.sum().backward()
    wanted = gradient_of_W_hh(O.detach().numpy())
    assert alike(layer.weight_hh_l0.grad.numpy().T, wanted)


def test_layers_of_different_sizes():
    with pytest.raises(TypeError, match="hidden_size"):
        nn.LSTM(2, [3, 4], 2)
    lower, upper = nn.LSTM(2, 3), nn.LSTM(3, 4)
    assert upper(lower(torch.ones(5, 2, 2))[0])[0].shape == (5, 2, 4)


def test_projection():
    layer = nn.LSTM(2, 4, 2, proj_size=3)
    assert layer.weight_hr_l0.shape == (3, 4)
    assert layer.weight_hh_l0.shape == layer.weight_ih_l1.shape == (4 * 4, 3)
    O, (H, C) = layer(torch.ones(5, 2, 2))
    assert (O.shape, H.shape, C.shape) == ((5, 2, 3), (2, 2, 3), (2, 2, 4))
    with pytest.raises(ValueError, match="smaller"):
        nn.LSTM(2, 4, proj_size=4)
    with pytest.raises(ValueError, match="only supported for LSTM"):
        nn.GRU(2, 4, proj_size=3)


def test_peepholes_clip_and_layer_normalisation():
    names = {name.lower() for name in dir(nn.modules.rnn)}
    names |= set(nn.LSTM(2, 4).__constants__) | set(signature(nn.RNNBase).parameters)
    names |= {
        name for module in (nn.LSTM, nn.LSTMCell) for name, _ in module(2, 4).named_parameters()
    }
    assert "proj_size" in names and "lstmcell" in names
    assert not any(word in name for name in names for word in ("peep", "clip", "norm"))
