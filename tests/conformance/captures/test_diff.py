"""Two captures of one network are compared, rung by rung."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.spec import ModelSpec
from conformance.__main__ import main
from conformance.closeness.compare import load_bounds
from conformance.models.network import Network
from tests.captures import captured, inputs, layer_of, of_spec, plain


@pytest.fixture
def asked(tmp_path, capsys):
    """The exit code of ``diff``, and what it said."""

    def found(first, second, *words: str, loss=(None, None)) -> tuple[int, str]:
        files = []
        for name, layers, value in zip("ab", (first, second), loss, strict=True):
            layers = layers if isinstance(layers, list) else [layers]
            files.append(str(captured(tmp_path / f"{name}.safetensors", *layers, loss=value)))
        code = main(["diff", *files, *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return found


def permuted(net: Network, order: list[int]) -> Network:
    """The gates of every layer in another order."""

    def change(half, _):
        G = len(order)

        def of(a):
            return a.reshape(-1, G, a.shape[-1] // G)[:, order].reshape(a.shape)

        return replace(half, W=of(half.W), U=of(half.U), b_x=of(half.b_x), b_h=of(half.b_h))

    return net.each(change)


def stacked(net: Network, layout: str = "keras", **more) -> list:
    """Every layer of a network as a layer of its own, each of which reads the one below."""
    found, X = [], inputs(d=net.d)
    for k, halves in enumerate(net.layers):
        one = Network(net.cell, (halves,), None, net.biases)
        found.append(layer_of(one, layout, X=X, name=f"lstm_{k}", **more))
        X = found[-1].arrays["outputs"]
        X = X.swapaxes(0, 1) if found[-1].time else X
    return found


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_one_network_in_two_layouts_agrees(cell, directions, asked):
    net = plain(cell, biases=2, directions=directions)
    code, said = asked(layer_of(net), layer_of(net, "keras"))
    assert code == 0 and "PASS" in said
    for rung in ("weights", "inputs", "outputs"):
        assert f"{rung}: " in said


def test_float32_against_float64_agrees_within_the_noise_of_float32(asked):
    net = plain()
    code, said = asked(layer_of(net), layer_of(net, dtype="float32"))
    assert code == 0 and "outputs: 5 tensors: within" in said
    bound = float(said.split("outputs: 5 tensors: within")[1].split("bound ")[1].split()[0])
    assert 1e-7 < bound < 1e-5


@pytest.mark.parametrize(("share", "code"), [(0.9, 0), (1.1, 1)])
def test_two_may_differ_by_what_each_may_err_by_and_no_more(share, code, asked):
    """Each is off by a share of its own bound, to opposite sides."""
    net, bound = plain(), load_bounds()["cpu"]["float64"]["outputs"].error
    sides = [layer_of(net, "pytorch"), layer_of(net, "keras")]
    for side, sign in zip(sides, (1, -1), strict=True):
        side.arrays["outputs"] += sign * share * bound * np.abs(side.arrays["outputs"]).max()
    found, said = asked(*sides)
    assert found == code, said
    assert f"bound {2 * bound:.1e}" in said or f"above the bound {2 * bound:g}" in said


def test_a_state_of_float16_is_compared_in_float64(asked):
    """Found by fuzzing: its multiples of the grid's unit are beyond what float16 holds."""
    first, second = layer_of(plain()), layer_of(plain())
    second.arrays["C"] = second.arrays["C"].astype("float16")
    code, said = asked(first, second)
    assert code == 1 and "outputs: 2 of 5 tensors differ" in said, said


def test_an_error_above_the_noise_of_float32_is_seen(asked):
    net = plain()
    off = layer_of(net, dtype="float32")
    off.arrays["outputs"] *= np.float32(1 + 2e-5)
    code, said = asked(layer_of(net), off)
    assert code == 1 and "outputs: 1 of 5 tensors differ" in said


def test_a_stack_in_one_layer_is_the_same_as_layers_one_by_one(asked):
    net = plain("gru", biases=2)
    code, said = asked(layer_of(net), stacked(net))
    assert code == 0 and "Not compared, since only one of them has it: outputs of layer 1" in said


PROJECTED = ModelSpec("lstm", 3, 5, 2, 2, directions=2, sizes=(5, 4), p=2)
SIZES = {
    "projected": (PROJECTED, "mxnet"),
    "gru of sizes": (ModelSpec("gru", 3, 4, 2, 2, reset="after", sizes=(2, 4)), "keras"),
}


@pytest.mark.parametrize("name", SIZES)
def test_layers_of_different_sizes_and_projections_are_compared(name, asked):
    spec, layout = SIZES[name]
    net = of_spec(spec)
    code, said = asked(stacked(net, "pytorch"), stacked(net, layout, dtype="float32"))
    assert code == 0 and "outputs: " in said and "Not compared" not in said


def test_a_wrong_projection_is_named_and_explained_by_nothing_else(asked):
    net = of_spec(PROJECTED)

    def wrong(half, layer):
        return replace(half, project=half.project[::-1]) if layer else half

    code, said = asked(stacked(net, "pytorch"), stacked(net.each(wrong), "mxnet"))
    assert code == 1 and "weights: 2 of 52 tensors differ" in said
    assert "begins: weights, layer 2, projection: W_hp, backward.W_hp" in said
    assert "gate" not in said and "why:" not in said


def test_weights_that_were_carried_over_wrongly_are_named(asked):
    net = plain()
    wrong = permuted(net, [0, 2, 1, 3])  # i, o, f, c
    code, said = asked(layer_of(net), layer_of(wrong, "keras"))
    assert code == 1 and "begins: weights, layer 1, gates f, o" in said
    assert (
        "why: the second's weights of layer 1 are the first's if the code takes the blocks" in said
    )
    assert "Not compared, since what is below differs: inputs, outputs, loss, gradients" in said


def test_another_function_of_the_same_weights_is_named(asked):
    net = plain()
    other = layer_of(net, change=lambda usual: usual.with_(forget_bias=1.0))
    code, said = asked(layer_of(net), other)
    assert code == 1 and "begins: forward, step 2, example 1, layer 1" in said
    assert "all right" in said and "forget gate" in said


def test_other_options_are_named(asked):
    net = plain("gru", biases=1)
    before = layer_of(net, "keras", reset_after="False")
    after = layer_of(Network("gru", net.layers, None, 2), "keras", reset_after="True")
    code, said = asked(before, after)
    assert code == 1 and "reset is before in the first, after in the second" in said


def test_the_first_step_and_example_that_differ_are_named(asked):
    net = plain()
    late = layer_of(net)
    late.arrays["outputs"] = late.arrays["outputs"].copy()
    late.arrays["outputs"][3, 1, 0] += 1e-6
    code, said = asked(layer_of(net), late)
    assert code == 1 and "begins: forward, step 4, example 2, layer 2: outputs" in said


def test_different_inputs_are_no_comparison(asked):
    code, said = asked(layer_of(plain()), layer_of(plain(), X=inputs(7)))
    assert code == 1 and "the captures are of different inputs" in said


@pytest.mark.parametrize("wrong", [False, True])
def test_gradients_are_compared_through_both_mappings(wrong, asked):
    net = plain()

    def with_slopes(layout):
        layer = layer_of(net, layout)
        shape = {"gradients": permuted(net, [1, 0, 2, 3]) if wrong and layout == "keras" else net}
        layer.gradients = layer_of(shape["gradients"], layout).weights
        if layout == "pytorch":  # of two biases that are added up each has the sum's gradient
            for name in layer.gradients:
                if name.startswith("bias_ih"):
                    layer.gradients[name.replace("ih", "hh")] = layer.gradients[name]
        return layer

    code, said = asked(with_slopes("pytorch"), with_slopes("keras"), loss=(0.5, 0.5))
    assert code == int(wrong), said
    assert ("gradients: 24 tensors" in said) == (not wrong)
    assert ("begins: backward, layer 2, gates i, f" in said) == wrong


def test_a_loss_that_differs_is_seen(asked):
    code, said = asked(layer_of(plain()), layer_of(plain()), loss=(0.5, 0.5001))
    assert code == 1 and "loss: 1 of 1 tensors differ" in said


def test_nothing_compared_is_no_pass(asked):
    last = layer_of(plain(), "keras")
    only = layer_of(plain(), "keras")
    only.arrays["outputs"] = only.arrays["outputs"][:, -1]
    for layer in (last, only):
        for part in ("H", "C"):
            del layer.arrays[part]
    code, said = asked(last, only)
    assert code == 1 and "no outputs were compared" in said


def test_layers_are_chosen_by_their_names(asked):
    net = plain("gru", biases=2)
    two = [layer_of(plain(), name="lone", X=inputs(4)), layer_of(net, name="body")]
    code, said = asked(layer_of(net), two)
    assert code == 2 and said.count("\n") == 1 and "--layers and --with choose" in said
    assert asked(layer_of(net), two, "--with", "body")[0] == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda layer: layer.unjudged.append("it clips"), "it clips"),
        (lambda layer: setattr(layer, "dtype", "bfloat16"), "for which there are bounds"),
        (lambda layer: layer.gradients.update({n: np.ones(1) for n in layer.weights}), "shape"),
    ],
)
def test_what_cannot_be_compared_is_one_line(change, expected, asked):
    layer = layer_of(plain())
    change(layer)
    code, said = asked(layer_of(plain()), layer)
    assert code == 2 and said.count("\n") == 1 and expected in said


def test_a_nan_never_passes(asked):
    layer = layer_of(plain())
    layer.arrays["H"] = np.full_like(layer.arrays["H"], np.nan)
    assert asked(layer_of(plain()), layer)[0] == 1


def test_the_answer_is_written_as_json(tmp_path, asked):
    asked(layer_of(plain()), layer_of(plain(), X=inputs(7)), "--json", str(tmp_path / "d.json"))
    found = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert found["verdict"] == "they part" and found["begins"].startswith("begins: inputs")
    assert found["rungs"]["weights"]["tensors"]["layer1.W_xi"]["problem"] is None
