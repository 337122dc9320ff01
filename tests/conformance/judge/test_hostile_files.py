"""Files that ask for more than there is, and files that are damaged."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from common.errors import EXIT_BAD_INPUT, EXIT_PASS, BadInput
from common.weights import CHECKSUM, checksum, read_arrays, write_arrays
from conformance.__main__ import main
from conformance.cases.given import load_given
from conformance.closeness.compare import BOUNDS, load_bounds
from conformance.judge.curves import load_ensemble
from conformance.records.witness import load_witness
from tests.conformance.helpers import arrays_file, assert_one_line, judge

pytestmark = pytest.mark.once

HUGE = {
    "a billion layers": dict(cell="lstm", d=1, h=1, q=1, L=10**9),
    "a billion activations": dict(cell="rnn", d=1, h=1, q=1, L=10**9, activations=[]),
    "a billion units": dict(cell="lstm", d=1, h=10**9, q=1, L=1),
    "numbers of 19 digits": dict(cell="gru", d=10**18, h=10**18, q=10**18, L=1000, reset="after"),
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("spec", HUGE.values(), ids=HUGE)
def test_sizes_in_a_given_file_are_checked_before_anything_is_allocated(spec, forged, out, capsys):
    path = out / "numpy-cpu" / "given.safetensors"
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in list(file.keys())}
        metadata = file.metadata()
    metadata["spec"] = json.dumps(spec)
    if forged:
        del metadata[CHECKSUM]
        metadata[CHECKSUM] = checksum(arrays, metadata)
    path.write_bytes(save(arrays, metadata))
    before, began = peak(), time.monotonic()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert str(path) in assert_one_line(capsys.readouterr().err)
    assert peak() - before < 100 * 1024
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "options",
    [
        "train --backend numpy --layers 100000000",
        "train --backend numpy --layers 100000000 --cell rnn",
        "train --backend numpy --hidden 100000000",
        "train --backend numpy --layers 1000 --hidden 1000",
        "train --backend numpy --epochs 100000000",
        "train --backend numpy --batch 100000000",
        "train --backend numpy --steps 100000000",
        "train --backend numpy --workers 100000000",
        "train --backend numpy --threads 100000000",
        "train --backend numpy --seed 100000000000",
        f"train --backend numpy --layers {'9' * 5000}",
        "record --backend numpy --random 100000000",
        f"record --backend numpy --random {'9' * 5000}",
        "record --backend numpy --threads 100000000",
        "cases --random 100000000",
        "ensemble --members 100000000",
        "bench --backend numpy --workers 100000000",
    ],
    ids=lambda options: options[:60],
)
def test_sizes_on_the_command_line_have_limits(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = peak()
    try:
        code = main(options.split())
    except SystemExit as ended:
        code = ended.code
    assert code == EXIT_BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert len(captured.err) < 10_000
    assert not list(tmp_path.rglob("*"))
    assert peak() - before < 100 * 1024


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("given", lambda a: a.update(corpus=a["corpus"].astype("float64"))),
        ("given", lambda a: a.update(corpus=a["corpus"].reshape(-1, 1))),
        ("given", lambda a: a.update(corpus=a["corpus"][:0])),
        ("given", lambda a: a.update(corpus=np.full(9, 255, "uint8"))),
        ("given", lambda a: a.update({"held out/x": np.ones(3)})),
        ("given", lambda a: a.update(more=np.ones(3))),
        ("given", lambda a: a.pop("corpus")),
    ],
)
def test_a_given_text_of_another_kind_is_refused(name, change, out, capsys):
    path = out / "numpy-cpu" / f"{name}.safetensors"
    arrays, metadata = read_arrays(path)
    change(arrays)
    write_arrays(path, arrays, metadata)
    with pytest.raises(BadInput) as caught:
        load_given(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("text", "[]"),
        ("text", '{"name": 1, "sha256": "a"}'),
        ("text", '{"name": "a"}'),
        ("text", "1e999"),
        ("tokens", '"abc"'),
        ("tokens", "[1, 2]"),
        ("tokens", '{"a": 1}'),
        ("tokens", "[]"),
        ("tokens", json.dumps(["a"] * 300)),
        ("tokens", "[" * 5000),
        ("spec", "[]"),
        ("spec", '{"cell": ["lstm"], "d": 1, "h": 1, "q": 1, "L": 1}'),
        ("spec", '{"cell": "rnn", "d": 1, "h": 1, "q": 1, "L": 1, "activations": [[]]}'),
        ("spec", '{"cell": "gru", "d": 1, "h": 1, "q": 1, "L": 1, "reset": {}}'),
    ],
)
def test_what_is_said_of_a_text_has_the_right_types(field, text, out):
    path = out / "numpy-cpu" / "given.safetensors"
    arrays, metadata = read_arrays(path)
    write_arrays(path, arrays, metadata | {field: text})
    with pytest.raises(BadInput) as caught:
        load_given(path)
    assert str(caught.value).isprintable()


ENSEMBLES = sorted((Path(load_ensemble.__code__.co_filename).parent / "ensembles").glob("q*.json"))
WITNESSES = sorted((Path(load_witness.__code__.co_filename).parent / "witnesses").glob("q*.json"))
ODD = (None, True, -1, 0, "text", "1e999", [], {}, [[]], [None], {"a": None}, 1e308, [1, "a"])


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    ("load", "path"), [(load_ensemble, ENSEMBLES[0]), (load_witness, WITNESSES[0])]
)
def test_a_field_of_another_type_is_refused(load, path, odd, tmp_path):
    data = json.loads(path.read_text(encoding="utf-8"))
    for field in data:
        if field in ("suite", "centre") or (isinstance(odd, dict) and field == "made by"):
            continue  # nothing rests on what is told there
        (tmp_path / "changed.json").write_text(json.dumps(data | {field: odd}))
        with pytest.raises(BadInput) as caught:
            load(tmp_path / "changed.json")
        assert str(caught.value).isprintable()


def test_a_damaged_array_file_names_itself(out, capsys):
    path = arrays_file(out / "numpy-cpu", "lstm-L2")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # of the last number's mantissa: within every bound
    path.write_bytes(data)
    assert judge(out, "--quiet") != EXIT_PASS
    told = capsys.readouterr()
    assert "the file is damaged" in told.err + told.out
    assert "Traceback" not in told.err


BOUND = "outputs = { error = 1e-12, grid = true, units = 16.0 }"


@pytest.mark.parametrize(
    "changed",
    [
        "",
        "outputs = 1",
        "outputs = { error = true }",
        'outputs = { error = "1e-12" }',
        "outputs = { error = nan }",
        "outputs = { error = inf }",
        "outputs = { grid = true }",
        "outputs = { error = 1e-12, gird = true }",
        "outputs = { error = 1e-12, grid = 1 }",
        "outputs = { error = 1e-12, ratio = inf }",
        "outputs = { error = 1e-12 }\nsurprise = { error = 1.0 }",
        "outputs = " + "[" * 3000,
        "outputs = \x00",
    ],
)
def test_bounds_that_are_damaged_are_refused(changed, tmp_path):
    text = BOUNDS.read_text(encoding="utf-8")
    assert BOUND in text
    path = tmp_path / "bounds.toml"
    path.write_text(text.replace(BOUND, changed, 1), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_bounds(path)
    assert str(path) in str(caught.value)
