"""Flax's msgpack, as ``flax.serialization.to_bytes`` writes it: nested names, and arrays as bytes.

An array is an extension of type 1: its shape, its type's name and its bytes. One of more than 1 GiB
is cut into chunks. Source: Flax 0.12, ``flax/serialization.py``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.storage.reading import is_object
from conformance.files.contents import Contents, checked_shape, flattened, whole, widened

SAYS = "a Flax file, in msgpack"
ARRAY, COMPLEX, SCALAR = 1, 2, 3
TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
         "uint32", "uint64", "bool")  # fmt: skip
CHUNKED = "__msgpack_chunked_array__"


def recognises(path: Path, start: bytes, size: int) -> bool:
    """An object of at least one name. What PyTorch writes can begin with 0x80, an empty one."""
    return 0x81 <= (start[:1] or b"\0")[0] <= 0x8F or start[:1] in (b"\xde", b"\xdf")


def read(path: Path) -> Contents:
    import msgpack

    data = whole(path, SAYS)

    def extension(code: int, inner: bytes) -> Any:
        if code == COMPLEX:
            return None
        if code not in (ARRAY, SCALAR):
            raise BadInput(path, "", "arrays and no other extension of msgpack", f"type {code}")
        return _array(path, msgpack.unpackb(inner))

    def joined(value: dict) -> Any:
        return _joined(path, value) if CHUNKED in value else value

    try:
        tree = msgpack.unpackb(data, ext_hook=extension, object_hook=joined, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        # ExtraData, FormatError, StackError and UnicodeDecodeError are ValueErrors.
        raise BadInput(path, "", f"{SAYS}, whole", type(error).__name__) from None
    arrays = flattened(tree, path)
    # nnx' variables may stand in objects of their own.
    return Contents(SAYS, {name.removesuffix("/value"): array for name, array in arrays.items()})


def _array(path: Path, said: Any) -> np.ndarray:
    if not (isinstance(said, list) and len(said) == 3 and isinstance(said[2], bytes)):
        raise BadInput(path, "", "an array's shape, type and bytes", str(said)[:80])
    shape, name, data = checked_shape(said[0], path, "an array"), said[1], said[2]
    if name not in (*TYPES, "bfloat16"):
        raise BadInput(path, "an array", "a type of number", str(name)[:80])
    dtype = np.dtype("uint16" if name == "bfloat16" else name)
    if len(data) != math.prod(shape) * dtype.itemsize:
        expected = f"{math.prod(shape) * dtype.itemsize} bytes for shape {shape}"
        raise BadInput(path, "an array", expected, len(data))
    array = np.frombuffer(data, dtype).reshape(shape)
    return widened(array) if name == "bfloat16" else array


def _joined(path: Path, value: dict) -> np.ndarray:
    """The chunks of one array. Lists are objects here, with the numbers as names."""
    parts = value.get("chunks")
    parts = list(parts.values()) if is_object(parts) else parts
    sizes = value.get("shape")
    shape = checked_shape(list(sizes.values()) if is_object(sizes) else sizes, path, "an array")
    if not (isinstance(parts, list) and parts and all(isinstance(p, np.ndarray) for p in parts)):
        raise BadInput(path, "an array", "its chunks", str(parts)[:80])
    if sum(part.size for part in parts) != math.prod(shape):
        raise BadInput(path, "an array", f"chunks for shape {shape}", "others")
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(shape)
