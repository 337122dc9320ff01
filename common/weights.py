"""The weights file: canonical parameters as safetensors, with the spec in its metadata.

A safetensors file is a JSON header and raw little-endian bytes: nothing in it is ever executed.
"""

import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from common.errors import BadInput
from common.parameters import Arrays, check_parameters, parameter_shapes
from common.spec import ModelSpec
from common.storage.files import write_atomically
from common.storage.reading import check_file, is_list, is_object, parse_json

FORMAT = "deep-rnn-weights-1"

CHECKSUM = "sha256"
"""The checksum's key in the metadata. It is against accidents: who forges a file can make one."""

LARGEST_FILE = 4 * 2**30
"""Bytes. The suite's largest case has 34 MiB, one with weights of somebody's own (5 × 268 million
numbers of common/spec.py, at the very most) a few GiB."""

LARGEST_HEADER = 64 * 2**20
"""Bytes. A checkpoint of 500 epochs over a long book has 20 MiB of losses in it."""

MOST_AXES = 8

WHOLE = "a whole safetensors file"

Found = tuple[Arrays, dict[str, str]]


def write_arrays(path: Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with a checksum over all that it says, and always the
    same bytes for the same arrays and metadata."""
    # save writes the memory as it lies there, so a transposed view must be laid out first.
    # (Not ascontiguousarray, which turns a scalar into a vector.)
    laid_out = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {key: value for key, value in metadata.items() if key != CHECKSUM}
    metadata[CHECKSUM] = checksum(laid_out, metadata)
    # Not save_file, whose own error hides that a disk is full.
    data = _in_order(save(laid_out, metadata))
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: safetensors has them in the order of a
    hash table, which is another one in every process."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8, and count from there
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def checksum(arrays: Arrays, metadata: dict[str, str]) -> str:
    """SHA-256 over metadata, and over every array with its name, type and shape."""
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view("uint8").data)
    return digest.hexdigest()


def read_arrays(path: Path, follow: bool = False, ours: bool = False) -> Found:
    """Read a safetensors file: its arrays and its metadata; BadInput if it is not whole.

    follow: whether it may be a link, because a user has named it
    ours:   whether the suite wrote it: then it must have a checksum; where there is one, it counts
    """
    check_file(path, WHOLE, LARGEST_FILE, follow)
    try:
        _check_header(path)
        with cast(Any, safe_open(path, framework="numpy")) as file:  # it has no types
            arrays: Arrays = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError, KeyError) as error:
        # The last four: a tensor of a type that safetensors does not hand to NumPy.
        raise BadInput(path, "", WHOLE, error) from None
    stored = metadata.pop(CHECKSUM, None)
    if stored is None and ours:
        expected = "a checksum (who has files of an older version makes them again)"
        raise BadInput(path, f"metadata {CHECKSUM!r}", expected, "none")
    if stored is not None and stored != (found := checksum(arrays, metadata)):
        expected = f"{stored[:12]}, what was written"
        raise BadInput(path, "checksum", expected, f"{found[:12]}: the file is damaged")
    return arrays, metadata


LACKING = ("BF", "F8_", "F6_", "F4")
"""How safetensors' names of types begin that NumPy lacks. Whether they can be read would otherwise
depend on who has imported ml_dtypes in this process."""


def _check_header(path: Path) -> None:
    """ValueError if the header is too large to be read, or has sizes that the file has not."""
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(LARGEST_HEADER, size - 8):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        header = parse_json(file.read(length).decode("utf-8"), path, "", WHOLE)
    if not is_object(header):
        raise ValueError(f"a header that is a {type(header).__name__}")
    for name, tensor in header.items():
        shape = tensor.get("shape") if is_object(tensor) else None
        if name != "__metadata__" and not (
            is_list(shape)
            and len(shape) <= MOST_AXES
            and all(type(n) is int and 0 <= n <= size for n in shape)
            and math.prod(shape) <= 8 * size  # the smallest types have several in a byte
        ):
            raise ValueError(f"{name[:80]!r} of shape {str(shape)[:80]}")
        if is_object(tensor) and str(tensor.get("dtype")).startswith(LACKING):
            raise ValueError(f"{name[:80]!r} of type {str(tensor['dtype'])[:80]}")


def save_weights(path: Path, spec: ModelSpec, params: Arrays) -> None:
    """Write the parameters of a spec; they are checked first, so that no bad file comes to be."""
    check_parameters(spec, params, path)
    ordered = {name: params[name] for name in parameter_shapes(spec)}
    metadata = {"format": FORMAT, "spec": json.dumps(spec.to_json())}
    write_arrays(path, ordered, metadata)


def load_weights(path: Path) -> tuple[ModelSpec, Arrays]:
    """Read a weights file: the spec and its parameters in canonical order.

    Raises BadInput for a truncated or foreign file, a bad spec, and a missing, extra, misshapen or
    non-finite tensor.
    """
    arrays, metadata = read_arrays(path, follow=True)
    if metadata.get("format") != FORMAT:
        found = repr(metadata.get("format")) if "format" in metadata else "none"
        raise BadInput(path, "metadata 'format'", repr(FORMAT), found)
    value = parse_json(metadata.get("spec", ""), path, "metadata 'spec'", "JSON")
    spec = ModelSpec.from_json(value, path)
    check_parameters(spec, arrays, path)
    return spec, {name: arrays[name] for name in parameter_shapes(spec)}
