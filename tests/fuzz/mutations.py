"""Ways to change a file: its bytes, and what it says if it is JSON or safetensors.

Everything is drawn by hypothesis, so that a failure shrinks to the smallest change that shows it.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import load, save

from common.weights import CHECKSUM, checksum

Draw = Callable[[st.SearchStrategy[Any]], Any]

RAW = "\u2060raw:"
"""Marks text that stands in JSON as it is: what json.dumps would not write."""

ODD = [
    None, True, False, 0, -1, 1, 2, 10**9, 2**63, -(10**19), 0.5, -0.0, 1e-320, 1e308,
    "", "a", "a\0b", "../../outside", "/dev/zero", "\x1b[31m", "\ud800", "[bold]", "<b>", "|",
    "lstm", "float64", "x" * 5000, [], {}, [[]], [None], {"a": None}, {"": {}}, ["a", 1],
    *(f"{RAW}{text}" for text in ("1e999", "-1e999", "NaN", "Infinity", "1" * 5000, "-0", "1E400")),
    RAW + "[" * 200 + "]" * 200, RAW + "[" * 100_000, RAW + '{"a":' * 60 + "1" + "}" * 60,
]  # fmt: skip


def mutate_bytes(draw: Draw, data: bytes) -> bytes:
    """Flip, overwrite, remove, insert or repeat some of the bytes."""
    place = draw(st.integers(0, max(0, len(data) - 1)))
    length = draw(st.sampled_from((1, 1, 1, 2, 8, 64, 10**6)))
    some = draw(st.binary(min_size=1, max_size=16))
    kind = draw(st.sampled_from(("flip", "overwrite", "remove", "insert", "repeat", "cut", "zero")))
    changed = bytearray(data)
    if kind == "flip" and data:
        changed[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "overwrite":
        changed[place : place + len(some)] = some
    elif kind == "remove":
        del changed[place : place + length]
    elif kind == "insert":
        changed[place:place] = some
    elif kind == "repeat":
        changed[place:place] = changed[place : place + min(length, 64)]
    elif kind == "cut":
        del changed[place:]
    elif kind == "zero":
        changed[place : place + length] = bytes(len(changed[place : place + length]))
    return bytes(changed)


def mutate_value(draw: Draw, value: Any) -> Any:
    """Put something odd into JSON values, somewhere."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(ODD))
    if isinstance(value, list):
        changed = list(value)
        place = draw(st.integers(0, len(value) - 1))
        kind = draw(st.sampled_from(("inside", "inside", "remove", "repeat", "swap")))
        if kind == "inside":
            changed[place] = mutate_value(draw, value[place])
        elif kind == "remove":
            del changed[place]
        elif kind == "repeat":
            changed.insert(place, value[place])
        else:
            changed[place], changed[0] = changed[0], changed[place]
        return changed
    name = draw(st.sampled_from(sorted(value)))
    kind = draw(st.sampled_from(("inside", "inside", "inside", "remove", "rename", "more")))
    changed = dict(value)
    if kind == "inside":
        changed[name] = mutate_value(draw, value[name])
    elif kind == "remove":
        del changed[name]
    elif kind == "rename":
        changed = {(f"{k}x" if k == name else k): v for k, v in value.items()}
    else:
        changed[draw(st.sampled_from(("more", "", "a/b", "..", "\0")))] = draw(st.sampled_from(ODD))
    return changed


def dumps(value: Any) -> str:
    """JSON, with what is marked as RAW as it is."""
    text = json.dumps(value)
    mark = json.dumps(RAW)[1:-1]
    while (start := text.find(f'"{mark}')) >= 0:
        end = text.find('"', start + 1)
        while text[end - 1] == "\\":
            end = text.find('"', end + 1)
        text = text[:start] + json.loads(text[start : end + 1])[len(RAW) :] + text[end + 1 :]
    return text


def mutate_json(draw: Draw, data: bytes) -> bytes:
    return dumps(mutate_value(draw, json.loads(data))).encode("utf-8", "surrogatepass")


def mutate_safetensors(draw: Draw, data: bytes) -> bytes:
    """Another header, other metadata or other arrays; the latter two with a checksum that fits."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kind = draw(st.sampled_from(("header", "length", "metadata", "array", "array", "stale")))
    if kind == "length":
        wrong = draw(
            st.sampled_from((0, 1, length - 1, length + 1, 2**31, 2**40, 2**63, 2**64 - 1))
        )
        return struct.pack("<Q", wrong) + data[8:]
    if kind == "header":
        text = dumps(mutate_value(draw, header)).encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(text)) + text + data[8 + length :]
    metadata, arrays = header.get("__metadata__", {}), load(data)
    stored = metadata.pop(CHECKSUM, None)
    if kind == "metadata" and metadata:
        name = draw(st.sampled_from(sorted(metadata)))
        try:
            metadata[name] = dumps(mutate_value(draw, json.loads(metadata[name])))
        except ValueError:
            metadata[name] = draw(st.sampled_from(("", "0" * 64, "[]", "x")))
        metadata[name] = metadata[name].encode("utf-8", "replace").decode()
    elif arrays:
        name = draw(st.sampled_from(sorted(arrays)))
        arrays = mutate_array(draw, arrays, name)
    if kind != "stale":
        stored = checksum(arrays, metadata)
    return save(arrays, metadata | ({CHECKSUM: stored} if stored else {}))


def mutate_array(draw: Draw, arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Another type, rank, length or number in one array; or none, or one more."""
    array = arrays[name]
    types = ("float32", "float64", "int64", "uint8", "bool", "float16", "complex64")
    odd = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 255.0)
    changed: dict[str, Callable[[], np.ndarray]] = {
        "type": lambda: array.astype(draw(st.sampled_from(types))),
        "rank": lambda: array[None],
        "flat": lambda: array.reshape(-1),
        "empty": lambda: array.reshape(-1)[:0],
        "no steps": lambda: np.zeros((0, *array.shape[1:]), array.dtype),
        "one number": lambda: np.zeros((), array.dtype),
        "shorter": lambda: array.reshape(-1)[:-1],
        "turned": lambda: np.ascontiguousarray(array.T),
        "doubled": lambda: np.concatenate([array.reshape(-1)] * 2),
        "number": lambda: _with_one(draw, array, draw(st.sampled_from(odd))),
        "nudged": lambda: _nudged(draw, array),
    }
    kind = draw(st.sampled_from((*changed, "remove", "rename", "more")))
    arrays = dict(arrays)
    if kind == "more":
        arrays[draw(st.sampled_from(("more", "surprise/O", "gradients/x", "held out/")))] = array
        return arrays
    del arrays[name]
    if kind == "rename":
        arrays[f"{name}x"] = array
    elif kind != "remove":
        with np.errstate(all="ignore"):
            arrays[name] = changed[kind]()
    return arrays


def _with_one(draw: Draw, array: np.ndarray, number: float) -> np.ndarray:
    found = array.reshape(-1).copy()
    if len(found):
        place = draw(st.integers(0, len(found) - 1))
        found[place] = (
            number if found.dtype.kind in "fc" else int(np.clip(np.nan_to_num(number), 0, 99))
        )
    return found.reshape(array.shape)


def _nudged(draw: Draw, array: np.ndarray) -> np.ndarray:
    """One bit of one number."""
    found = np.frombuffer(array.tobytes(), "uint8").copy()
    if len(found):
        found[draw(st.integers(0, len(found) - 1))] ^= 1 << draw(st.integers(0, 7))
    return np.frombuffer(found.tobytes(), array.dtype).reshape(array.shape)


def mutated(draw: Draw, name: str, data: bytes) -> bytes:
    """One or two changes of a file, by what it is called."""
    by_meaning = {"json": mutate_json, "safetensors": mutate_safetensors}.get(name.split(".")[-1])
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        try:
            meaning = by_meaning and draw(st.booleans())
            data = by_meaning(draw, data) if meaning else mutate_bytes(draw, data)
        except (ValueError, KeyError, struct.error, AttributeError, TypeError, RecursionError):
            data = mutate_bytes(draw, data)  # the first change left nothing that has a meaning
        except Exception as error:  # safetensors' own, of a header that it cannot read
            if "SafetensorError" not in type(error).__name__:
                raise
            data = mutate_bytes(draw, data)
    return data
