"""The weights file brings back every bit, and nothing but a whole and valid file is read."""

import contextlib
import hashlib
import importlib
import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from common.errors import BadInput
from common.parameters import initialise, parameter_shapes
from common.spec import ACTIVATIONS, CELLS, DIRECTIONS, RESETS, ModelSpec
from common.weights import FORMAT, load_weights, read_arrays, save_weights, write_arrays

SPEC = ModelSpec("gru", 3, 5, 7, 2, reset="after")


@st.composite
def specs(draw):
    size = st.integers(1, 5)
    cell, L = draw(st.sampled_from(CELLS)), draw(st.integers(1, 3))
    phis = st.lists(st.sampled_from(ACTIVATIONS), min_size=L, max_size=L).map(tuple)
    return ModelSpec(
        cell,
        draw(size),
        draw(size),
        draw(size),
        L,
        draw(phis) if cell == "rnn" else (),
        draw(st.sampled_from(RESETS)) if cell == "gru" else None,
        draw(st.sampled_from(DIRECTIONS)),
    )


def test_a_file_of_one_direction_is_to_the_byte_what_it_was_before_there_were_two(tmp_path):
    """The digest is of a file that the suite wrote when a spec had no directions."""
    save_weights(tmp_path / "w.safetensors", SPEC, initialise(SPEC, "uniform", 0, "float32"))
    written = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert written == "8691d2edf189047f53496cff3dff8325ecb135e5205409a9f0edb8a78f65be1b"


def random_bits(spec, seed, dtype):
    """Parameters out of all finite numbers: huge, tiny, subnormal, negative zero."""
    rng = np.random.RandomState(seed)
    params = {}
    for name, shape in parameter_shapes(spec).items():
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        array = np.frombuffer(rng.bytes(count), dtype).reshape(shape).copy()
        array[~np.isfinite(array)] = -0.0
        params[name] = array
    return params


def assert_same_bits(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert found[name].tobytes() == array.tobytes()


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(specs(), st.integers(0, 1000), st.sampled_from(["float32", "float64"]))
def test_every_bit_comes_back(tmp_path_factory, spec, seed, dtype):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    params = random_bits(spec, seed, dtype)
    save_weights(path, spec, params)
    found_spec, found = load_weights(path)
    assert found_spec == spec
    assert_same_bits(found, params)


def test_the_order_is_canonical_whatever_order_was_given(tmp_path):
    params = initialise(SPEC, "uniform", 0)
    save_weights(tmp_path / "w", SPEC, dict(reversed(params.items())))
    assert_same_bits(load_weights(tmp_path / "w")[1], params)


def test_a_transposed_view_is_written_as_it_reads(tmp_path):
    params = initialise(SPEC, "uniform", 0)
    wanted = params["layer1.W_xz"].copy()
    params["layer1.W_xz"] = np.ascontiguousarray(wanted.T).T
    assert not params["layer1.W_xz"].flags.c_contiguous
    save_weights(tmp_path / "w", SPEC, params)
    assert (load_weights(tmp_path / "w")[1]["layer1.W_xz"] == wanted).all()


def test_a_scalar_stays_a_scalar(tmp_path):
    write_arrays(tmp_path / "a", {"loss": np.array(1.5)}, {})
    assert read_arrays(tmp_path / "a")[0]["loss"].shape == ()


@pytest.fixture
def whole(tmp_path):
    """A valid weights file."""
    path = tmp_path / "whole.safetensors"
    save_weights(path, SPEC, initialise(SPEC, "uniform", 0))
    return path


def refusal(path):
    """The message with which a file is refused: one line that begins with the file's name."""
    with pytest.raises(BadInput) as caught:
        load_weights(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and line.isprintable()
    return line.removeprefix(f"{path}: ")


def with_metadata(path, metadata):
    """The valid file's tensors with other metadata."""
    arrays, _ = read_arrays(path)
    save_file(arrays, path, metadata)
    return path


def with_spec(path, **fields):
    spec = json.dumps(SPEC.to_json() | fields)
    return with_metadata(path, {"format": FORMAT, "spec": spec})


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 0.3, 0.6, 0.99, -8, -1])
def test_a_truncated_file_is_refused(whole, kept):
    content = whole.read_bytes()
    length = int(kept * len(content)) if isinstance(kept, float) else kept
    whole.write_bytes(content[:length])
    assert len(whole.read_bytes()) < len(content)
    assert refusal(whole).startswith("expected a whole safetensors file, found ")


def test_a_file_with_something_behind_it_is_refused(whole):
    whole.write_bytes(whole.read_bytes() + b"\0")
    assert refusal(whole).startswith("expected a whole safetensors file, found ")


FOREIGN = {
    "a pickle": pickle.dumps({"layer1.W_xz": [1.0, 2.0]}),
    "a text": b"the time machine by h g wells\n" * 20,
    "JSON": b'{"format": "deep-rnn-weights-1"}',
    "a zip file": b"PK\x03\x04" + bytes(200),
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "w"
    path.write_bytes(content)
    assert refusal(path).startswith("expected a whole safetensors file, found ")


def test_an_absent_file_and_a_folder_are_refused(tmp_path):
    absent = refusal(tmp_path / "absent")
    assert absent == "expected a whole safetensors file, found no such file"
    assert refusal(tmp_path).startswith("expected a whole safetensors file, found ")


def test_a_pickle_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "w").write_bytes(pickle.dumps(Trap()))
    refusal(tmp_path / "w")
    assert not (tmp_path / "executed").exists()


def test_a_foreign_safetensors_file_is_refused(whole):
    with_metadata(whole, None)
    assert refusal(whole) == f"metadata 'format': expected '{FORMAT}', found none"
    with_metadata(whole, {"format": "pt"})
    assert refusal(whole) == f"metadata 'format': expected '{FORMAT}', found 'pt'"


@pytest.mark.parametrize("spec", ["", "{", "[" * 100_000, '{"L": ' + "1" * 5000 + "}"])
def test_metadata_whose_spec_is_not_json_is_refused(whole, spec):
    with_metadata(whole, {"format": FORMAT, "spec": spec})
    assert refusal(whole).startswith("metadata 'spec': expected JSON, found ")


def test_metadata_without_a_spec_is_refused(whole):
    with_metadata(whole, {"format": FORMAT})
    assert refusal(whole).startswith("metadata 'spec': expected JSON, found ")


@pytest.mark.parametrize(
    "fields, line",
    [
        ({"L": 0}, "L: expected a whole number of at least 1, found 0"),
        ({"cell": "esn"}, "cell: expected one of rnn, gru, lstm, found 'esn'"),
        ({"reset": None}, "reset: expected one of before, after, found None"),
        (
            {"cell": "rnn", "reset": None, "activations": ["tanh", "swish"]},
            "activations: expected one of tanh, relu, sigmoid, identity, found 'swish'",
        ),
        ({"h": 6}, "layer1.W_xz: expected shape (3, 6), found shape (3, 5)"),
        ({"reset": "before"}, "layer1.b_h: expected shape (5,), found no such tensor"),
        ({"L": 3}, "layer3.W_xz: expected shape (5, 5), found no such tensor"),
        ({"directions": 3}, "directions: expected 1 or 2, found 3"),
        ({"directions": 2}, "layer1.backward.W_xz: expected shape (3, 5), found no such tensor"),
    ],
)
def test_a_spec_that_is_wrong_or_of_another_model_is_refused(whole, fields, line):
    assert refusal(with_spec(whole, **fields)) == line


def test_a_spec_of_a_billion_layers_is_refused_at_once(whole):
    line = "L: expected at most 1024 layers, found 1000000000"
    assert refusal(with_spec(whole, L=10**9)) == line


FAULTS = {
    "missing": ("layer2.W_hr", lambda a: None, "found no such tensor"),
    "misshapen": ("layer2.W_hr", lambda a: a[:, :4], "expected shape (5, 5), found shape (5, 4)"),
    "flattened": ("layer2.W_hr", lambda a: a.ravel(), "expected shape (5, 5), found shape (25,)"),
    "not a number": ("output.b_q", lambda a: a * np.nan, "finite values, found nan at (0,)"),
    "infinite": ("output.b_q", lambda a: a / 0.0, "finite values, found "),
    "integer": ("output.b_q", lambda a: a.astype("int32"), "float32 or float64, found int32"),
    "half": ("output.b_q", lambda a: a.astype("float16"), "float32 or float64, found float16"),
}


@pytest.mark.parametrize("name, change, found", FAULTS.values(), ids=FAULTS.keys())
def test_a_file_with_a_wrong_tensor_is_refused_by_its_name(whole, name, change, found):
    arrays, metadata = read_arrays(whole)
    with np.errstate(divide="ignore"):
        changed = change(arrays.pop(name))
    if changed is not None:
        arrays[name] = changed
    save_file(arrays, whole, metadata)
    line = refusal(whole)
    assert line.startswith(f"{name}: expected ") and found in line


def test_a_file_with_an_extra_tensor_is_refused(whole):
    arrays, metadata = read_arrays(whole)
    save_file(arrays | {"layer1.b_h": np.zeros(5)}, whole, metadata)
    assert refusal(whole).startswith("layer1.b_h: expected no such tensor")


@pytest.mark.parametrize("dtype, size", [("BF16", 2), ("F8_E4M3", 1), ("F8_E5M2", 1)])
def test_a_tensor_of_a_type_that_numpy_lacks_is_refused(tmp_path, dtype, size):
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("ml_dtypes")  # with it NumPy understands the name
    tensor = {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * size]}
    header = json.dumps({"a\n\x1b[31m": tensor}).encode()
    path = tmp_path / "w"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(3 * size))
    assert "expected a whole safetensors file, found " in refusal(path)


@pytest.mark.parametrize("name, change, found", FAULTS.values(), ids=FAULTS.keys())
def test_wrong_parameters_are_not_written_and_the_old_file_stays(whole, name, change, found):
    before, params = whole.read_bytes(), initialise(SPEC, "uniform", 1)
    with np.errstate(divide="ignore"):
        changed = change(params.pop(name))
    if changed is not None:
        params[name] = changed
    with pytest.raises(BadInput, match=f"{name}: expected ") as caught:
        save_weights(whole, SPEC, params)
    assert found in str(caught.value)
    assert whole.read_bytes() == before
    assert os.listdir(whole.parent) == [whole.name]


def test_a_folder_that_cannot_be_written_leaves_everything_as_it_was(whole):
    before = whole.read_bytes()
    with pytest.raises(OSError, match=r"whole\.safetensors"):  # a file stands where a folder would
        save_weights(whole / "w.safetensors", SPEC, initialise(SPEC, "uniform", 1))
    assert whole.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_read_only_folder_leaves_everything_as_it_was(whole):
    before = whole.read_bytes()
    whole.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            save_weights(whole, SPEC, initialise(SPEC, "uniform", 1))
    finally:
        whole.parent.chmod(0o755)
    assert whole.read_bytes() == before
    assert os.listdir(whole.parent) == [whole.name]
