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
) -> tuple[int, dict]:
    """The exit code, and what was written."""
    rng = np.random.RandomState(5)
    params = parameters(spec) if params is None else params
    X = rng.standard_normal((T, N, spec.d))
    state = {p: rng.standard_normal(shape) for p, shape in state_shapes(spec, N).items()}
    if zero_state:
        state = {part: 0 * array for part, array in state.items()}
    O = forward(conventions, spec, params, X, state)["forward/O"]
    write_arrays(folder / "w.safetensors", native(spec, params, layout), {})
    start = {} if zero_state else {f"{part}0": array for part, array in state.items()}
    io = {"X": X, "outputs": O, **start}
    write_arrays(folder / "io.safetensors", {n: a.astype(dtype) for n, a in io.items()}, {})
    code = diagnose(folder, layout, "--json", str(folder / "out.json"))
    return code, json.loads((folder / "out.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("layout", ORDER)
def test_every_layout_is_read_as_its_framework_reads_it(layout, kind, tmp_path):
    spec = SPECS[kind]
    code, found = ask(tmp_path, spec, layout)
    assert code == 0 and found["cell"] == spec.cell
    first = found["matches"][0]
    assert first["wrong"] == [] and first["error"] < 1e-13
    assert (f"reset {spec.reset}" in first["says"]) == (spec.cell == "gru")
    assert ("relu" in first["says"]) == (spec.cell == "rnn")


@pytest.mark.parametrize(
    ("kind", "layout", "wrong", "said"),
    [
        ("lstm", "pytorch", "gates read as i,g,o,f",
         "the gates i,f,g,o are read as i,g,f,o: exchange blocks 2 and 3"),
        ("lstm", "onnx", "gates read as i,g,o,f",
         "the gates i,o,f,g are read as i,o,g,f: exchange blocks 3 and 4"),
        ("lstm", "keras", "hard sigmoid, slope 0.2", "gates use the hard sigmoid of slope 0.2"),
        ("lstm", "linen", "forget bias 1 at run time", "1 is added to the forget gate's"),
        ("lstm", "flax", "gates read as i,o,f,g",
         "the gates i,f,g,o are read as i,o,g,f: exchange blocks 2 and 4"),
        ("gru", "mxnet", "W_h transposed", "every recurrent matrix is transposed"),
        ("gru", "keras", "z is 1 − z", "the update gate is 1 − z"),
        ("gru", "pytorch", "b_hh dropped", "b_hh is left out"),
        ("rnn", "pytorch", "initial state ignored", "the initial state is ignored"),
    ],
)  # fmt: skip
def test_a_wrong_convention_is_named_in_the_layouts_own_terms(kind, layout, wrong, said, tmp_path):
    code, found = ask(tmp_path, SPECS[kind], layout, BY_NAME[wrong])
    assert code == 1
    assert said in found["matches"][0]["says"]


def test_two_wrong_conventions_are_found_together(tmp_path):
    both = BY_NAME["gates read as r,z,n"].with_also(BY_NAME["biases dropped"])
    code, found = ask(tmp_path, SPECS["gru"], "mxnet", both)
    assert code == 1
    assert set(found["matches"][0]["wrong"]) == {"gates read as r,z,n", "biases dropped"}


def test_float32_outputs_are_held_to_the_bound_of_float32(tmp_path):
    code, found = ask(tmp_path, SPECS["lstm"], dtype="float32")
    assert code == 0 and 1e-9 < found["matches"][0]["error"] < 1e-5


def test_what_the_data_cannot_decide_is_said(tmp_path, capsys):
    params = parameters(SPECS["lstm"], biases=0.0)
    code, found = ask(tmp_path, SPECS["lstm"], params=params, zero_state=True)
    undecided = {tuple(match["wrong"]) for match in found["matches"]}
    assert code == 0
    assert {("biases dropped",), ("biases doubled",), ("initial state ignored",)} <= undecided
    assert "The data cannot tell this from:" in capsys.readouterr().out


def test_outputs_of_something_else_are_explained_by_nothing(tmp_path, capsys):
    noise = Conventions(cell_output=lambda C: C * C)
    code, found = ask(tmp_path, SPECS["lstm"], conventions=noise)
    assert code == 1 and found["matches"] == []
    assert "no known convention reproduces the outputs" in capsys.readouterr().out


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
        (None, None, "keras", "a tensor named layers.0.kernel, found rnn."),
        (None, None, "flax", "a tensor named layers.0.dense_i.kernel, found rnn."),
        (renamed, None, "flax", "a tensor named layers.0.hf.kernel, found none"),
        (lambda a: a.pop("rnn.weight_hh_l1"), None, "pytorch", "a tensor named weight_hh_l1"),
        (put("rnn.weight_hh_l0", np.zeros((23, 6))), None, "pytorch", "G of 1, 3 or 4"),
        (put("rnn.weight_ih_l1", np.zeros((24, 5))), None, "pytorch",
         "expected shape (6, 6), found (5, 6)"),
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
