"""The file of a capture: what is written is read, and what is none is refused in a line."""

import json

import numpy as np
import pytest

from common.capture import Call, Capture, Layer, read_capture, unique, write_capture
from common.errors import BadInput
from common.weights import read_arrays, write_arrays

TENSORS = [[{"W": "w", "U": "u"}]]


def layer(name: str = "a", steps: int = 2, seed: int = 0, **more) -> Layer:
    rng = np.random.RandomState(seed)
    arrays = {"X": rng.rand(steps, 1, 2), "outputs": rng.rand(steps, 1, 2),
              "H0": rng.rand(1, 1, 2), "H": rng.rand(1, 1, 2)}  # fmt: skip
    weights = {"w": rng.rand(2, 2), "u": rng.rand(2, 2)}
    return Layer(name, "RNN", "pytorch", "rnn", {}, TENSORS, weights, calls=[Call(arrays)], **more)


def written(path, *layers, **more):
    write_capture(path, Capture("numpy", "2", "cpu", list(layers), **more))
    return read_capture(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.safetensors"


def test_what_is_written_is_read(path):
    one = layer(notes=["a note"], gradients={"w": np.ones((2, 2))})
    found = written(path, one, other={"head": np.ones(3)}, loss=0.5)
    (read,) = found.layers
    assert (found.framework, found.loss, read.notes) == ("numpy", 0.5, ["a note"])
    assert np.array_equal(read.arrays["X"], one.arrays["X"])
    assert np.array_equal(read.weights["u"], one.weights["u"])
    assert set(read.gradients) == {"w"} and set(found.other) == {"head"}


def test_calls_that_go_on_where_the_last_ended_are_one_sequence(path):
    one, next_ = layer(), layer(seed=1)
    next_.calls[0].arrays["H0"] = one.arrays["H"]
    one.calls += next_.calls
    (read,) = written(path, one).layers
    assert read.arrays["X"].shape == (4, 1, 2)
    assert np.array_equal(read.arrays["H"], next_.arrays["H"])


def test_of_other_calls_the_first_is_kept_and_that_is_said(path):
    one = layer()
    one.calls += layer(seed=1).calls
    (read,) = written(path, one).layers
    assert read.arrays["X"].shape == (2, 1, 2)
    assert read.notes == ["Captured: the first 1 of 2 calls."]


def test_a_layer_that_reads_another_says_so(path):
    below, above = layer("a"), layer("b", seed=1)
    above.calls[0].arrays["X"] = below.arrays["outputs"]
    assert [each.reads for each in written(path, below, above).layers] == ["", "a"]


def test_layers_come_in_the_order_in_which_they_ran(path):
    first, second = layer("first"), layer("second", seed=1)
    assert [each.name for each in written(path, second, first).layers] == ["first", "second"]


def test_nothing_that_ran_is_refused_and_nothing_is_written(path):
    idle = layer()
    idle.calls = []
    for layers, found in (([idle], "no call of a"), ([], "none in the model")):
        with pytest.raises(BadInput, match=found):
            write_capture(path, Capture("numpy", "2", "cpu", layers))
    assert not path.exists()


def test_a_name_is_taken_once():
    assert unique("", []) == "model"
    assert unique("a", ["a", "a'"]) == "a''"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda a, said: a.pop("a/weights/w"), "a tensor for every weight"),
        (lambda a, said: a.pop("a/X"), "what went in and came out"),
        (lambda a, said: a.update({"b/X": np.ones(2)}), "a tensor of a"),
        (lambda a, said: a.update({"a/Y": np.ones(2)}), "weights/…, gradients/…"),
        (lambda a, said: a.update({"a/gradients/w": np.ones(3)}), "in its shape"),
        (lambda a, said: a.update({"a/gradients/v": np.ones(3)}), "the gradient of a weight"),
        (lambda a, said: a.update({"loss": np.array(np.nan)}), "a finite number"),
        (lambda a, said: said["layers"][0].update(cell="tree"), "one of rnn, gru, lstm"),
        (lambda a, said: said["layers"][0].update(dtype="float32"), "as the metadata say"),
        (lambda a, said: a.update({"a/H": np.array(1.0)}), "shape \\(L"),
        (lambda a, said: said["layers"][0].update(time=7), "axis 0 or 1"),
        (lambda a, said: said["layers"][0].update(tensors=[[]]), "one or two directions"),
        (lambda a, said: said["layers"][0].update(name=3), "text"),
        (lambda a, said: said["layers"][0].update(name="x" * 999), "a name of its own"),
        (lambda a, said: said["layers"].append(said["layers"][0]), "a name of its own"),
        (lambda a, said: said.update(layers=[]), "a name of its own"),
        (lambda a, said: said.pop("device"), "text"),
    ],
)
def test_a_file_that_does_not_hold_what_it_says_is_refused(path, change, expected):
    written(path, layer())
    arrays, metadata = read_arrays(path)
    said = json.loads(metadata["capture"])
    change(arrays, said)
    write_arrays(path, arrays, metadata | {"capture": json.dumps(said)})
    with pytest.raises(BadInput, match=expected) as error:
        read_capture(path)
    assert str(path) in str(error.value)


def test_another_file_is_no_capture(path):
    write_arrays(path, {"w": np.ones(2)}, {})
    with pytest.raises(BadInput, match="deep-rnn-capture-1"):
        read_capture(path)
