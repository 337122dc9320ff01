"""Bad input to ``record``: one line, exit code 2, and whatever was there before is untouched."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from backends.registry import MODULES
from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.weights import FORMAT, write_arrays
from conformance.__main__ import main
from tests.conformance.helpers import assert_one_line, fingerprint, record
from tests.frameworks import FRAMEWORKS as ALL
from tests.frameworks import WRITES

pytestmark = pytest.mark.once

SPEC = ModelSpec("lstm", 5, 6, 3, 2)
FRAMEWORKS = {name: packages[0] for name, packages in ALL.items() if packages}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with a record that must not change; no test may write to it."""
    out = tmp_path_factory.mktemp("results")
    assert record(out, cases=("lstm-L1",)) == EXIT_PASS
    return out


@pytest.fixture
def refused(results, capsys, tmp_path):
    """Give bad input to ``record``, into a folder with a record and into none; returns the line."""

    def give(*options: str, backend: str = "numpy", cases: tuple[str, ...] = ("*",)) -> str:
        before = fingerprint(results)
        lines = []
        for out in (results, tmp_path / "none"):
            capsys.readouterr()
            assert record(out, *options, backend=backend, cases=cases) == EXIT_BAD_INPUT
            captured = capsys.readouterr()
            assert captured.out == ""
            lines.append(assert_one_line(captured.err))
        assert lines[0] == lines[1]
        assert fingerprint(results) == before
        assert {path.name for path in results.iterdir()} == {"numpy-cpu"}
        assert not list((tmp_path / "none").glob("**/*"))
        return lines[0]

    return give


@pytest.mark.parametrize("name", ["theano", "", "../numpy", "NumPy", "numpy\x1b[31m", "[red]"])
def test_an_unknown_backend_is_refused(name, refused):
    line = refused(backend=name)
    assert "--backend: expected one of numpy, pytorch, mxnet, tensorflow" in line


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_framework_that_is_not_installed_is_refused_by_name(name, refused):
    if importlib.util.find_spec(FRAMEWORKS[name]):
        pytest.skip(f"{FRAMEWORKS[name]} is installed here")
    line = refused(backend=name)
    assert f"backend {name}" in line
    wanted = FRAMEWORKS[name], *WRITES.get(name, ())  # whichever is imported first
    assert any(f"no module '{package}' in this environment" in line for package in wanted)


def test_every_backend_but_numpy_is_tried_without_its_framework():
    assert set(FRAMEWORKS) == set(MODULES) - {"numpy"}


def test_a_device_that_the_backend_does_not_have_is_refused(refused):
    assert "device: expected cpu, found gpu" in refused("--device", "gpu")


def test_a_pattern_that_chooses_no_case_is_refused(refused):
    assert "--cases" in refused(cases=("lstm-L1", "lstn-*"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected at least one letter from A to Z, found an empty file"),
        (b"1234 5678\n" * 1000, "expected at least one letter"),
        (b"abc \xff\xfe def" * 1000, "expected UTF-8, found byte 0xff at offset 4"),
        (b"short", "expected at least"),
        (b"abcdefghi " * 100, "expected at least 1156 characters"),
        # Enough for one minibatch of 32 x 35, not for the two that a case trains on.
        (b"abcdefghi " * 180, "characters for 2 minibatches"),
    ],
    ids=["empty", "no letters", "not UTF-8", "very short", "short", "one minibatch"],
)
def test_a_text_that_cannot_be_used_is_refused(content, expected, refused, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    line = refused("--text", str(path))
    assert expected in line
    assert "text.txt" in line


def test_a_text_that_is_not_there_is_refused(refused, tmp_path):
    assert "no such file" in refused("--text", str(tmp_path / "nowhere.txt"))
    assert "something else" in refused("--text", str(tmp_path))


def weights_file(path: Path, change=None, spec: dict | None = None, **metadata: str) -> Path:
    """A weights file with something wrong in it."""
    params = initialise(SPEC, "uniform", 3)
    if change is not None:
        change(params)
    spec = SPEC.to_json() | (spec or {})
    write_arrays(path, params, {"format": FORMAT, "spec": json.dumps(spec)} | metadata)
    return path


def put(name: str, value: np.ndarray):
    return lambda params: params.update({name: value})


def with_one(value: float):
    def change(params: dict) -> None:
        params["layer2.W_hf"] = params["layer2.W_hf"].copy()
        params["layer2.W_hf"][3, 2] = value

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda params: params.pop("layer2.W_hf"), "layer2.W_hf: expected shape (6, 6), found no"),
        (put("layer3.W_hf", np.ones((6, 6))), "layer3.W_hf: expected no such tensor"),
        (put("layer2.W_hf", np.ones((6, 5))), "layer2.W_hf: expected shape (6, 6), found shape"),
        (put("layer2.b_f", np.ones((1,))), "layer2.b_f: expected shape (6,), found shape (1,)"),
        (put("layer2.b_f", np.ones(6, "int32")), "layer2.b_f: expected float32 or float64"),
        (with_one(np.nan), "layer2.W_hf: expected finite values, found nan at (3, 2)"),
        (with_one(-np.inf), "layer2.W_hf: expected finite values, found -inf at (3, 2)"),
    ],
    ids=["missing", "extra", "misshapen", "broadcastable", "integers", "NaN", "infinite"],
)
def test_a_bad_tensor_in_a_weights_file_is_refused_by_name(change, expected, refused, tmp_path):
    path = weights_file(tmp_path / "bad.safetensors", change)
    line = refused("--weights", str(path))
    assert line.startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"L": 0}, "L: expected a whole number of at least 1, found 0"),
        ({"L": 3}, "layer3.W_xi: expected shape (6, 6), found no such tensor"),
        ({"L": True}, "L: expected a whole number"),
        ({"L": 10**12}, "L: expected at most 1024 layers, found 1000000000000"),
        ({"h": "6"}, "h: expected a whole number"),
        ({"cell": "rnn", "activations": ["tanh", "gelu"]}, "activations: expected one of tanh"),
        ({"cell": "rnn", "activations": ["tanh"]}, "activations: expected 2, one per layer"),
        ({"cell": "transformer"}, "cell: expected one of rnn, gru, lstm"),
        ({"cell": "gru"}, "reset: expected one of before, after, found None"),
        ({"layers": 2}, "spec: expected only the fields"),
        ({"directions": 3}, "directions: expected 1 or 2, found 3"),
        ({"directions": "both"}, "directions: expected 1 or 2, found 'both'"),
        ({"directions": 2}, "layer1.backward.W_xi: expected shape"),
        ({"h": [6]}, "h: expected one number, or 2, one per layer, found [6]"),
        ({"h": [6, 0]}, "h: expected whole numbers of at least 1, the largest of them 6, found"),
        ({"h": [6, "5"]}, "h: expected a whole number, or one per layer, found [6, '5']"),
        ({"h": []}, "h: expected a whole number, or one per layer, found []"),
        ({"h": [5, 6]}, "layer1.W_xi: expected shape"),
        ({"p": 6}, "p: expected a whole number of at least 1 and below h, 6, found 6"),
        ({"p": 0}, "p: expected a whole number of at least 1 and below h, 6, found 0"),
        ({"p": 2}, "layer1.W_hp: expected shape (6, 2), found no such tensor"),
        ({"cell": "rnn", "activations": ["tanh"] * 2, "p": 2}, "p: expected none for rnn"),
        ({"cell": "gru", "reset": "after", "p": 2}, "p: expected none for gru: only an LSTM has"),
    ],
)
def test_a_bad_spec_in_a_weights_file_is_refused_by_field(spec, expected, refused, tmp_path):
    path = weights_file(tmp_path / "bad.safetensors", spec=spec)
    line = refused("--weights", str(path))
    assert line.startswith(f"{path}: ")
    assert expected in line


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_weights_file_is_refused(kept, refused, tmp_path):
    path = weights_file(tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: expected a whole safetensors file" in refused("--weights", str(path))


@pytest.mark.parametrize(
    "content", [b"\x93NUMPY\x01\x00", b"PK\x03\x04" + bytes(100), b"\xff" * 64, b"# weights\n"]
)
def test_a_foreign_file_is_refused(content, refused, tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    assert f"{path}: expected a whole safetensors file" in refused("--weights", str(path))


def test_a_safetensors_file_that_holds_no_weights_of_ours_is_refused(refused, tmp_path):
    path = weights_file(tmp_path / "other.safetensors", format="pt")
    assert "metadata 'format'" in refused("--weights", str(path))
    write_arrays(path, initialise(SPEC, "uniform", 3), {"format": FORMAT, "spec": "not JSON"})
    assert "metadata 'spec'" in refused("--weights", str(path))


def test_weights_that_are_not_there_are_refused(refused, tmp_path):
    assert "no such file" in refused("--weights", str(tmp_path / "nowhere.safetensors"))
    refused("--weights", str(tmp_path))


@pytest.mark.parametrize(
    "options",
    [
        ["record"],
        ["record", "--backend", "numpy", "--device", "tpu"],
        ["record", "--backend", "numpy", "--dtype", "float8"],
        ["record", "--backend", "numpy", "--random", "-1"],
        ["record", "--backend", "numpy", "--seed", "x"],
        ["record", "--backend", "numpy", "--threads", "0"],
        ["record", "--backend", "numpy", "--limit", "0"],
        ["record", "--backend", "numpy", "--limit", "nan"],
        ["record", "--backend", "numpy", "--limit", "inf"],
        ["record", "--backend", "numpy", "--case", "lstm-L1"],
        ["judge"],
        ["train"],
        [],
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_refused_with_the_usage(
    options, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # results/ would be here
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == EXIT_BAD_INPUT
    assert not list(tmp_path.iterdir())
    captured = capsys.readouterr()
    assert captured.err.startswith("usage: python -m conformance")
    assert captured.out == ""
