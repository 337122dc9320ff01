"""Files that Keras and TensorFlow themselves have saved are read as the networks that they are."""

import numpy as np
import pytest

from tests.commands import beside
from tests.conventions.saved import all_right, asked, numbers

keras = pytest.importorskip("keras", reason="needs Keras")
import tensorflow as tf
from keras import layers as L

# Keras 3.15 turns its variables into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X = numbers(3, 6, 4)


def stack(*layers):
    return made(keras.Sequential([L.Input((None, 4)), *layers]))


def made(model):
    for weight in model.weights:
        if len(weight.shape):
            weight.assign(numbers(*weight.shape))
    return model


def full(kind, *args, **options):
    return kind(*args, return_sequences=True, **options)


MODELS = {
    "a stack": lambda: stack(full(L.LSTM, 5, name="z"), L.Dropout(0.2), full(L.LSTM, 5, name="a"),
                             L.Dense(3)),
    "two directions": lambda: stack(L.Bidirectional(full(L.GRU, 5), name="b_9"),
                                    L.Bidirectional(full(L.GRU, 5), name="b_1"), L.Dense(3)),
    "backwards": lambda: stack(full(L.GRU, 5, go_backwards=True, reset_after=False,
                                    recurrent_activation="hard_sigmoid")),
    "relu": lambda: stack(full(L.SimpleRNN, 5, activation="relu"), L.Dense(3)),
    "a cell": lambda: stack(L.RNN(L.LSTMCell(5), return_sequences=True), L.Dense(3)),
    "a model in a model": lambda: stack(keras.Sequential([full(L.LSTM, 5), full(L.LSTM, 5)]),
                                        L.Dense(3)),
}  # fmt: skip


def of(model):
    return np.asarray(model(X))


@pytest.mark.parametrize(
    ("name", "end"),
    [*((name, "keras") for name in MODELS), ("two directions", "h5"), ("backwards", "h5")],
)
def test_a_model_needs_no_option(name, end, tmp_path):
    model = MODELS[name]()
    model.save(tmp_path / f"w.{end}")
    said = all_right(tmp_path / f"w.{end}", X, of(model))
    assert "does not say" not in said


def test_weights_alone_need_the_options_that_are_not_usual(tmp_path):
    model = MODELS["backwards"]()
    model.save_weights(tmp_path / "w.weights.h5")
    assert asked(tmp_path / "w.weights.h5", X, of(model))[0] == 1
    words = ("--option", "go_backwards=True", "recurrent_activation=hard_sigmoid")
    said = all_right(tmp_path / "w.weights.h5", X, of(model), *words)
    assert "The file does not say activation:" in said


def test_branches_are_asked_about(tmp_path, end="keras"):
    start = L.Input((None, 4))
    a, b = full(L.LSTM, 5, name="left"), full(L.LSTM, 5, name="right")
    model = made(keras.Model(start, [a(start), b(start)]))
    model.save(tmp_path / f"w.{end}")
    outputs = np.asarray(model(X)[1])
    code, said = asked(tmp_path / f"w.{end}", X, outputs)
    assert code == 2 and "--prefix left or --prefix right" in said
    all_right(tmp_path / f"w.{end}", X, outputs, "--prefix", "right")


def test_a_checkpoint_by_objects(tmp_path):
    """By a command that has to import TensorFlow; for those below it is there already."""
    model = MODELS["a stack"]()
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "w"))
    folder = tmp_path / path.rsplit("/", 1)[1]
    all_right(folder, X, of(model))


def test_the_variables_of_a_saved_model(tmp_path):
    model = MODELS["a stack"]()
    tf.saved_model.save(model, str(tmp_path / "w"))
    all_right(tmp_path / "w", X, of(model), by=beside("tensorflow"))


def test_a_saved_model_that_only_counts_its_variables_is_refused(tmp_path):
    """As Keras 3 exports one: what each is, nothing in it tells."""
    model = MODELS["a stack"]()
    model.export(str(tmp_path / "w"), verbose=False)
    code, said = asked(tmp_path / "w", X, of(model), by=beside("tensorflow"))
    assert code == 2 and said.count("\n") == 1 and "names that one framework gives" in said


def test_a_checkpoint_by_names_as_tensorflow_1_wrote_it(tmp_path):
    kernel, bias = numbers(9, 20), numbers(20)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in (("kernel", kernel), ("bias", bias)):
            tf.compat.v1.get_variable(f"rnn/basic_lstm_cell/{name}", initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "w.ckpt"))
    layer = full(L.LSTM, 5)
    layer.build((None, None, 4))
    # TensorFlow 1 stacks i, g, f, o and adds 1 to f.
    i, g, f, o = np.split(kernel, 4, axis=1)
    whole = np.hstack([i, f, g, o])
    b_i, b_g, b_f, b_o = np.split(bias, 4)
    layer.set_weights([whole[:4], whole[4:], np.concatenate([b_i, b_f + 1, b_g, b_o])])
    outputs = np.asarray(layer(X)).swapaxes(0, 1)
    all_right(tmp_path / "w.ckpt", np.ascontiguousarray(X.swapaxes(0, 1)), outputs,
              "--option", "time_major=True", by=beside("tensorflow"))  # fmt: skip


def test_a_cut_checkpoint_is_refused(tmp_path):
    path = tf.train.Checkpoint(model=MODELS["a stack"]()).save(str(tmp_path / "w"))
    data = tmp_path / (path.rsplit("/", 1)[1] + ".data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:100])
    cut = tmp_path / path.rsplit("/", 1)[1]
    code, said = asked(cut, X, X, by=beside("tensorflow"))
    assert code == 2 and said.count("\n") == 1
