"""PyTorch's ``.pt`` and ``.pth`` and TensorFlow's checkpoints, which these read themselves.

PyTorch's are pickles. They are read by its own reader for tensors and nothing else
(``weights_only=True``), and in no other way, ever. Both need an environment with the framework.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backends.registry import load
from common.errors import BadInput
from conformance.files.contents import Contents, check_density, flattened

TORCH, TENSORFLOW = "pytorch", "tensorflow"
SAYS = {TORCH: "a file of PyTorch's with tensors alone", TENSORFLOW: "a checkpoint of TensorFlow's"}
PICKLE = b"\x80"
TABLE = bytes.fromhex("57fb808b247547db")
"""What a TensorFlow index ends with."""

INSTEAD = {
    TORCH: "or a safetensors file, made there by safetensors.torch.save_file(model.state_dict(), "
    "'model.safetensors')",
    TENSORFLOW: "or a safetensors file, made there by safetensors.numpy.save_file of what "
    "tf.train.load_checkpoint reads",
}
DROPPED = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter", "global_step")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def recognises(path: Path, start: bytes, size: int) -> bool:
    if path.suffix == ".index" or start[:1] == PICKLE:
        return True
    zipped = start[:4] == b"PK\x03\x04" and b"/data.pkl" in start
    return zipped or path.suffix in (".pt", ".pth")


def reader(path: Path) -> Callable[[Path], Contents]:
    return read_table if path.suffix == ".index" else read


def read(path: Path) -> Contents:
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as file:
                for info in file.infolist():
                    check_density(info.file_size, info.compress_size, path, info.filename)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadInput(path, "", SAYS[TORCH], error) from None
    found = flattened(_by(TORCH, path, path), path, ".")
    return Contents(SAYS[TORCH], found)


def read_table(path: Path) -> Contents:
    found = _by(TENSORFLOW, path, path.with_suffix(""))
    arrays = {
        name.removesuffix(VALUE): array
        for name, array in flattened(found, path).items()
        if not name.startswith(DROPPED) and "OPTIMIZER_SLOT" not in name
    }
    return Contents(SAYS[TENSORFLOW], arrays)


def _by(name: str, path: Path, asked: Path) -> dict[str, np.ndarray]:
    """What the framework's own reader finds, if the framework is here."""
    try:
        backend = load(name)
    except BadInput as error:
        expected = f"{name} in this environment, {INSTEAD[name]}"
        raise BadInput(path, "", expected, error.found) from None
    try:
        return backend.read_file(asked)  # pyright: ignore[reportAttributeAccessIssue]
    except ValueError as error:
        raise BadInput(path, "", f"{SAYS[name]}, {INSTEAD[name]}", error) from None
