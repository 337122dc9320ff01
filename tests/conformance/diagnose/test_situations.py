"""Situations of people who port networks: each is answered by its cause, and never "all right"."""

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

T, N, D, H = 7, 3, 4, 5
RNG = np.random.RandomState(0)
X = RNG.standard_normal((T, N, D))
LSTM, GRU, RNN = weights("lstm", D, H), weights("gru", D, H), weights("rnn", D, H)
W, U, B_X, B_H = LSTM
B = both(B_X, B_H)
Y = lstm(X, W, U, B)
NOTHING = {gate: 0 * array for gate, array in GRU[3].items()}
SUM = both(GRU[2], GRU[3])
BACK = weights("lstm", D, H, 9)
Y_BACK = lstm(X[::-1], BACK[0], BACK[1], both(BACK[2], BACK[3]))[::-1]
TWO = torch_names("lstm", LSTM) | torch_names("lstm", BACK, reverse="_reverse")
TORCH, KERAS = torch_names("lstm", LSTM), keras_names("lstm", LSTM)
PEEP = {gate: RNG.uniform(-1, 1, H) for gate in "ifo"}
TF1 = {
    "rnn/lstm_cell/kernel": np.vstack([stacked(W, "igfo"), stacked(U, "igfo")]),
    "rnn/lstm_cell/bias": stacked(B, "igfo"),
}
TF1_PEEP = TF1 | {f"rnn/lstm_cell/w_{gate}_diag": array for gate, array in PEEP.items()}
TF1_GRU = {
    "rnn/gru_cell/gates/kernel": np.vstack([stacked(GRU[0], "rz"), stacked(GRU[1], "rz")]),
    "rnn/gru_cell/gates/bias": stacked(SUM, "rz"),
    "rnn/gru_cell/candidate/kernel": np.vstack([GRU[0]["n"], GRU[1]["n"]]),
    "rnn/gru_cell/candidate/bias": SUM["n"],
}
ONNX = {
    "W": stacked(W, "iofg", rows=True)[None],
    "R": stacked(U, "iofg", rows=True)[None],
    "B": np.concatenate([stacked(B_X, "iofg"), stacked(B_H, "iofg")])[None],
}
ONNX_PEEP = ONNX | {"P": np.concatenate([PEEP[gate] for gate in "iof"])[None]}
CUDNN = {
    "lstm/kernel": np.hstack([W[gate].T.reshape(D, H) for gate in "ifgo"]),
    "lstm/recurrent_kernel": np.hstack([U[gate].T for gate in "ifgo"]),
    "lstm/bias": np.concatenate([stacked(B_X, "ifgo"), stacked(B_H, "ifgo")]),
}
KERAS1 = {
    f"lstm_1_{kind}_{letter}": part[gate]
    for gate, letter in zip("ifgo", "ifco", strict=True)
    for kind, part in (("W", W), ("U", U), ("b", B))
}
DL4J = {"0_W": stacked(W, "gfoi"), "0_RW": stacked(U, "gfoi"), "0_b": stacked(B, "gfoi")}
COREML = {
    "weight_ih": stacked(W, "ifog", rows=True),
    "weight_hh": stacked(U, "ifog", rows=True),
    "bias": stacked(B, "ifog"),
}
NCNN = {
    "weight_xc_data": stacked(W, "ifog", rows=True),
    "weight_hc_data": stacked(U, "ifog", rows=True),
    "bias_c_data": stacked(B, "ifog"),
}
ABOVE = weights("lstm", H, 3, 5)
Y_ABOVE = lstm(Y, ABOVE[0], ABOVE[1], both(ABOVE[2], ABOVE[3]))
W_Q, B_Q = RNG.uniform(-1, 1, (H, 6)), RNG.uniform(-1, 1, 6)
FC = TORCH | {"fc.weight": W_Q.T, "fc.bias": B_Q}
LOGITS = Y @ W_Q + B_Q
LOG_SOFTMAX = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
UNITS = {name: a.reshape(4, H, -1).swapaxes(0, 1).reshape(a.shape) for name, a in TORCH.items()}


def swap(a):
    return a.swapaxes(0, 1)


def relu(a):
    return np.maximum(a, 0)


def hard(a):
    return np.clip(0.2 * a + 0.5, 0, 1)


RIGHT = {
    "tf1": ("tf1", TF1, swap(X), swap(lstm(X, W, U, B, forget=1))),
    "tf1 gru": ("tf1", TF1_GRU, swap(X),
                swap(gru(X, GRU[0], GRU[1], SUM, NOTHING, reset="before"))),
    "tf1 peepholes": ("tf1", TF1_PEEP, swap(X), swap(lstm(X, W, U, B, forget=1, peep=PEEP))),
    "onnx peepholes": ("onnx", ONNX_PEEP, X, lstm(X, W, U, B, peep=PEEP)),
    "cudnn": ("cudnn", CUDNN, swap(X), swap(Y)),
    "keras1": ("keras1", KERAS1, swap(X), swap(lstm(X, W, U, B, gate=hard))),
    "dl4j": ("dl4j", DL4J, swap(X), swap(Y)),
    "coreml": ("coreml", COREML, X, Y),
    "ncnn": ("ncnn", NCNN, X, Y),
    "paddle": ("paddle", TORCH, swap(X), swap(Y)),
    "one cell": ("pytorch", {k.replace("_l0", ""): a for k, a in TORCH.items()}, X, Y),
    "sizes, keras": ("keras", keras_names("lstm", LSTM, "lstm") | keras_names("lstm", ABOVE,
                     "lstm_1"), swap(X), swap(Y_ABOVE)),
    "sizes, pytorch": ("pytorch", torch_names("lstm", LSTM, "lstm1.")
                       | torch_names("lstm", ABOVE, "lstm2."), X, Y_ABOVE),
    "bidirectional": ("pytorch", TWO, X, np.concatenate([Y, Y_BACK], -1)),
    "bidirectional, keras": ("keras", keras_names("lstm", LSTM, "bidirectional.forward_lstm.cell")
                             | keras_names("lstm", BACK, "bidirectional.backward_lstm.cell_1"),
                             swap(X), swap(np.concatenate([Y, Y_BACK], -1))),
    "keras' own file": ("keras", {
        f"layers/lstm/cell/vars/{k}": array for k, array in enumerate(KERAS.values())
    } | {"layers/dense/vars/0": W_Q, "layers/dense/vars/1": B_Q}, swap(X), swap(LOGITS)),
    "last step": ("pytorch", TORCH, X, Y[-1]),
    "last step, two directions": ("pytorch", TWO, X, np.concatenate([Y[-1], Y_BACK[0]], -1)),
    "final states": ("pytorch", TWO, X, np.stack([Y[-1], Y_BACK[0]])),
    "onnx Y": ("onnx", ONNX, X, Y[:, None]),
    "an output layer": ("pytorch", FC, X, LOGITS),
    "log-softmax": ("pytorch", FC, X, LOG_SOFTMAX),
    "log-softmax of the last step": ("pytorch", FC, X, LOG_SOFTMAX[-1]),
    "one example without an axis": ("pytorch", TORCH, X[:, 0], Y[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_the_framework_computes_is_all_right(name, tmp_path):
    code, found = ask(tmp_path, *RIGHT[name])
    assert code == 0 and found["verdict"] == "all right"


LONG = np.concatenate([X, X])
BREAK = np.concatenate([lstm(X[:3], W, U, B), lstm(X[3:6], W, U, B), lstm(X[6:], W, U, B)])
MASK = np.random.RandomState(4).rand(T, N, H) > 0.3
H0, C0 = (RNG.standard_normal((1, N, H)) for _ in "HC")
STATES = {"H0": H0, "C0": C0}
MERGED = (lstm(X[::-1], W, U, B)[::-1], lstm(X, BACK[0], BACK[1], both(BACK[2], BACK[3])))

WRONG = {
    "no forget bias": ("tf1", TF1, swap(X), swap(Y), "forget_bias=0.0"),
    "tf1 gru resets after": ("tf1", TF1_GRU, swap(X), swap(gru(X, GRU[0], GRU[1], SUM, NOTHING)),
                             "acts after the matrix product"),
    "no peepholes": ("tf1", TF1_PEEP, swap(X), swap(lstm(X, W, U, B, forget=1)),
                     "the peepholes are left out"),
    "order of peepholes": ("onnx", ONNX_PEEP, X, lstm(X, W, U, B, peep={
        "i": PEEP["i"], "f": PEEP["o"], "o": PEEP["f"]}), "are taken for those of i, o, f"),
    "cudnn's memory": ("keras", CUDNN, swap(X), swap(Y), "every matrix's blocks are reshaped"),
    "interleaved": ("pytorch", UNITS, X, Y, "unit by unit"),
    "relu of C": ("keras", KERAS, swap(X), swap(lstm(X, W, U, B, out=relu)), "output C is relu"),
    "no tanh of C": ("pytorch", TORCH, X, lstm(X, W, U, B, out=lambda a: a), "H = o ⊙ C"),
    "activation": ("keras", KERAS, swap(X), swap(lstm(X, W, U, B, g=relu, out=relu)),
                   "activation=relu"),
    "hard tanh": ("pytorch", TORCH, X, lstm(X, W, U, B, g=lambda a: np.clip(a, -1, 1),
                                            out=lambda a: np.clip(a, -1, 1)), "hard tanh"),
    "hard sigmoid": ("keras", KERAS, swap(X), swap(lstm(X, W, U, B, gate=hard)), "slope 0.2"),
    "forget bias later": ("keras", KERAS, swap(X), swap(lstm(X, W, U, B, after=1)),
                          "added after the sigmoid"),
    "cell clip": ("pytorch", TORCH, X, lstm(X, W, U, B, cell_clip=0.37), "clipped to ±0.37"),
    "clip": ("onnx", ONNX, X, lstm(X, W, U, B, clip=0.8), "clipped to ±0.8"),
    "state kept": ("pytorch", TORCH, X, lstm(LONG, W, U, B)[T:], "kept from an earlier call"),
    "state lost": ("pytorch", TORCH, X, BREAK, "zero again after every 3 steps"),
    "dropout": ("pytorch", TORCH, X, Y * MASK / 0.7, "dropout of rate 0.3 is left on"),
    "directions exchanged": ("pytorch", TWO, X, np.concatenate(MERGED, -1),
                             "the two directions are exchanged"),
    "backward first": ("pytorch", TWO, X, np.concatenate([Y_BACK, Y], -1), "backward first"),
    "mean": ("pytorch", TWO, X, (Y + Y_BACK) / 2, "averaged"),
    "forward only": ("pytorch", TWO, X, Y, "the backward one is left out"),
    "not turned back": ("pytorch", TWO, X, np.concatenate([Y, Y_BACK[::-1]], -1),
                        "stay in the order in which it reads"),
    "last step of both": ("pytorch", TWO, X, np.concatenate([Y[-1], Y_BACK[-1]], -1),
                          "has read one step only"),
    "output bias": ("pytorch", FC, X, LOGITS - B_Q, "the output layer's bias is left out"),
    "axes of the outputs": ("pytorch", TORCH, X, swap(Y), "the other way round than X"),
    "no recurrent bias": ("pytorch", torch_names("rnn", RNN), X, rnn(X, RNN[0], RNN[1], RNN[2]),
                          "the recurrent bias"),
    "hard gates of a gru": ("keras", keras_names("gru", GRU), swap(X),
                            swap(gru(X, *GRU, gate=hard)), "hard sigmoid of slope 0.2"),
    "a sigmoid rnn": ("mxnet", {f"l0_{a}_{b}": array for (a, b), array in zip(
        (("i2h", "weight"), ("h2h", "weight"), ("i2h", "bias"), ("h2h", "bias")),
        torch_names("rnn", RNN).values(), strict=True)}, X,
        rnn(X, RNN[0], RNN[1], both(RNN[2], RNN[3]), phi=sigmoid), "φ is sigmoid, not relu"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_the_framework_does_not_compute_is_named(name, tmp_path):
    *question, said = WRONG[name]
    code, found = ask(tmp_path, *question)
    assert code == 1
    assert said in found["matches"][0]["says"]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"H": C0[0], "C": H0[0]}, "the initial H and C are exchanged"),
        ({"H": H0[0].reshape(H, N).T, "C": C0[0].reshape(H, N).T}, "reshaped where it should be"),
        ({}, "the initial state is ignored"),
        ({"H": H0[0]}, "the initial C is ignored"),
    ],
)
def test_a_state_that_is_read_wrongly_is_named(start, said, tmp_path):
    code, found = ask(tmp_path, "pytorch", TORCH, X, lstm(X, W, U, B, **start), **STATES)
    assert code == 1
    assert said in found["matches"][0]["says"]


@pytest.mark.parametrize("turn", [False, True])
def test_lengths_are_seen_in_the_outputs(turn, tmp_path):
    zero = Y.copy()
    for k, length in enumerate((7, 4, 2)):
        zero[length:, k] = 0
    question = (swap(X), swap(zero)) if turn else (X, zero)
    code, found = ask(tmp_path, "pytorch", TORCH, *question)
    assert code == 1
    assert "the examples have the lengths 7, 4, 2 and the outputs" in found["matches"][0]["says"]


def test_padding_in_front_is_seen_in_the_outputs(tmp_path):
    padded = X.copy()
    padded[:2, 1] = 0
    masked = lstm(padded, W, U, B)
    masked[:2, 1] = 0
    masked[2:, 1] = lstm(X[2:], W, U, B)[:, 1]
    code, found = ask(tmp_path, "keras", KERAS, swap(padded), swap(masked))
    assert code == 1
    assert "the first 0, 2, 0 steps of the examples are padding" in found["matches"][0]["says"]


def test_an_initial_state_in_the_file_is_used(tmp_path):
    file = TORCH | {"h0": H0[:, :1], "c0": C0[:, :1]}
    start = {"H": np.repeat(H0[0, :1], N, 0), "C": np.repeat(C0[0, :1], N, 0)}
    code, found = ask(tmp_path, "pytorch", file, X, lstm(X, W, U, B, **start))
    assert code == 1
    assert "the initial state is h0 and c0 of the file" in found["matches"][0]["says"]
    assert not any(note.startswith("Not used") for note in found["notes"])


def test_an_option_with_a_number_is_checked(tmp_path):
    question = ("onnx", ONNX, X, lstm(X, W, U, B, clip=0.8), "--option")
    assert ask(tmp_path, *question, "clip=0.8")[0] == 0
    assert ask(tmp_path, *question, "clip=0.9")[0] == 1


def test_lengths_that_are_given_are_used_as_the_framework_uses_them(tmp_path):
    lengths = np.array([7, 4, 2])
    zero = Y.copy()
    for k, length in enumerate(lengths):
        zero[length:, k] = 0
    assert ask(tmp_path, "pytorch", TORCH, X, zero, lengths=lengths)[0] == 0
    assert ask(tmp_path, "pytorch", TORCH, X, Y, lengths=lengths)[0] == 1
    assert ask(tmp_path, "keras", KERAS, swap(X), swap(zero), lengths=lengths)[0] == 1


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([7, 4], "expected 3, one for each example, found 2"),
        ([7, 0, 2], "expected 1 to 7, the steps that there are, found [7, 0, 2]"),
        ([7, 8, 2], "expected 1 to 7, the steps that there are, found [7, 8, 2]"),
        ([7, 2.5, 2], "expected whole numbers, found [7.0, 2.5, 2.0]"),
        ([], "expected 3, one for each example, found 0"),
    ],
)
def test_bad_lengths_are_bad_input(lengths, said, tmp_path, capsys):
    assert ask(tmp_path, "pytorch", TORCH, X, Y, lengths=np.array(lengths))[0] == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_two_networks_in_one_file_are_a_choice(tmp_path, capsys):
    other = weights("lstm", H, H, 3)
    two = torch_names("lstm", LSTM, "encoder.") | torch_names("lstm", other, "decoder.")
    assert ask(tmp_path, "pytorch", two, X, Y)[0] == 2
    assert "--prefix encoder" in capsys.readouterr().err
    code, found = ask(tmp_path, "pytorch", two, X, Y, "--prefix", "encoder")
    assert code == 0 and len(found["unused"]) == 4
    assert "The answer is about the part of the file that was used." in found["notes"]
    deep = lstm(Y, other[0], other[1], both(other[2], other[3]))
    assert ask(tmp_path, "pytorch", two, X, deep, "--prefix", "encoder", "decoder")[0] == 0


@pytest.mark.parametrize(
    ("name", "shape", "guess"),
    [
        ("rnn.ln.weight", (9,), "a layer normalisation"),
        ("fc.weight", (6, H), "an output layer"),
        ("embedding.weight", (30, D), "an embedding"),
        ("peephole", (3, H), "peepholes"),
        ("weight_hr_l0_reverse", (2, 2), "a backward direction"),
        ("bn.running_mean", (H,), "batch normalisation"),
        ("what", (2, 3, 4), "nothing that is known here"),
    ],
)
def test_a_tensor_that_is_not_used_is_named_with_a_guess(name, shape, guess, tmp_path, capsys):
    code, found = ask(tmp_path, "pytorch", TORCH | {name: np.ones(shape)}, X, Y)
    if name == "weight_hr_l0_reverse":
        assert code == 2, "a layer's tensor that lacks its others is no leftover"
        return
    assert found["unused"] == {name: guess}
    assert f"Not used: {name} {shape}: {guess}." in capsys.readouterr().out


def seen(found: dict) -> str:
    return "\n".join(found["seen"])


def test_when_nothing_matches_the_difference_is_described(tmp_path):
    late = Y.copy()
    late[4:, 1] += 0.1
    code, found = ask(tmp_path, "pytorch", TORCH, X, late)
    assert code == 1 and found["verdict"] == "unknown" and found["matches"] == []
    assert "they agree up to step 4; the difference begins at step 5, example 2" in seen(found)
    assert "examples 1, 3 agree throughout" in seen(found)
    assert "the examples agree up to steps 7, 4, 7" in seen(found)
    assert "times what rounding makes" in seen(found)
    assert found["next"][0] == "the state after step 4 as H0 and one step more, T = 1"
    assert "the same call once more: if its outputs are others, a dropout" in found["next"][1]
    assert found["command"].endswith("--layout pytorch --io NEXT.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda O: 2 * O, "they agree up to a factor 2"),
        (lambda O: 3 * O + 0.5, "a factor 3 and an offset 0.5"),
        (lambda O: O[..., [3, 1, 4, 0, 2]], "putting the units into the order 4, 2, 5, 1, 3"),
        (lambda O: O[:, [1, 2, 0]], "putting the examples into the order 2, 3, 1"),
        (lambda O: 0 * O, "all outputs are zero"),
        (lambda O: O + 1e-3 * np.sin(40 * O), "everywhere: a lower precision, or a small term"),
    ],
)
def test_what_a_difference_looks_like_is_said(change, said, tmp_path):
    code, found = ask(tmp_path, "pytorch", TORCH, X, change(Y))
    assert code == 1
    assert said in seen(found)


def test_near_conventions_are_told_with_their_distance(tmp_path):
    code, found = ask(tmp_path, "pytorch", TORCH, X, lstm(X, W, U, B, out=lambda a: 0.9 * a))
    assert code == 1 and found["verdict"] == "unknown"
    assert any("H = o ⊙ C" in near["says"] for near in found["nearest"])
    assert all(near["error"] > 1e-5 for near in found["nearest"])


def half(a):
    return a.astype("float16").astype("float64")


def test_float16_is_told_from_a_wrong_network(tmp_path):
    parts = [{gate: half(array) for gate, array in part.items()} for part in (W, U, B)]
    outputs = half(lstm(half(X), *parts))
    code, found = ask(tmp_path, "pytorch", TORCH, X, outputs)
    assert code == 1 and found["verdict"] == "precision"
    assert found["precision"]["name"] in ("float16", "float16 weights")
    code, found = ask(tmp_path, "pytorch", TORCH, X, outputs, "--dtype", found["precision"]["name"])
    assert code == 0 and found["verdict"] == "all right in this precision"


def test_float32_is_told_in_a_file_of_float64(tmp_path):
    outputs = Y.astype("float32").astype("float64")
    code, found = ask(tmp_path, "pytorch", TORCH, X, outputs, dtype="float64")
    assert code == 1 and found["precision"]["name"] == "float32"
    assert (
        ask(tmp_path, "pytorch", TORCH, X, outputs, "--dtype", "float32", dtype="float64")[0] == 0
    )


def test_too_few_data_are_undecided_and_not_all_right(tmp_path, capsys):
    one = lstm(X[:1], W, U, B)
    code, found = ask(tmp_path, "pytorch", TORCH, X[:1], one)
    assert code == 1 and found["verdict"] == "undecided"
    said = capsys.readouterr().out
    assert "what would decide it: more than one step, an initial state H0" in said
    assert (
        ask(tmp_path, "pytorch", TORCH, X[:1], lstm(X[:1], W, U, B, H0[0], C0[0]), **STATES)[0] == 0
    )


def test_equal_weights_decide_no_order_of_gates(tmp_path, capsys):
    same = {name: np.full(array.shape, 0.3) for name, array in TORCH.items()}
    parts = [{gate: np.full(array.shape, 0.3) for gate, array in part.items()} for part in LSTM]
    outputs = lstm(X, parts[0], parts[1], both(parts[2], parts[3]))
    code, found = ask(tmp_path, "pytorch", same, X, outputs)
    assert code == 1 and found["verdict"] == "undecided"
    assert "the gates are in one of 23 other orders" in capsys.readouterr().out
