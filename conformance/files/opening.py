"""Which reader a file is for: what is in it tells, and its name only where that says nothing."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import BadInput
from common.storage.reading import check_file
from common.weights import LARGEST_FILE
from conformance.files import checkpoints, flax, keras, mxnet, onnx, tensors
from conformance.files.contents import Contents
from conformance.files.isolated import FRAMEWORK, isolated

START = 4096
READERS = (tensors, keras, mxnet, checkpoints, flax, onnx)
KINDS = "safetensors, .onnx, .keras, .h5, .params, msgpack, .pt, .pth, or a TensorFlow checkpoint"


def open_file(path: Path) -> Contents:
    """What is in a file of somebody's; BadInput if it is none that can be read, or not whole."""
    path = found_at(path)
    check_file(path, f"a file of weights ({KINDS})", LARGEST_FILE, follow=True)
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(START)
    for reader in READERS:
        if reader.recognises(path, start, size):
            if reader is tensors:
                return tensors.read(path)  # in Rust, which checks all that it reads
            if reader is checkpoints:
                says = "a checkpoint that its framework can read"
                return isolated(checkpoints.reader(path), path, size, says, FRAMEWORK)
            return isolated(reader.read, path, size, f"{reader.SAYS}, whole")
    first = start[:8].hex(" ") or "nothing"
    raise BadInput(path, "", f"a file of weights ({KINDS})", f"one that begins with {first}")


def found_at(path: Path) -> Path:
    """The index of a TensorFlow checkpoint, which is named without it, or by a saved model."""
    if path.is_dir():
        return path / "variables" / "variables.index"
    index = path.with_name(path.name + ".index")
    return index if not path.exists() and index.exists() else path
