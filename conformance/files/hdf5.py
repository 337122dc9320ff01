"""HDF5 files, of which nothing is followed that could lead elsewhere.

An HDF5 file can name other files, by links, external and virtual datasets; it can hold cycles,
references to objects, and filters that are programs to be loaded. Only groups, hard links and plain
datasets are read, packed by nothing but gzip.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import BadInput
from conformance.files.contents import MOST_TENSORS, check_density, check_total, checked_shape

DEEPEST = 40
FILTERS = (1, 2, 3)
"""gzip, shuffle and a checksum, as HDF5 numbers them."""

LONGEST = 64 * 2**20
"""Bytes of an attribute: the configuration of a model."""

MAGIC = b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(source: Path | bytes, where: object, says: str) -> Iterator[Any]:
    """An HDF5 file; BadInput if the library does not understand it."""
    import h5py

    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with h5py.File(file, "r") as found:
            yield found
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError,
            OverflowError) as error:  # fmt: skip
        # What h5py makes of the many things that HDF5 may find to be wrong.
        raise BadInput(where, "", says, f"{type(error).__name__}: {error}") from None


def datasets(group: Any, where: object) -> dict[str, Any]:
    """Every dataset with numbers below a group, by its path; nothing is read yet."""
    import h5py

    found: dict[str, Any] = {}
    left, seen, total = [(group, "", 0)], 0, 0
    while left:
        inside, path, depth = left.pop()
        for name in inside:
            seen += 1
            here = f"{path}{name}"
            if seen > MOST_TENSORS or depth > DEEPEST:
                raise BadInput(where, here[:80], "few objects, and none in itself", "too many")
            link = inside.get(name, getlink=True)
            if type(link) is not h5py.HardLink:
                expected = "objects of this file alone"
                raise BadInput(where, here[:80], expected, f"a link ({type(link).__name__})")
            object_ = inside[name]
            if isinstance(object_, h5py.Group):
                left.append((object_, f"{here}/", depth + 1))
            elif isinstance(object_, h5py.Dataset):
                found[here] = object_
                total += check_dataset(object_, where, here)
            else:
                raise BadInput(where, here[:80], "groups and arrays", "a type that has a name")
    check_total(total, where, "a file")
    return dict(sorted(found.items()))


def check_dataset(dataset: Any, where: object, name: str) -> int:
    """How many bytes it has; BadInput unless they lie in this file, as plain numbers."""
    import h5py

    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise BadInput(where, name[:80], "numbers in this file", "those of another file")
    filters = [properties.get_filter(k)[0] for k in range(properties.get_nfilters())]
    if set(filters) - set(FILTERS):
        raise BadInput(where, name[:80], "numbers packed by gzip or not at all", filters)
    kind = dataset.id.get_type().get_class()
    if kind not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        return 0  # not read: a seed's name, say
    shape = checked_shape(dataset.shape, where, name)
    wanted = math.prod(shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if wanted and not filters and stored < wanted:
        raise BadInput(where, name[:80], f"{wanted:,} bytes", f"{stored:,}")
    check_density(wanted, stored, where, name)
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > 2**28:
        raise BadInput(where, name[:80], "pieces of at most 256 MiB", dataset.chunks)
    return wanted


def numbers(dataset: Any) -> np.ndarray | None:
    """The array, None if it holds no numbers."""
    return np.asarray(dataset[()]) if dataset.dtype.kind in "fiu" else None


def attribute(object_: Any, name: str, where: object) -> Any:
    """A text, a list of texts, or None. A long list is cut into parts, name0, name1 …"""
    if name not in object_.attrs:
        parts = []
        while f"{name}{len(parts)}" in object_.attrs:
            parts.append(texts(object_, f"{name}{len(parts)}", where))
        return [text for part in parts for text in part] if parts else None
    return texts(object_, name, where)


def texts(object_: Any, name: str, where: object) -> Any:
    import h5py

    id_ = object_.attrs.get_id(name)
    size = math.prod(id_.shape or ()) * id_.dtype.itemsize
    if not 0 <= size <= LONGEST:
        raise BadInput(where, name, f"at most {LONGEST:,} bytes", size)
    if id_.get_type().get_class() != h5py.h5t.STRING:
        if size == 0 or not math.prod(id_.shape or ()):
            return []  # an empty list has no type
        raise BadInput(where, name, "texts", str(id_.dtype))
    value = object_.attrs[name]
    plain = value.tolist() if isinstance(value, np.ndarray) else value

    def text(one: Any) -> str:
        return one.decode("utf-8", "backslashreplace") if isinstance(one, bytes) else str(one)

    if isinstance(plain, list):
        if any(isinstance(one, list) for one in plain):
            raise BadInput(where, name, "a list of texts", "lists in it")
        return [text(one) for one in plain]
    return text(plain)
