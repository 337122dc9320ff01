"""Files of somebody's own network, changed at random: one line, or a network that can be computed.

In short here; at length, 2,000 changes of every format, by

    python -m pytest --backend numpy tests/fuzz/test_files.py --hypothesis-profile fuzz
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadInput
from conformance.files import isolated
from conformance.files.loading import load
from conformance.models.evaluator import run
from conformance.models.frameworks import settings as computed
from tests.conformance.files import samples
from tests.conformance.files.samples import WRITERS, network
from tests.fuzz.mutations import Draw, dumps, mutate_bytes, mutate_value, mutated
from tests.fuzz.test_fuzz import LONG, SETTING, bounded

pytestmark = pytest.mark.once

CHANGES = 2000 if LONG else 25
LONGEST = 2000
"""Characters of the line that is said: names, of which a file has many, stand in it."""


def read(path: Path) -> bool:
    """Whether it is read; what is read can be computed, and what is not is one printable line."""
    try:
        with bounded():
            found = load(path)
            usual = computed(found.layout, found.loaded.network, found.stated, path)
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < LONGEST
        assert "crashes its reader" not in str(error)
        assert "cannot be done with" not in str(error)
        return False
    network_ = found.loaded.network
    assert all(np.isfinite(array).all() for array in found.loaded.left.values())
    d = network_.d
    if d < 1000 and max(network_.sizes) < 1000:
        run(network_, usual.choices, np.ones((2, 1, d)))
    return True


def mutate_keras(draw: Draw, data: bytes, path: Path) -> bytes:
    """The archive's bytes, its configuration, or the weights in it."""
    kind = draw(st.sampled_from(("bytes", "config.json", "metadata.json", "model.weights.h5")))
    if kind == "bytes":
        return mutate_bytes(draw, data)
    inside = path.with_suffix(".old")
    inside.write_bytes(data)
    with zipfile.ZipFile(inside) as old:
        members = {name: old.read(name) for name in old.namelist()}
    if kind == "model.weights.h5":
        members[kind] = mutate_bytes(draw, members[kind])
    else:
        changed = dumps(mutate_value(draw, json.loads(members[kind])))
        members[kind] = changed.encode("utf-8", "surrogatepass")
    with zipfile.ZipFile(path, "w") as new:
        for name, member in members.items():
            new.writestr(name, member)
    return path.read_bytes()


def mutate_symbol(draw: Draw, data: bytes, path: Path) -> bytes:
    """Beside the parameters lies a symbol: either is changed."""
    symbol = path.with_name("w-symbol.json")
    samples.mxnet_symbol(symbol, network("lstm"))
    if draw(st.booleans()):
        changed = dumps(mutate_value(draw, json.loads(symbol.read_bytes())))
        symbol.write_bytes(changed.encode("utf-8", "surrogatepass"))
        return data
    return mutate_bytes(draw, data)


def mutate_plain(draw: Draw, data: bytes, path: Path) -> bytes:
    return mutated(draw, path.name, data)


def mutate_onnx(draw: Draw, data: bytes, path: Path) -> bytes:
    """Its bytes, or what a field of it says."""
    import onnx

    if draw(st.booleans()):
        return mutate_bytes(draw, data)
    model = onnx.ModelProto.FromString(data)
    node = draw(st.sampled_from(list(model.graph.node)))
    tensor = draw(st.sampled_from(list(model.graph.initializer)))
    number = draw(st.sampled_from((-1, 0, 1, 2, 3, 7, 2**31 - 1, 2**40)))
    text = draw(st.sampled_from(("", "X", "Y0", "X1", "../x", "layers.0.W", "GRU", "\x1b[31m")))
    kind = draw(st.sampled_from(("dims", "type", "input", "output", "op", "attribute", "where")))
    if kind == "dims":
        tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = number
    elif kind == "type":
        tensor.data_type = abs(number) % 2**31
    elif kind == "input":
        node.input[draw(st.integers(0, len(node.input) - 1))] = text
    elif kind == "output":
        node.output[0] = text
    elif kind == "op":
        node.op_type = text
    elif kind == "attribute" and node.attribute:
        node.attribute[0].i = number
        node.attribute[0].type = draw(st.integers(0, 14))
    else:
        tensor.data_location = 1
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", text
    return model.SerializeToString()


Change = Callable[[Draw, bytes, Path], bytes]
CHANGED: dict[str, Change] = {
    "keras 3": mutate_keras,
    "mxnet": mutate_symbol,
    "onnx": mutate_onnx,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_whatever_a_file_of_a_network_holds_it_is_read_or_refused_in_one_line(
    kind, tmp_path, monkeypatch
):
    name, _, write = WRITERS[kind]
    path = tmp_path / name
    # HDF5's library reads some damaged files for ever; they need not all be waited for so long.
    monkeypatch.setattr(isolated, "SECONDS", 5)
    write(path, network("lstm"))
    whole, change = path.read_bytes(), CHANGED.get(kind, mutate_plain)
    assert read(path)
    count = {True: 0, False: 0}

    @settings(SETTING, max_examples=CHANGES)
    @given(st.data())
    def holds(data):
        path.write_bytes(change(data.draw, whole, path))
        count[read(path)] += 1

    holds()
    assert count[False] > 0, "no change was seen"
