"""safetensors: names and arrays. Whose layout it is only the names can tell."""

from __future__ import annotations

from pathlib import Path

from common.weights import read_arrays
from conformance.files.contents import Contents

SAYS = "a safetensors file"


def recognises(path: Path, start: bytes, size: int) -> bool:
    length = int.from_bytes(start[:8], "little")
    return path.suffix == ".safetensors" or (start[8:9] == b"{" and length <= size)


def read(path: Path) -> Contents:
    arrays, _ = read_arrays(path, follow=True)
    return Contents(SAYS, arrays)
