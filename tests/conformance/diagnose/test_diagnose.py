"""``python -m conformance diagnose``: weights in every layout, outputs of every convention."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.parameters import GATES, Arrays, initialise, layer_parameters, state_shapes
from common.spec import ModelSpec
from common.weights import read_arrays, write_arrays
from conformance.__main__ import main
from conformance.mutants import CATALOGUE
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.evaluation import forward
from tests.conformance.helpers import assert_one_line

BY_NAME = {mutant.name: mutant.conventions for mutant in CATALOGUE}
SPECS = {
    "lstm": ModelSpec("lstm", 4, 6, 6, 2),
    "gru": ModelSpec("gru", 4, 6, 6, 2, reset="after"),
    "gru before": ModelSpec("gru", 4, 6, 6, 2, reset="before"),
    "rnn": ModelSpec("rnn", 4, 6, 6, 2, activations=("relu", "relu")),
}
ORDER = {
    "pytorch": {"rnn": "h", "gru": "rzh", "lstm": "ifco"},
    "mxnet": {"rnn": "h", "gru": "rzh", "lstm": "ifco"},
    "keras": {"rnn": "h", "gru": "zrh", "lstm": "ifco"},
    "onnx": {"rnn": "h", "gru": "zrh", "lstm": "iofc"},
    "flax": {"rnn": "h", "gru": "rzh", "lstm": "ifco"},
    "linen": {"rnn": "h", "gru": "rzh", "lstm": "ifco"},
}
T, N = 5, 3
BATCH_FIRST = ("keras", "flax", "linen")
STATED = {
    ("pytorch", "rnn"): ("nonlinearity=relu",),
    ("keras", "rnn"): ("activation=relu",),
    ("onnx", "rnn"): ("activations=Relu",),
    ("flax", "rnn"): ("activation_fn=relu",),
    ("linen", "rnn"): ("activation_fn=relu",),
    ("onnx", "gru"): ("linear_before_reset=1",),
}
"""What a user states whose network is not the framework's default."""


def parameters(spec: ModelSpec, biases: float = 1.0) -> Arrays:
    """Without an output layer: O is H."""
    params = initialise(spec, "uniform", 3)
    params = {n: a * (biases if ".b_" in n else 1) for n, a in params.items()}
    return params | {"output.W_hq": np.eye(spec.h), "output.b_q": np.zeros(spec.h)}


def native(spec: ModelSpec, params: Arrays, layout: str) -> Arrays:
    """The parameters as the layout's framework would store them, both biases not zero."""
    found = {}
    for layer in range(spec.L):
        p = layer_parameters(params, layer + 1)
        order = ORDER[layout][spec.cell]
        b_x, b_h = {}, {}
        for gate in order:
            if f"b_{gate}" in p:
                b_x[gate], b_h[gate] = 0.25 * p[f"b_{gate}"], 0.75 * p[f"b_{gate}"]
            else:
                b_x[gate], b_h[gate] = p["b_xh"], p["b_hh"]
        W_x = np.concatenate([p[f"W_x{g}"] for g in order], axis=1)
        W_h = np.concatenate([p[f"W_h{g}"] for g in order], axis=1)
        x, h = (np.concatenate([b[g] for g in order]) for b in (b_x, b_h))
        if layout == "pytorch":
            found |= {
                f"rnn.weight_ih_l{layer}": W_x.T,
                f"rnn.weight_hh_l{layer}": W_h.T,
                f"rnn.bias_ih_l{layer}": x,
                f"rnn.bias_hh_l{layer}": h,
            }
        elif layout == "mxnet":
            found |= {
                f"lstm0_l{layer}_i2h_weight": W_x.T,
                f"lstm0_l{layer}_h2h_weight": W_h.T,
                f"lstm0_l{layer}_i2h_bias": x,
                f"lstm0_l{layer}_h2h_bias": h,
            }
        elif layout == "keras":
            two = np.stack([x, h]) if spec.reset == "after" else x + h
            found |= {
                f"layers.{layer}.kernel": W_x,
                f"layers.{layer}.recurrent_kernel": W_h,
                f"layers.{layer}.bias": two,
            }
        elif layout == "onnx":
            found |= {
                f"layers.{layer}.W": W_x.T[None],
                f"layers.{layer}.R": W_h.T[None],
                f"layers.{layer}.B": np.concatenate([x, h])[None],
            }
        elif layout == "flax":
            found |= {
                f"layers.{layer}.cell.dense_i.kernel": W_x,
                f"layers.{layer}.cell.dense_i.bias": x,
                f"layers.{layer}.cell.dense_h.kernel": W_h,
                f"layers.{layer}.cell.dense_h.bias": h,
            }
        elif spec.cell == "rnn":
            found |= {
                f"params.layers.{layer}.i.kernel": W_x,
                f"params.layers.{layer}.i.bias": x + h,
                f"params.layers.{layer}.h.kernel": W_h,
            }
        else:
            names = {"lstm": "ifgo", "gru": "rzn"}[spec.cell]
            for gate, letter in zip(order, names, strict=True):
                for side, W, b in (("i", p[f"W_x{gate}"], b_x), ("h", p[f"W_h{gate}"], b_h)):
                    found |= {
                        f"layers.{layer}.{side}{letter}.kernel": W,
                        f"layers.{layer}.{side}{letter}.bias": b[gate],
                    }
    return found  # fmt: skip


def diagnose(folder: Path, layout: str, *options: str) -> int:
    files = ["--weights", str(folder / "w.safetensors"), "--io", str(folder / "io.safetensors")]
    name = "flax" if layout == "linen" else layout
    return main(["diagnose", "--quiet", *files, "--layout", name, *options])


def ask(
    folder: Path,
    spec: ModelSpec,
    layout: str = "pytorch",
    conventions: Conventions = TRUTH,
    params: Arrays | None = None,
    dtype: str = "float64",
    zero_state: bool = False,
    options: tuple[str, ...] = (),
) -> tuple[int, dict]:
    """The exit code, and what was written; X and outputs lie as the layout's framework has them."""
    rng = np.random.RandomState(5)
    params = parameters(spec) if params is None else params
    X = rng.standard_normal((T, N, spec.d))
    state = {p: rng.standard_normal(shape) for p, shape in state_shapes(spec, N).items()}
    if zero_state:
        state = {part: 0 * array for part, array in state.items()}
    O = forward(conventions, spec, params, X, state)["forward/O"]
    write_arrays(folder / "w.safetensors", native(spec, params, layout), {})
    start = {} if zero_state else {f"{part}0": array for part, array in state.items()}
    if layout in BATCH_FIRST:
        X, O = X.swapaxes(0, 1), O.swapaxes(0, 1)
    io = {"X": X, "outputs": O, **start}
    write_arrays(folder / "io.safetensors", {n: a.astype(dtype) for n, a in io.items()}, {})
    stated = [word for option in options for word in ("--option", option)]
    code = diagnose(folder, layout, *stated, "--json", str(folder / "out.json"))
    return code, json.loads((folder / "out.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("layout", ORDER)
def test_every_layout_is_read_as_its_framework_reads_it(layout, kind, tmp_path):
    spec = SPECS[kind]
    code, found = ask(tmp_path, spec, layout, options=STATED.get((layout, kind), ()))
    first = found["matches"][0]
    assert found["cell"] == spec.cell and first["error"] < 1e-13
    if kind == "gru before" and layout not in ("keras", "onnx"):
        assert code == 1 and first["wrong"] == ["reset before"], "no option of these does that"
    else:
        assert code == 0 and found["verdict"] == "all right"
        assert first["wrong"] == []


@pytest.mark.parametrize(("layout", "kind"), STATED)
def test_another_option_of_the_framework_is_no_all_right_until_it_is_stated(
    layout, kind, tmp_path, capsys
):
    code, found = ask(tmp_path, SPECS[kind], layout)
    (stated,) = STATED[layout, kind]
    assert code == 1 and found["verdict"] == "another option"
    assert found["matches"][0]["options"] == [stated]
    assert f"--option {stated}" in capsys.readouterr().out


def test_an_option_that_was_stated_is_checked(tmp_path):
    code, found = ask(tmp_path, SPECS["lstm"], options=("batch_first=True",))
    assert code == 1 and found["verdict"] == "wrong"
    assert "batch_first=False was meant" in found["matches"][0]["says"]


@pytest.mark.parametrize("layout", ["keras", "flax"])
def test_time_first_data_are_no_all_right_where_the_framework_reads_batch_first(layout, tmp_path):
    ask(tmp_path, SPECS["lstm"], "pytorch")
    params = parameters(SPECS["lstm"])
    write_arrays(tmp_path / "w.safetensors", native(SPECS["lstm"], params, layout), {})
    code = diagnose(tmp_path, layout, "--json", str(tmp_path / "out.json"))
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert code == 1 and found["matches"][0]["wrong"] == ["axis"]


@pytest.mark.parametrize(
    ("kind", "layout", "wrong", "said"),
    [
        ("lstm", "pytorch", "gates read as i,g,o,f",
         "the blocks, which are i, f, g, o in the file, for i, g, f, o"),
        ("lstm", "onnx", "gates read as i,g,o,f",
         "the blocks, which are i, o, f, g in the file, for i, o, g, f"),
        ("lstm", "keras", "hard sigmoid, slope 0.2", "gates use the hard sigmoid of slope 0.2"),
        ("lstm", "linen", "forget bias 1 at run time", "1 is added to the forget gate's"),
        ("lstm", "flax", "gates read as i,o,f,g",
         "the blocks, which are i, f, g, o in the file, for i, o, g, f"),
        ("gru", "mxnet", "W_h transposed", "every recurrent matrix is transposed"),
        ("gru", "keras", "z is 1 − z", "the update gate is 1 − z"),
        ("gru", "pytorch", "b_hh dropped", "b_hh is left out"),
    ],
)  # fmt: skip
def test_a_wrong_convention_is_named_in_the_layouts_own_terms(kind, layout, wrong, said, tmp_path):
    code, found = ask(tmp_path, SPECS[kind], layout, BY_NAME[wrong])
    assert code == 1
    assert said in found["matches"][0]["says"]


def test_an_ignored_initial_state_is_named(tmp_path):
    stated = STATED["pytorch", "rnn"]
    wrong = BY_NAME["initial state ignored"]
    code, found = ask(tmp_path, SPECS["rnn"], "pytorch", wrong, options=stated)
    assert code == 1
    assert "the initial state is ignored" in found["matches"][0]["says"]


def test_two_wrong_conventions_are_found_together(tmp_path):
    both = BY_NAME["gates read as r,z,n"].with_also(BY_NAME["biases dropped"])
    code, found = ask(tmp_path, SPECS["gru"], "mxnet", both)
    assert code == 1
    assert set(found["matches"][0]["wrong"]) == {"gates taken for z,r,n", "biases dropped"}


def test_float32_outputs_are_held_to_the_bound_of_float32(tmp_path):
    code, found = ask(tmp_path, SPECS["lstm"], dtype="float32")
    assert code == 0 and 1e-9 < found["matches"][0]["error"] < 1e-5


def test_what_no_data_could_decide_is_said(tmp_path, capsys):
    params = parameters(SPECS["lstm"], biases=0.0)
    code, found = ask(tmp_path, SPECS["lstm"], params=params, zero_state=True)
    assert code == 0
    assert {"biases dropped", "biases doubled"} <= set(found["undecided"])
    said = capsys.readouterr().out
    assert "With these weights no data could tell whether" in said
    assert "No initial state was given: code that ignores one makes the same outputs." in said


def test_outputs_of_something_else_are_explained_by_nothing(tmp_path, capsys):
    noise = Conventions(cell_output=lambda C: C * C)
    code, found = ask(tmp_path, SPECS["lstm"], conventions=noise)
    assert code == 1 and found["matches"] == []
    assert (
        "no known convention, and no two together, reproduce the outputs" in capsys.readouterr().out
    )


def spoiled(folder: Path, capsys, weights=None, io=None, layout="pytorch") -> str:
    ask(folder, SPECS["lstm"])
    for name, change in (("w", weights), ("io", io)):
        if change:
            path = folder / f"{name}.safetensors"
            arrays = read_arrays(path)[0]
            change(arrays)
            write_arrays(path, arrays, {})
    capsys.readouterr()
    assert diagnose(folder, layout) == 2
    return assert_one_line(capsys.readouterr().err)


def put(name: str, value) -> object:
    return lambda a: a.__setitem__(name, value(a[name]) if callable(value) else value)


def poison(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[0] = np.nan
    return array


def renamed(arrays: Arrays) -> None:
    """As Linen names them, but for one that is missing."""
    arrays.clear()
    arrays |= native(SPECS["lstm"], parameters(SPECS["lstm"]), "linen")
    del arrays["layers.0.hf.kernel"]


@pytest.mark.parametrize(
    ("weights", "io", "layout", "said"),
    [
        (None, None, "keras", "layers.0.recurrent_kernel (the names are those of --layout pytorch"),
        (None, None, "flax", "tensors named layers.0.dense_i.kernel and layers.0.dense_h.kernel"),
        (renamed, None, "flax", "a tensor named hf.kernel beside it, found none"),
        (lambda a: a.pop("rnn.weight_hh_l1"), None, "pytorch", "a tensor named weight_hh_l1"),
        (put("rnn.weight_hh_l0", np.zeros((23, 6))), None, "pytorch", "G of 1, 3 or 4"),
        (put("rnn.weight_ih_l1", np.zeros((24, 5))), None, "pytorch",
         "expected shape (6, 6) for each gate, found (5, 6)"),
        (put("rnn.bias_ih_l0", poison), None, "pytorch", "finite values"),
        (None, put("outputs", poison), "pytorch", "outputs: expected finite"),
        (None, put("outputs", lambda a: a[1:]), "pytorch", "outputs: expected shape (5, 3, 6)"),
        (None, lambda a: a.pop("X"), "pytorch", "X: expected a tensor of that name"),
        (None, put("H0", lambda a: a[:1]), "pytorch", "H0: expected shape (2, n, 6)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(weights, io, layout, said, tmp_path, capsys):
    assert said in spoiled(tmp_path, capsys, weights, io, layout)


def test_the_gates_of_every_layout_are_the_cells_gates():
    for orders in ORDER.values():
        for cell, order in orders.items():
            assert sorted(order) == sorted(GATES[cell])
