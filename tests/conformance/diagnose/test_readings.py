"""What people hand in: one step of a cell, token ids, rows of a reshape, pooled or masked outputs,
and states, lengths and layers that are used otherwise than they think."""

import numpy as np
import pytest

from tests.conformance.diagnose.port import (
    ask,
    both,
    gru,
    keras_names,
    lstm,
    rnn,
    sigmoid,
    stacked,
    torch_names,
    weights,
)

pytestmark = pytest.mark.once

T, N, D, H = 8, 4, 5, 6
RNG = np.random.RandomState(11)
X = RNG.standard_normal((T, N, D))
EARLIER = RNG.standard_normal((20, N, D))
H0, C0 = (RNG.standard_normal((N, H)) for _ in "HC")
LSTM, ABOVE, BACK = weights("lstm", D, H, 1), weights("lstm", H, H, 2), weights("lstm", D, H, 3)
GRU, RNN = weights("gru", D, H, 4), weights("rnn", D, H, 6)
SQUARE, SECOND = weights("lstm", H, H, 12), weights("lstm", H, H, 13)
FORWARD2, BACK2 = weights("lstm", 2 * H, H, 10), weights("lstm", 2 * H, H, 9)


def run(layer, X, **more):
    return lstm(X, layer[0], layer[1], both(layer[2], layer[3]), **more)


def swap(a):
    return a.swapaxes(0, 1)


def softmax(a, axis):
    e = np.exp(a - a.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


Y = run(LSTM, X)
ONE = torch_names("lstm", LSTM)
CELL = {name.replace("_l0", ""): array for name, array in ONE.items()}
DEEP = ONE | torch_names("lstm", ABOVE, l=1)
TWO = ONE | torch_names("lstm", BACK, reverse="_reverse")
TWO_DEEP = (TWO | torch_names("lstm", FORWARD2, l=1)
            | torch_names("lstm", BACK2, l=1, reverse="_reverse"))  # fmt: skip
EQUAL = torch_names("lstm", SQUARE) | torch_names("lstm", SECOND, l=1)
KERAS = keras_names("lstm", LSTM)
X_H = RNG.standard_normal((T, N, H))
BOTH = np.concatenate([Y, run(BACK, X[::-1])[::-1]], -1)
FINAL = np.stack([Y[-1], BOTH[0, :, H:], run(FORWARD2, BOTH)[-1], run(BACK2, BOTH[::-1])[-1]])
W_Q, B_Q = RNG.uniform(-1, 1, (H, 7)), RNG.uniform(-1, 1, 7)
FC = ONE | {"fc.weight": W_Q.T, "fc.bias": B_Q}
FC_1 = ONE | {"fc.weight": W_Q[:, :1].T, "fc.bias": B_Q[:1]}
LOGITS = Y @ W_Q + B_Q
IDS, E = RNG.randint(0, 30, (T, N)), RNG.standard_normal((30, D))
LETTERS = RNG.randint(0, D, (T, N))
WHOLE = (3 * X).round()

RIGHT = {
    "one step of a cell": ("pytorch", CELL, X[0], run(LSTM, X[:1], H=H0, C=C0)[0],
                           {"H0": H0, "C0": C0}),
    "one step of a GRU's cell": ("pytorch", torch_names("gru", GRU), X[0],
                                 gru(X[:1], *GRU, H=H0)[0], {"H0": H0}),
    "rows of all steps": ("pytorch", FC, X, LOGITS.reshape(-1, 7), {}),
    "rows of all examples": ("keras", KERAS, swap(X), swap(Y).reshape(-1, H), {}),
    "one output without an axis": ("pytorch", FC_1, X, LOGITS[..., 0], {}),
    "one output of the last step": ("pytorch", FC_1, X, LOGITS[-1, :, 0], {}),
    "final states by example": ("pytorch", TWO_DEEP, X, swap(FINAL).reshape(N, -1), {}),
    "whole numbers": ("pytorch", ONE, WHOLE.astype("int64"), run(LSTM, WHOLE), {}),
    "token ids": ("pytorch", ONE | {"embedding.weight": E}, IDS, run(LSTM, E[IDS]), {}),
    "token ids, batch first": ("keras", KERAS | {"embedding.embeddings": E}, IDS.T,
                               swap(run(LSTM, E[IDS])), {}),
    "ids of one-hot vectors": ("pytorch", ONE, LETTERS, run(LSTM, np.eye(D)[LETTERS]), {}),
}  # fmt: skip


def asked(folder, layout, tensors, X, outputs, io, *options):
    return ask(folder, layout, tensors, X, outputs, *options, **io)


@pytest.mark.parametrize("name", RIGHT)
def test_what_has_another_shape_is_still_understood(name, tmp_path):
    code, found = asked(tmp_path, *RIGHT[name])
    assert code == 0 and found["verdict"] == "all right"


LENGTHS = np.array([8, 5, 3, 6])
PADDED = X.copy()
HOLES = X.copy()
HOLES[3:5, 1], HOLES[6:, 2], HOLES[:2, 3] = 0, 0, 0
for k, length in enumerate(LENGTHS):
    PADDED[length:, k] = 0


def cut(Y):
    """Zeros behind the ends."""
    return np.where((np.arange(T)[:, None] < LENGTHS)[..., None], Y, 0)


def masked():
    """Keras' Masking: the state stays, and the output is repeated."""
    found = np.zeros((T, N, H))
    for k in range(N):
        live = np.any(HOLES[:, k], axis=-1)
        made = run(LSTM, HOLES[live, k][:, None])[:, 0]
        found[:, k] = np.concatenate([np.zeros((1, H)), made])[np.cumsum(live)]
    return found


def cells(layer, X):
    """The final C, by its equation: H is o ⊙ tanh(C)."""
    H, C, (W, U, b_x, b_h) = np.zeros((N, 6)), np.zeros((N, 6)), layer
    for X_t in X:
        a = {k: X_t @ W[k] + H @ U[k] + b_x[k] + b_h[k] for k in "ifgo"}
        C = sigmoid(a["f"]) * C + sigmoid(a["i"]) * np.tanh(a["g"])
        H = sigmoid(a["o"]) * np.tanh(C)
    return C


STATEFUL = "the initial state is another than zero: from step 2 on"
WRONG = {
    "state of an earlier call": ("pytorch", ONE, X, run(LSTM, np.concatenate([EARLIER, X]))[20:],
                                 STATEFUL),
    "state of an earlier call, GRU": ("pytorch", torch_names("gru", GRU), X,
                                      gru(np.concatenate([EARLIER, X]), *GRU)[20:], STATEFUL),
    "a random state": ("pytorch", torch_names("rnn", RNN), X,
                       rnn(X, RNN[0], RNN[1], both(RNN[2], RNN[3]), H=H0), STATEFUL),
    "a mask with holes": ("keras", KERAS, swap(HOLES), swap(masked()), "X is zero are masked"),
    "a mask, last step": ("keras", KERAS, swap(HOLES), masked()[-1], "X is zero are masked"),
    "step T of shorter examples": ("pytorch", ONE, PADDED, cut(run(LSTM, PADDED))[-1],
                                   "step T is taken, which is zero behind their end"),
    "a softmax over the steps": ("pytorch", FC, X, softmax(LOGITS, 0), "softmax over the steps"),
    "a softmax over the batch": ("pytorch", FC, X, softmax(LOGITS, 1), "softmax over the examples"),
    "a log-softmax over the batch": ("pytorch", FC, X, np.log(softmax(LOGITS, 1)),
                                     "log-softmax over the examples"),
    "directions reshaped": ("pytorch", TWO, X,
                            np.stack([Y, BOTH[..., H:]], 1).reshape(T, N, -1), "as ONNX' Y"),
    "features reversed": ("pytorch", ONE, X, run(LSTM, X[..., ::-1]), "in reverse order (BGR"),
    "features and steps": ("keras", KERAS, swap(X), swap(run(LSTM, swap(
        swap(X).transpose(0, 2, 1).copy().reshape(N, T, D)))), "X (n, d, T) is reshaped (view)"),
    "state above the input": ("tf1", {
        "lstm_cell/kernel": np.vstack([stacked(LSTM[1], "igfo"), stacked(LSTM[0], "igfo")]),
        "lstm_cell/bias": stacked(both(LSTM[2], LSTM[3]), "igfo"),
    }, swap(X), swap(run(LSTM, X, forget=1)), "where the file has the state first"),
    "mean of the steps": ("pytorch", ONE, X, Y.mean(0), "the mean of all steps"),
    "largest of the steps": ("pytorch", ONE, X, Y.max(0), "the largest of all steps"),
    "steps of one example": ("pytorch", FC, X, LOGITS[:, -1], "all steps of the last example"),
    "C for H": ("pytorch", ONE, X, cells(LSTM, X), "read from C instead of H"),
    "C for H, as states": ("pytorch", ONE, X, cells(LSTM, X)[None], "read from C instead of H"),
    "final states, reshaped": ("pytorch", TWO_DEEP, X, FINAL.reshape(N, -1), "reshaped (view)"),
    "final states, examples first": ("pytorch", TWO_DEEP, X, swap(FINAL),
                                     "the final H (4, n, 6) have their first two axes exchanged"),
    "final states of layer 1": ("pytorch", TWO_DEEP, X, np.concatenate([*FINAL[:2]], -1),
                                "read from the layer below the last"),
    "layers exchanged": ("pytorch", EQUAL, X_H, run(SQUARE, run(SECOND, X_H)),
                         "the layers are stacked in reverse order"),
    "one layer twice": ("pytorch", EQUAL, X_H, run(SQUARE, run(SQUARE, X_H)),
                        "every layer has the weights of layer 1"),
    "residual": ("pytorch", DEEP, X, run(ABOVE, Y) + Y, "layers above the first add their input"),
    "X scaled": ("pytorch", ONE, X, run(LSTM, X / 255), "X is divided by 255"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_used_otherwise_is_named(name, tmp_path):
    *question, said = WRONG[name]
    code, found = ask(tmp_path, *question)
    assert code == 1
    assert said in found["matches"][0]["says"]


@pytest.mark.parametrize("given", [True, False])
def test_a_backward_direction_that_reads_padding_is_named(given, tmp_path):
    outputs = np.concatenate([cut(run(LSTM, PADDED)), cut(run(BACK, PADDED[::-1])[::-1])], -1)
    lengths = {"lengths": LENGTHS} if given else {}
    code, found = ask(tmp_path, "pytorch", TWO, PADDED, outputs, **lengths)
    assert code == 1
    assert "the backward direction reads the padding" in found["matches"][0]["says"]


@pytest.mark.parametrize(
    ("name", "after"),
    [("sigmoid", sigmoid), ("tanh", np.tanh), ("relu", lambda a: np.maximum(a, 0))],
)
def test_what_outputs_went_through_can_be_stated(name, after, tmp_path):
    question = (tmp_path, "pytorch", FC, X, after(LOGITS))
    code, found = ask(*question)
    assert code == 1 and found["verdict"] == "another option"
    assert found["matches"][0]["options"] == [f"behind={name}"]
    assert ask(*question, "--option", f"behind={name}")[0] == 0
    assert ask(*question, "--option", "behind=none")[0] == 1
    assert ask(*question, "--option", "behind=nothing")[0] == 2


def test_a_difference_that_dies_away_is_an_initial_state(tmp_path):
    layers = [weights("lstm", d, H, 30 + d, scale=0.3) for d in (D, H)]
    file = torch_names("lstm", layers[0]) | torch_names("lstm", layers[1], l=1)
    made = run(layers[1], run(layers[0], np.concatenate([5 * EARLIER, X])))[20:]
    code, found = ask(tmp_path, "pytorch", file, X, made)
    assert code == 1 and found["verdict"] == "unknown"
    assert "the difference dies away" in "\n".join(found["seen"])


def test_outputs_of_another_step_are_seen(tmp_path):
    code, found = ask(tmp_path, "pytorch", ONE, X, Y[-2])
    assert code == 1
    assert f"they are the outputs of step {T - 1}" in found["seen"]


def test_final_states_that_nothing_explains_are_described(tmp_path):
    code, found = ask(tmp_path, "pytorch", TWO_DEEP, X, np.sin(3 * FINAL))
    assert code == 1 and found["verdict"] == "unknown"


def test_the_last_call_may_have_had_a_dropout(tmp_path):
    code, found = ask(tmp_path, "pytorch", DEEP, X, run(ABOVE, Y * (RNG.rand(T, N, H) > 0.5) * 2))
    assert code == 1
    assert "a dropout is left on (call eval(), or training=False)" in found["next"][-1]


def test_a_prefix_that_no_tensor_has_is_bad_input(tmp_path, capsys):
    assert ask(tmp_path, "pytorch", ONE, X, Y, "--prefix", "nothing")[0] == 2
    assert "--prefix nothing: expected the beginning of tensors' names" in capsys.readouterr().err


def test_whole_numbers_that_are_no_ids_are_bad_input(tmp_path, capsys):
    assert asked(tmp_path, "pytorch", ONE, IDS + 100, Y, {})[0] == 2
    assert "an embedding (…, 5) in the file of weights" in capsys.readouterr().err


def test_two_dense_layers_are_named_where_outputs_do_not_fit(tmp_path, capsys):
    more = {"fc1.weight": np.ones((9, H)), "fc2.weight": np.ones((7, 9))}
    assert ask(tmp_path, "pytorch", ONE | more, X, LOGITS)[0] == 2
    assert "fc1.weight, fc2.weight are not used" in capsys.readouterr().err


@pytest.mark.parametrize("axis", [0, None])
def test_weights_in_int8_are_a_precision(axis, tmp_path):
    def rounded(M):
        scale = np.max(np.abs(M), axis=axis, keepdims=True) / 127
        return np.rint(M / scale) * scale

    order, parts = "ifgo", []
    for part in LSTM[:2]:
        whole = rounded(stacked(part, order))
        parts.append(dict(zip(order, np.split(whole, 4, axis=1), strict=True)))
    code, found = ask(tmp_path, "pytorch", ONE, X, lstm(X, *parts, both(LSTM[2], LSTM[3])))
    assert code == 1 and found["verdict"] == "precision"
    assert found["precision"]["name"].startswith("int8 weights")
