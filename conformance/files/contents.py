"""What a reader finds in a file, and the limits that all readers keep to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays
from common.storage.reading import check_size, is_list, is_object, read_bytes
from common.weights import LARGEST_FILE, MOST_AXES

MOST_TENSORS = 100_000
"""Of one file. The deepest models have some thousands."""

DENSEST = 20
"""How many times its bytes in the file a tensor may take. Weights are near to random, and no
compression makes them a twentieth; a bomb is made of zeros, up to a thousand times smaller."""

SMALL = 64 * 2**20
"""Bytes that are read however much they were compressed."""


@dataclass(frozen=True)
class Layer:
    """One recurrent layer that the file itself describes.

    name:    as the file calls it
    tensors: of its one direction or its two, the names in the file by kind (models/layouts.py)
    """

    name: str
    tensors: tuple[dict[str, str], ...]


@dataclass
class Contents:
    """says:    what the file is, in words
    arrays:  all its tensors by name
    layout:  whose layers these are, "" if only the names can tell
    stacks:  of each network, its layers from the bottom up; none if only the names can tell
    options: of tensors with these names, what the file says of the layer that they belong to
    """

    says: str
    arrays: Arrays
    layout: str = ""
    stacks: list[list[Layer]] = field(default_factory=list)
    options: list[tuple[list[str], dict[str, str]]] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """All but the arrays, as JSON."""
        return {
            "says": self.says,
            "names": list(self.arrays),
            "layout": self.layout,
            "stacks": [[[layer.name, list(layer.tensors)] for layer in s] for s in self.stacks],
            "options": self.options,
        }

    @classmethod
    def of(cls, described: dict[str, Any], arrays: Arrays) -> Contents:
        stacks = [
            [Layer(name, tuple(tensors)) for name, tensors in stack]
            for stack in described["stacks"]
        ]
        options = [(names, told) for names, told in described["options"]]
        arrays = {name: arrays[name] for name in described["names"]}
        return cls(described["says"], arrays, described["layout"], stacks, options)


def whole(path: Path, says: str) -> bytes:
    """All bytes of a file, for which no more memory is taken than it has."""
    size = path.stat().st_size
    check_size(path, says, size, LARGEST_FILE)
    return read_bytes(path, says, size, follow=True)


def checked_shape(shape: Any, where: object, name: str) -> tuple[int, ...]:
    """The shape, if it is one of a tensor that may be read at all."""
    good = (
        isinstance(shape, (list, tuple))
        and len(shape) <= MOST_AXES
        and all(type(size) is int and 0 <= size < 2**40 for size in shape)
        and math.prod(shape) <= LARGEST_FILE
    )
    if not good:
        raise BadInput(where, name[:80], "the shape of a tensor", str(shape)[:80])
    return tuple(shape)


def check_total(total: int, where: object, what: str) -> None:
    """BadInput if more bytes of numbers are in a file than are read into memory."""
    if total > LARGEST_FILE:
        raise BadInput(where, "", f"{what} of at most {LARGEST_FILE:,} bytes of numbers", total)


def check_density(wanted: int, stored: int, where: object, name: str) -> None:
    """BadInput for what grows too much when it is unpacked."""
    if wanted > SMALL and wanted > DENSEST * stored:
        expected = f"no more than {DENSEST} times the {stored:,} bytes that are stored"
        raise BadInput(where, name[:80], expected, f"{wanted:,} bytes")


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, in float32, which holds every one of its numbers."""
    return (bits.astype("uint32") << 16).view("float32")


def flattened(tree: Any, where: object, sign: str = "/") -> Arrays:
    """The arrays in nested objects and lists, by their paths."""
    found: Arrays = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if len(path) > 40 or len(found) > MOST_TENSORS:
            raise BadInput(where, sign.join(path)[:80], "tensors in few objects", "too many")
        if isinstance(value, np.ndarray):
            found[sign.join(path) or "it"] = value
        elif is_object(value):
            for name, inner in value.items():
                walk(inner, (*path, str(name)))
        elif is_list(value) or isinstance(value, tuple):
            for number, inner in enumerate(value):
                walk(inner, (*path, str(number)))

    walk(tree, ())
    return found
