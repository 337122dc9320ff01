"""MXNet's ``.params``, of Gluon and of the Module API, with the ``-symbol.json`` beside it.

A list of arrays: a number for the format, the arrays, their names. Each array has the number of its
own format in front, and the oldest have none: there the number of axes stands. Source: MXNet 1.9.1,
``src/ndarray/ndarray.cc``, ``NDArray::Save``, ``Load`` and ``LegacyLoad``. MXNet itself cannot be
installed any more where most of these files now have to be read.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.storage.reading import is_list, is_object, read_json
from conformance.files.contents import MOST_TENSORS, Contents, checked_shape, whole, widened

SAYS = "an MXNet file of parameters"
LIST = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
CPU = 1
BFLOAT16 = 12
TYPES = {
    0: "<f4",
    1: "<f8",
    2: "<f2",
    3: "u1",
    4: "<i4",
    5: "i1",
    6: "<i8",
    7: "?",
    BFLOAT16: "<u2",
}
ACTIVATION = {"rnn_tanh": "tanh", "rnn_relu": "relu"}
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
PART = r"[lr]\d+_[ih]2h_(?:weight|bias)$"


def recognises(path: Path, start: bytes, size: int) -> bool:
    return start[:8] == struct.pack("<Q", LIST)


def read(path: Path) -> Contents:
    bytes_ = _Bytes(path, whole(path, SAYS))
    _, _, count = bytes_.take("<QQQ")
    bytes_.check(count <= MOST_TENSORS, "the number of arrays", count)
    found = [_array(bytes_) for _ in range(count)]
    names = [_name(bytes_) for _ in range(bytes_.take("<Q")[0] if found else 0)]
    bytes_.check(len(names) == len(found), f"{len(found)} names", len(names))
    bytes_.check(bytes_.at == len(bytes_.data), "the end", f"{len(bytes_.data) - bytes_.at} bytes")
    bytes_.check(len(set(names)) == len(names), "a name for each array", "one twice")
    arrays = {name: array for name, array in zip(names, found, strict=True) if array is not None}
    contents = Contents(SAYS, arrays)
    symbol = path.with_name(re.sub(r"-\d{4}\.params$", "", path.name) + "-symbol.json")
    if symbol.exists():
        nodes, below = graph(symbol)
        for name, said in fused(nodes, below, arrays).items():
            arrays |= unfused(path, name, arrays.pop(name), said)
        contents.options = list(options(symbol, nodes, below, arrays))
    return contents


def dumped(arrays: Arrays) -> bytes:
    """A file's bytes, as ``save_parameters`` writes them: dense arrays of the second format."""
    numbers = {dtype: flag for flag, dtype in TYPES.items()}
    parts = [struct.pack("<QQQ", LIST, 0, len(arrays))]
    for array in arrays.values():
        flag = numbers[array.dtype.str]
        shape = struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
        parts += [struct.pack("<Ii", V2, DENSE), shape, struct.pack("<iii", CPU, 0, flag)]
        parts.append(np.ascontiguousarray(array).tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts.append(struct.pack("<Q", len(name.encode())) + name.encode())
    return b"".join(parts)


class _Bytes:
    """Bytes from the front, never more than there are."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.at = path, data, 0

    def check(self, holds: bool, expected: str, found: object) -> None:
        if not holds:
            raise BadInput(self.path, f"byte {self.at}", expected, found)

    def take(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.some(struct.calcsize(form)))

    def some(self, count: int) -> bytes:
        left = len(self.data) - self.at
        self.check(0 <= count <= left, f"{count} bytes more", f"the end of the file after {left}")
        self.at += count
        return self.data[self.at - count : self.at]


def _array(bytes_: _Bytes) -> np.ndarray | None:
    """One array; None for one that was saved before it had a shape."""
    (magic,) = bytes_.take("<I")
    if magic in (V2, V3):
        (kind,) = bytes_.take("<i")
        bytes_.check(kind == DENSE, "a dense array (no sparse one)", f"storage type {kind}")
    axes = bytes_.take("<i")[0] if magic in (V1, V2, V3) else magic
    bytes_.check(-1 <= axes <= 8, "an array of at most 8 axes", axes)
    if axes < 0 or (axes == 0 and magic != V3):
        return None
    sizes = bytes_.take(f"<{axes}{'q' if magic in (V1, V2, V3) else 'I'}")
    shape = checked_shape(sizes, bytes_.path, f"byte {bytes_.at}")
    _, _, flag = bytes_.take("<iii")  # the first two: on which device it was
    bytes_.check(flag in TYPES, f"a type of number, {', '.join(map(str, TYPES))}", flag)
    dtype = np.dtype(TYPES[flag])
    data = bytes_.some(math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(data, dtype).reshape(shape)
    return widened(array) if flag == BFLOAT16 else array


def _name(bytes_: _Bytes) -> str:
    """Without what the Module API puts in front."""
    (length,) = bytes_.take("<Q")
    bytes_.check(length <= 4096, "a name of at most 4,096 bytes", length)
    name = bytes_.some(length).decode("utf-8", "backslashreplace")
    return re.sub("^(arg|aux):", "", name)


def graph(path: Path) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """The nodes of a symbol, and of each the nodes that it reads."""
    found = read_json(path, follow=True)
    nodes = found.get("nodes") if is_object(found) else None
    if not is_list(nodes) or not all(is_object(node) for node in nodes):
        raise BadInput(path, "nodes", "a list of objects, as in an MXNet symbol", "none")
    return nodes, [list(_inputs(path, node, number)) for number, node in enumerate(nodes)]


def fused(
    nodes: list[dict[str, Any]], below: list[list[int]], arrays: Arrays
) -> dict[str, dict[str, Any]]:
    """The vectors that hold all weights of an RNN, and what its node says."""
    found = {}
    for node, inputs in zip(nodes, below, strict=True):
        name = str(nodes[inputs[1]].get("name")) if len(inputs) > 1 else ""
        if node.get("op") == "RNN" and name in arrays and arrays[name].ndim == 1:
            found[name] = _attributes(node)
    return found


def unfused(path: Path, name: str, vector: np.ndarray, said: dict[str, Any]) -> Arrays:
    """Such a vector as Gluon names its parts: the matrices of every layer and direction, and then
    both biases of every layer and direction.

    Source: MXNet 1.9.1, ``rnn/rnn_cell.py``, ``FusedRNNCell._slice_weights``."""
    G, D = GATES.get(str(said.get("mode")), 0), 1
    D += str(said.get("bidirectional")) in ("True", "1")
    sizes = [str(said.get(field)) for field in ("state_size", "num_layers")]
    if not (G and all(re.fullmatch("[1-9][0-9]{0,5}", size) for size in sizes)):
        raise BadInput(path, name[:80], "the mode, size and layers of its RNN", str(said)[:80])
    if str(said.get("projection_size")) not in ("None", "0"):
        raise BadInput(path, name[:80], "an RNN without a projection", "one")
    h, L = map(int, sizes)
    wide = G * h
    d, over = divmod(vector.size - wide * D * (L * (2 + h) + (L - 1) * D * h), wide * D)
    if d < 1 or over or L * D > MOST_TENSORS:
        raise BadInput(path, name[:80], f"the numbers of {L} layers of {h} units", vector.size)
    found, at, stem = {}, 0, name.removesuffix("parameters")
    for last in ("weight", "bias"):
        for layer in range(L):
            for side in "lr"[:D]:
                for part, width in (("i2h", D * h if layer else d), ("h2h", h)):
                    shape = (wide, width) if last == "weight" else (wide,)
                    some = vector[at : at + math.prod(shape)].reshape(shape)
                    found[f"{stem}{side}{layer}_{part}_{last}"] = some
                    at += some.size
    return found


def options(
    path: Path, nodes: list[dict[str, Any]], below: list[list[int]], arrays: Arrays
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Of every RNN in a symbol, its tensors and what it says of them."""
    for number, node in enumerate(nodes):
        if node.get("op") != "RNN":
            continue
        said = _attributes(node)
        mode = str(said.get("mode"))
        if mode not in (*ACTIVATION, "lstm", "gru"):
            raise BadInput(path, "mode", "rnn_tanh, rnn_relu, lstm or gru", mode)
        told = {"layout": "NTC" if _turned(nodes, below, number) else "TNC"}
        if mode in ACTIVATION:
            told["activation"] = ACTIVATION[mode]
        names = [str(nodes[k].get("name")) for k in _above(below, below[number][1:2])]
        stems = tuple(n.removesuffix("parameters") for n in names if n.endswith("parameters"))
        parts = [name for name in arrays if stems and re.match(PART, name.removeprefix(stems[0]))]
        yield [name for name in (*names, *parts) if name in arrays], told


def _inputs(path: Path, node: dict[str, Any], number: int):
    """The nodes that a node reads, which all stand before it."""
    inputs = node.get("inputs", [])
    for row in inputs if is_list(inputs) else [None]:
        if not (is_list(row) and row and type(row[0]) is int and 0 <= row[0] < number):
            raise BadInput(path, f"nodes, {number}", "inputs that stand before it", str(row)[:80])
        yield row[0]


def _attributes(node: dict[str, Any]) -> dict[str, Any]:
    """Older symbols call them otherwise."""
    found = [node.get(key) for key in ("attrs", "attr", "param")]
    return next((value for value in found if is_object(value)), {})


def _above(below: list[list[int]], starts: list[int]) -> list[int]:
    seen, left = set(starts), list(starts)
    while left:
        for k in below[left.pop()]:
            if k not in seen:
                seen.add(k)
                left.append(k)
    return sorted(seen)


def _turned(nodes: list[dict[str, Any]], below: list[list[int]], number: int) -> bool:
    """Whether an odd number of exchanges of the first two axes stands before an RNN."""
    turned, at = False, below[number][:1]
    while at:
        node = nodes[at[0]]
        if node.get("op") == "SwapAxis":
            said = _attributes(node)
            turned ^= {str(said.get("dim1", 0)), str(said.get("dim2", 0))} == {"0", "1"}
        if node.get("op") == "RNN":
            break
        at = below[at[0]][:1]
    return turned
