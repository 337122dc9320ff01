"""Keras' conventions, on TensorFlow, as docs/field_guide.toml states them."""

import os
from functools import cache
from inspect import signature

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
    gru_conventions,
    lstm_orders,
    mask_of,
    same,
)

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
from keras import activations, layers


def zeros(*shape):
    return np.zeros(shape, "float32")


def lstm(a, H_0, C_0):
    layer = layers.LSTM(H, return_state=True)
    layer.build((1, 1, 1))
    layer.set_weights([zeros(1, 4 * H), zeros(H, 4 * H), a.ravel()])
    _, H_1, C_1 = layer(zeros(1, 1, 1), initial_state=[tf.constant(H_0), tf.constant(C_0)])
    return H_1.numpy(), C_1.numpy()


def gru(a, b, U, H_0, **options):
    layer = layers.GRU(H, **options)
    layer.build((1, 1, 1))
    biases = np.stack([a.ravel(), b.ravel()])
    layer.set_weights([zeros(1, 3 * H), np.concatenate(list(U), axis=1), biases])
    return layer(zeros(1, 1, 1), initial_state=tf.constant(H_0)).numpy()


@cache
def of_the_gru():
    return gru_conventions(gru)


def test_shape_of_the_input_weights():
    layer = layers.LSTM(3)
    layer.build((None, None, 2))
    assert layer.cell.kernel.shape == (2, 4 * 3)


def test_order_of_the_lstm_s_gates():
    assert lstm_orders(lstm) == ["i, f, g, o"]


def test_order_of_the_gru_s_gates():
    assert [order for order, _, _ in of_the_gru()] == ["z, r, n"]


def test_where_the_gru_resets():
    assert [reset for _, reset, _ in of_the_gru()] == ["after"]
    assert layers.GRU(3, reset_after=False).reset_after is False


def test_what_the_update_gate_keeps():
    assert [meaning for _, _, meaning in of_the_gru()] == ["keeps"]


def test_biases_of_an_lstm_layer():
    layer = layers.LSTM(3)
    layer.build((None, None, 2))
    assert layer.cell.bias.shape == (4 * 3,)


def test_biases_of_a_gru_layer():
    for reset_after, shape in ((True, (2, 3 * 3)), (False, (3 * 3,))):
        layer = layers.GRU(3, reset_after=reset_after)
        layer.build((None, None, 2))
        assert layer.cell.bias.shape == shape


def test_activation_of_a_vanilla_rnn():
    assert layers.SimpleRNN(3).activation is activations.tanh


def test_forget_bias_at_the_start():
    layer = layers.LSTM(3)
    layer.build((None, None, 2))
    bias = layer.cell.bias.numpy().reshape(4, 3)
    assert (bias[1] == 1).all()
    assert (bias[[0, 2, 3]] == 0).all()


def test_layout_of_a_sequence():
    O = layers.LSTM(3, return_sequences=True)(zeros(4, 5, 2))
    assert O.shape == (4, 5, 3)
    with pytest.raises(ValueError, match="time_major"):
        layers.LSTM(3, time_major=True)


def test_order_of_the_lstm_s_states():
    layer = layers.LSTM(3, return_state=True)
    state = [tf.zeros((1, 3)), tf.fill((1, 3), 9.0)]
    _, first, second = layer(zeros(1, 1, 2), initial_state=state)
    assert np.abs(first).max() < 1 < np.abs(second).max()


def test_what_a_call_returns():
    assert layers.GRU(3)(zeros(4, 5, 2)).shape == (4, 3)
    O, last = layers.GRU(3, return_sequences=True, return_state=True)(zeros(4, 5, 2))
    assert O.shape == (4, 5, 3)
    assert last.shape == (4, 3)


def test_what_the_clip_adds_to_the_norm():
    (clipped,), norm = tf.clip_by_global_norm([tf.ones(4, tf.float64)], 1.0)
    assert norm == 2
    assert abs(float(clipped[0]) - 0.5) < 1e-15


def test_hard_sigmoid():
    assert abs(float(activations.hard_sigmoid(tf.constant(1.0))) - (1 / 6 + 1 / 2)) < 1e-6


def test_float64_stays_float64():
    O = layers.LSTM(3, dtype="float64")(np.zeros((4, 5, 2)))
    assert O.dtype == tf.float64


def in_two_directions():
    layer = layers.Bidirectional(layers.SimpleRNN(1, return_sequences=True, return_state=True))
    layer.build((1, 3, 1))
    one, nothing = np.ones((1, 1), "float32"), zeros(1)
    layer.set_weights([one, zeros(1, 1), nothing, -one, zeros(1, 1), nothing])
    O, *last = layer(SEQUENCE[None, :, None])
    return O[0].numpy(), np.concatenate([state[0] for state in last])


def test_weights_of_the_backward_direction():
    layer = layers.Bidirectional(layers.LSTM(3))
    layer.build((None, None, 2))
    assert layer.backward_layer.cell.kernel.shape == (2, 4 * 3)
    assert layer.trainable_weights[3] is layer.backward_layer.cell.kernel


def test_how_two_directions_are_joined():
    assert same(in_two_directions()[0], SIDE_BY_SIDE)
    summed = layers.Bidirectional(layers.GRU(3), merge_mode="sum")
    assert summed(zeros(4, 5, 2)).shape == (4, 3)


def test_last_states_of_two_directions():
    assert same(in_two_directions()[1], LAST)


MASK = np.arange(len(SEQUENCE))[None] < LENGTH


def shorter(sequence):
    """The outputs (T,), the last state, and the gradient by the weight."""
    layer = layers.SimpleRNN(1, return_sequences=True, return_state=True, use_bias=False)
    layer.build((1, 3, 1))
    layer.set_weights([np.ones((1, 1), "float32"), zeros(1, 1)])
    with tf.GradientTape() as tape:
        O, last = layer(sequence[None, :, None], mask=MASK)
        total = tf.reduce_sum(O[:, :LENGTH])
    gradient = tape.gradient(total, layer.cell.kernel.value)
    return O[0, :, 0].numpy(), float(last[0, 0]), float(gradient[0, 0])


def test_how_lengths_are_given():
    layer = layers.LSTM(3, return_sequences=True)
    with_it, without = (layer(SEQUENCE[None, :, None], mask=mask) for mask in (MASK, None))
    assert same(with_it[:, :LENGTH].numpy(), without[:, :LENGTH].numpy())
    assert not same(with_it.numpy(), without.numpy())


def test_outputs_behind_an_end():
    assert abs(shorter(SEQUENCE)[0][LENGTH] - OWN) < 1e-6
    layer = layers.Bidirectional(layers.SimpleRNN(1, return_sequences=True))
    O = layer(SEQUENCE[None, :, None], mask=MASK)
    assert not np.any(O[0, LENGTH]) and np.any(O[0, LENGTH - 1])


def test_last_state_of_a_shorter_example():
    assert abs(shorter(SEQUENCE)[1] - OWN) < 1e-6


def test_nan_in_the_padding():
    O, last, gradient = shorter(UNKNOWN)
    assert np.isfinite([*O, last]).all() and np.isnan(gradient)


def made(rate=RATE):
    """A layer both halves of whose H, (n, T, 2d), are X as it is read."""
    tf.keras.utils.set_random_seed(1)
    layer = layers.SimpleRNN(
        2 * UNITS, activation="relu", return_sequences=True, use_bias=False, dropout=rate
    )
    layer.build((EXAMPLES, STEPS, UNITS))
    eye = np.eye(UNITS, dtype="float32")
    layer.set_weights([np.concatenate([eye, eye], axis=1), zeros(2 * UNITS, 2 * UNITS)])
    return layer


ONES = np.ones((EXAMPLES, STEPS, UNITS), "float32")


def one_layer(rate=RATE, **options):
    return made(rate)(ONES, **options).numpy()


def test_where_dropout_acts():
    O = one_layer(training=True)
    one, other = np.split(O, 2, axis=-1)
    assert np.array_equal(one, other)  # it is X that is dropped, not H
    assert by_chance(mask_of(one, np.ones_like(one))[:, 0])


def test_masks_of_dropout_over_steps():
    mask = one_layer(training=True) != 0
    assert (mask == mask[:, :1]).all() and not (mask == mask[:1]).all()


def test_when_dropout_is_off():
    assert np.array_equal(one_layer(), one_layer(0))
    assert np.array_equal(one_layer(training=False), one_layer(0))


def test_gradient_through_dropout():
    layer = made()
    with tf.GradientTape() as tape:
        O = layer(ONES, training=True)
        total = tf.reduce_sum(O)
    X = O.numpy()[..., :UNITS]
    slope = (O.numpy() > 0).astype("float32")
    found = tape.gradient(total, layer.cell.kernel.value).numpy()
    assert alike(found, np.einsum("nti,ntj->ij", X, slope))


def test_layers_of_different_sizes():
    lower, upper = (layers.LSTM(h, return_sequences=True) for h in (3, 4))
    assert upper(lower(zeros(2, 5, 2))).shape == (2, 5, 4)


def test_projection():
    options = set(signature(layers.LSTM).parameters)
    assert "units" in options and not any("proj" in name for name in options)


def test_peepholes_clip_and_layer_normalisation():
    names = {
        name.lower() for name in dir(layers) if "lstm" in name.lower() or "cell" in name.lower()
    }
    names |= {
        name for cell in (layers.LSTM, layers.LSTMCell) for name in signature(cell).parameters
    }
    assert "lstmcell" in names and "units" in names
    assert not any(word in name for name in names for word in ("peep", "clip", "norm"))

    def block(clip: float) -> tuple[float, ...]:
        """f, C_1 and o of one unit from C_0 = 2, with weights of 0 and peepholes of 1."""
        one, zeros = tf.ones(1), tf.zeros((1, 1))
        found = tf.raw_ops.BlockLSTMV2(
            seq_len_max=1, x=zeros[None], cs_prev=2 + zeros, h_prev=zeros, w=tf.zeros((2, 4)),
            wci=one, wcf=one, wco=one, b=tf.zeros(4), cell_clip=clip, use_peephole=True,
        )  # fmt: skip
        return tuple(float(part.numpy().item()) for part in (found.f, found.cs, found.o))

    def sigmoid(a: float) -> float:
        return 1 / (1 + np.exp(-a))

    f, C_1, o = block(clip=0.0)
    assert (f, C_1) == pytest.approx((sigmoid(2), 2 * sigmoid(2)))
    assert o == pytest.approx(sigmoid(C_1))
    assert block(clip=0.5)[1] == 0.5
