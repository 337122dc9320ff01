"""The conventions of JAX with Flax's NNX and Optax, as docs/field_guide.toml states them."""

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
    gru_conventions,
    lstm_orders,
    mask_of,
    same,
)

nnx = pytest.importorskip("flax.nnx", reason="needs Flax")
import jax
import jax.numpy as jnp
import optax


@pytest.fixture(autouse=True)
def as_jax_begins():
    """Without float64, which the backend switches on for the whole process."""
    with jax.enable_x64(False):
        yield


def made(kind, d, h, **options):
    return kind(d, h, rngs=nnx.Rngs(0), **options)


def lstm(a, H_0, C_0):
    cell = made(nnx.OptimizedLSTMCell, 1, H)
    cell.dense_i.kernel[...] = jnp.zeros((1, 4 * H))
    cell.dense_h.kernel[...] = jnp.zeros((H, 4 * H))
    cell.dense_h.bias[...] = jnp.asarray(a.ravel())
    (C_1, H_1), _ = cell((jnp.asarray(C_0), jnp.asarray(H_0)), jnp.zeros((1, 1)))
    return np.asarray(H_1), np.asarray(C_1)


def gru(a, b, U, H_0):
    cell = made(nnx.GRUCell, 1, H)
    cell.dense_i.kernel[...] = jnp.zeros((1, 3 * H))
    cell.dense_i.bias[...] = jnp.asarray(a.ravel())
    cell.dense_h.kernel[...] = jnp.asarray(np.concatenate(list(U), axis=1))
    return np.asarray(cell(jnp.asarray(H_0), jnp.zeros((1, 1)))[0])


@cache
def of_the_gru():
    return gru_conventions(gru, two_biases=False)


def test_shape_of_the_input_weights():
    assert made(nnx.OptimizedLSTMCell, 2, 3).dense_i.kernel.shape == (2, 4 * 3)


def test_order_of_the_lstm_s_gates():
    assert lstm_orders(lstm) == ["i, f, g, o"]


def test_order_of_the_gru_s_gates():
    assert [order for order, _, _ in of_the_gru()] == ["r, z, n"]


def test_where_the_gru_resets():
    assert [reset for _, reset, _ in of_the_gru()] == ["after"]


def test_what_the_update_gate_keeps():
    assert [meaning for _, _, meaning in of_the_gru()] == ["keeps"]


def test_biases_of_an_lstm_layer():
    cell = made(nnx.OptimizedLSTMCell, 2, 3)
    assert cell.dense_i.bias is None
    assert cell.dense_h.bias.shape == (4 * 3,)


def test_biases_of_a_gru_layer():
    cell = made(nnx.GRUCell, 2, 3)
    assert cell.dense_i.bias.shape == (3 * 3,)
    assert cell.dense_h.bias is None


def test_activation_of_a_vanilla_rnn():
    cell = made(nnx.SimpleCell, 1, 1)
    cell.dense_i.bias[...] = jnp.array([5.0])
    assert 0.999 < float(cell(jnp.zeros((1, 1)), jnp.zeros((1, 1)))[0][0, 0]) < 1


def test_forget_bias_at_the_start():
    assert not np.asarray(made(nnx.OptimizedLSTMCell, 2, 3).dense_h.bias[...]).any()


def test_layout_of_a_sequence():
    assert nnx.RNN(made(nnx.SimpleCell, 2, 3)).time_major is False
    assert nnx.RNN(made(nnx.SimpleCell, 2, 3))(jnp.zeros((4, 5, 2))).shape == (4, 5, 3)


def test_order_of_the_lstm_s_states():
    carry = 9 * jnp.ones((1, 3)), jnp.zeros((1, 3))
    (first, second), _ = made(nnx.OptimizedLSTMCell, 2, 3)(carry, jnp.zeros((1, 2)))
    assert np.abs(second).max() < 1 < np.abs(first).max()


def test_what_a_call_returns():
    layer = nnx.RNN(made(nnx.GRUCell, 2, 3))
    assert layer(jnp.zeros((4, 5, 2))).shape == (4, 5, 3)
    last, O = layer(jnp.zeros((4, 5, 2)), return_carry=True)
    assert last.shape == (4, 3)
    assert O.shape == (4, 5, 3)


def test_what_the_clip_adds_to_the_norm():
    clip = optax.clip_by_global_norm(1e-4)
    gradient = jnp.full(4, 2e-4)
    clipped, _ = clip.update(gradient, clip.init(gradient))
    assert abs(float(clipped[0]) / 2e-4 - 0.25) < 1e-6


def test_hard_sigmoid():
    assert abs(float(jax.nn.hard_sigmoid(1.0)) - (1 / 6 + 1 / 2)) < 1e-6


def test_float64_stays_float64():
    with jax.enable_x64(False), pytest.warns(UserWarning, match="float64"):
        assert jnp.zeros(1, "float64").dtype == jnp.float32
    with jax.enable_x64(True):
        assert jnp.zeros(1, "float64").dtype == jnp.float64


def in_two_directions():
    halves = [nnx.RNN(made(nnx.SimpleCell, 1, 1)) for _ in range(2)]
    for half, weight in zip(halves, (1.0, -1.0), strict=True):
        half.cell.dense_i.kernel[...] = jnp.full((1, 1), weight)
        half.cell.dense_h.kernel[...] = jnp.zeros((1, 1))
    layer = nnx.Bidirectional(*halves)
    last, O = layer(jnp.asarray(SEQUENCE)[None, :, None], return_carry=True)
    return np.asarray(O[0]), np.concatenate([np.asarray(state)[0] for state in last])


def test_weights_of_the_backward_direction():
    halves = [nnx.RNN(made(nnx.OptimizedLSTMCell, 2, 3)) for _ in range(2)]
    assert nnx.Bidirectional(*halves).backward_rnn.cell.dense_i.kernel.shape == (2, 4 * 3)


def test_how_two_directions_are_joined():
    assert same(in_two_directions()[0], SIDE_BY_SIDE)
    halves = [nnx.RNN(made(nnx.GRUCell, 2, 3)) for _ in range(2)]
    summed = nnx.Bidirectional(*halves, merge_fn=jnp.add)
    assert summed(jnp.zeros((4, 5, 2))).shape == (4, 5, 3)


def test_last_states_of_two_directions():
    assert same(in_two_directions()[1], LAST)


def shorter(sequence):
    """The outputs (T,), the last state, and the gradient by the weight."""
    layer = nnx.RNN(made(nnx.SimpleCell, 1, 1))
    layer.cell.dense_i.kernel[...] = jnp.ones((1, 1))
    layer.cell.dense_h.kernel[...] = jnp.zeros((1, 1))
    X, lengths = jnp.asarray(sequence)[None, :, None], jnp.array([LENGTH])

    def own(layer):
        last, O = layer(X, seq_lengths=lengths, return_carry=True)
        return O[:, :LENGTH].sum(), (O[0, :, 0], last[0, 0])

    (_, (O, last)), grads = nnx.value_and_grad(own, has_aux=True)(layer)
    return np.asarray(O), float(last), float(grads.cell.dense_i.kernel[...][0, 0])


def test_how_lengths_are_given():
    layer, X = nnx.RNN(made(nnx.SimpleCell, 1, 1)), jnp.asarray(SEQUENCE)[None, :, None]
    last = [layer(X, seq_lengths=jnp.array([n]), return_carry=True)[0].item() for n in (LENGTH, 3)]
    assert last[0] != last[1]


def test_outputs_behind_an_end():
    assert abs(shorter(SEQUENCE)[0][LENGTH] - ON) < 1e-6


def test_last_state_of_a_shorter_example():
    assert abs(shorter(SEQUENCE)[1] - OWN) < 1e-6


def test_nan_in_the_padding():
    O, last, gradient = shorter(UNKNOWN)
    assert np.isfinite([*O[:LENGTH], last]).all() and np.isnan(gradient)


def options_of(module):
    """A class of nnx has its own signature in ``__init__`` alone."""
    return set(signature(module.__init__).parameters)


def dropped(**options):
    H = jnp.ones((STEPS, EXAMPLES, UNITS))
    return np.asarray(nnx.Dropout(RATE, rngs=nnx.Rngs(1), **options)(H))


def test_where_dropout_acts():
    for module in (nnx.RNN, nnx.SimpleCell, nnx.GRUCell, nnx.OptimizedLSTMCell):
        assert "rngs" in options_of(module) and not any("drop" in n for n in options_of(module))
    O = dropped()
    assert by_chance(mask_of(O, np.ones_like(O)))


def test_masks_of_dropout_over_steps():
    new, one = dropped() != 0, dropped(broadcast_dims=(0,)) != 0
    assert all((a != b).any() for a, b in pairwise(new))
    assert (one == one[:1]).all() and not one.all()


def test_when_dropout_is_off():
    assert np.array_equal(dropped(deterministic=True), np.ones((STEPS, EXAMPLES, UNITS)))


def test_gradient_through_dropout():
    layer, H = nnx.Dropout(RATE), jnp.ones((STEPS, EXAMPLES, UNITS))

    def total(H):
        O = layer(H, rngs=nnx.Rngs(1))
        return O.sum(), O

    grad, O = jax.grad(total, has_aux=True)(H)
    assert alike(np.asarray(grad), (np.asarray(O) != 0) / (1 - RATE))


def test_layers_of_different_sizes():
    lower, upper = (nnx.RNN(made(nnx.OptimizedLSTMCell, *sizes)) for sizes in ((2, 3), (3, 4)))
    assert upper(lower(jnp.ones((2, 5, 2)))).shape == (2, 5, 4)


def test_projection():
    options = options_of(nnx.OptimizedLSTMCell)
    assert "hidden_features" in options and not any("proj" in name for name in options)


def test_peepholes_clip_and_layer_normalisation():
    names = {name.lower() for name in dir(nnx.nn.recurrent)} | options_of(nnx.OptimizedLSTMCell)
    assert "lstmcell" in names and "hidden_features" in names
    assert not any(word in name for name in names for word in ("peep", "clip", "norm"))
