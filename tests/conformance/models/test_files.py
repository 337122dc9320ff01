"""Layouts: what is written is read again, and options are those that the frameworks have."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from common.errors import BadInput
from conformance.models.frameworks import CLASSES, options, settings
from conformance.models.layouts import LAYOUTS
from conformance.models.network import Direction, Network
from conformance.models.reading import read_network
from conformance.models.writing import write_network

GUIDE = Path(__file__).parents[3] / "docs" / "field_guide.toml"
NAMES = {"pytorch": "pytorch", "mxnet": "mxnet", "tensorflow": "keras", "jax": "flax"}
CASES = [(name, cell) for name, layout in LAYOUTS.items() for cell in layout.order]


def network(cell: str, directions: int = 1, biases: int = 1) -> Network:
    rng, G, layers, d = np.random.RandomState(2), {"rnn": 1, "gru": 3, "lstm": 4}[cell], [], 3
    for _ in range(2):
        halves = []
        for _ in range(directions):
            W, U, b, c = (rng.standard_normal(s) for s in ((d, G * 4), (4, G * 4), G * 4, G * 4))
            halves.append(Direction(W, U, b, c * (biases == 2)))
        layers.append(tuple(halves))
        d = 4 * directions
    return Network(cell, tuple(layers), None, biases)


def same(a: Network, b: Network) -> bool:
    pairs = zip(a.halves, b.halves, strict=True)
    return all(
        np.array_equal(x.W, y.W)
        and np.array_equal(x.U, y.U)
        and np.array_equal(x.b_x + x.b_h, y.b_x + y.b_h)
        for x, y in pairs
    )


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_what_is_written_in_a_layout_is_read_again(name, cell):
    made = network(cell)
    loaded = read_network(write_network(made, name), name, "file")
    assert loaded.left == {} and loaded.network.cell == cell
    assert same(made, loaded.network)


@pytest.mark.parametrize("name", ["pytorch", "mxnet", "keras", "onnx", "flax", "tf1"])
def test_two_directions_are_written_and_read(name):
    made = network("lstm", 2)
    loaded = read_network(write_network(made, name), name, "file")
    assert loaded.network.directions == 2 and same(made, loaded.network)


@pytest.mark.parametrize("name", ["pytorch", "mxnet", "keras", "onnx", "cudnn", "ncnn"])
def test_both_biases_of_a_candidate_are_kept(name):
    made = network("gru", biases=2)
    loaded = read_network(write_network(made, name), name, "file").network
    for x, y in zip(made.halves, loaded.halves, strict=True):
        assert np.array_equal(x.b_h[8:], y.b_h[8:])


def test_layouts_and_classes_are_the_same_frameworks():
    assert set(LAYOUTS) == set(CLASSES)


@pytest.mark.parametrize("column", NAMES)
def test_defaults_are_those_of_the_field_guide(column):
    rows = {row["point"]: row for row in tomllib.loads(GUIDE.read_text("utf-8"))["convention"]}
    name = NAMES[column]
    phi = settings(name, network("rnn"), {}, "").choices.activations["h"] if name != "linen" else ""
    assert phi == rows["Activation of a vanilla RNN"][column]
    axis = settings(name, network("lstm"), {}, "").axis
    assert rows["Layout of a sequence"][column].startswith(f"{axis} first")
    reset = settings(name, network("gru", biases=2), {}, "").choices.reset
    assert rows["Where the GRU resets"][column].startswith(reset)
    for cell, point in (("lstm", "Order of the LSTM's gates"), ("gru", "Order of the GRU's gates")):
        words = next(row[column] for at, row in rows.items() if at.startswith(point))
        letters = {"lstm": {"g": "c"}, "gru": {"n": "h"}}[cell]
        order = "".join(letters.get(word, word) for word in words.split(", "))
        assert LAYOUTS[name].order[cell] == order


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"reset_after": "False"}, "one of batch_first for a lstm"),
        ({"batch_first": "yes"}, "expected False, True, found yes"),
    ],
)
def test_an_option_that_a_framework_has_not_is_bad_input(stated, said):
    with pytest.raises(BadInput, match=said):
        settings("pytorch", network("lstm"), stated, "file")


def test_a_reset_that_contradicts_the_bias_is_bad_input():
    two = network("gru", biases=2)
    with pytest.raises(BadInput, match=r"expected a bias \(3·h,\), found \(2, 3·h\)"):
        settings("keras", two, {"reset_after": "False"}, "file")
    assert settings("keras", two, {"reset_after": "True"}, "file").choices.reset == "after"


def test_without_a_bias_a_gru_of_keras_resets_after_unless_it_is_stated():
    none = network("gru", biases=0)
    assert settings("keras", none, {}, "file").choices.reset == "after"
    assert settings("keras", none, {"reset_after": "False"}, "file").choices.reset == "before"


def test_an_order_that_is_kept_needs_a_reversal():
    lstm = network("lstm")
    assert settings("flax", lstm, {"keep_order": "True"}, "").backwards == ""
    both = {"reverse": "True", "keep_order": "True"}
    assert settings("flax", lstm, both, "").backwards == "time"
    with pytest.raises(BadInput, match="a network of one direction"):
        settings("keras", network("lstm", 2), {"go_backwards": "True"}, "file")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_option_has_a_default_that_changes_nothing(name):
    for cell in LAYOUTS[name].order:
        usual = settings(name, network(cell), {}, "")
        for option in options(name, cell):
            default = next(iter(option.values.values()))
            assert not usual.touched(usual.with_(**default)), option.name
