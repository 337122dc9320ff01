"""What several workers must have in common, and what the first one tells the others.

All of it is made of one thing that every framework's engine offers, a sum over the workers: one
adds what it has where the others add zeros.
"""

import hashlib
import json
from typing import Any

import numpy as np

from backends.protocol import Workers
from common.errors import BadInput
from common.parameters import Arrays
from conformance.records.checkpoint import difference


class Alone:
    """The only worker."""

    rank, size = 0, 1

    def mean(self, tensors: Any) -> Any:
        return tensors

    def total(self, array: np.ndarray) -> np.ndarray:
        return array

    def leave(self) -> None:
        """There is nobody to part from."""


ALONE = Alone()


def gather(workers: Workers, text: str) -> list[str]:
    """The text of every worker, by rank."""
    own = np.frombuffer(text.encode("utf-8"), "uint8")
    lengths = np.zeros(workers.size)
    lengths[workers.rank] = len(own)
    lengths = workers.total(lengths).astype("int64")
    if not lengths.any():
        return [""] * workers.size
    rows = np.zeros((workers.size, lengths.max()))
    rows[workers.rank, : len(own)] = own
    rows = workers.total(rows).astype("uint8")
    return [row[:length].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]


def agree(workers: Workers, facts: dict[str, Any]) -> None:
    """BadInput if a worker has other facts than the first one; every worker raises the same."""
    there = [json.loads(text) for text in gather(workers, json.dumps(facts))]
    for rank, found in enumerate(there):
        for field, expected in there[0].items():
            if found.get(field) != expected:
                where = f"worker {rank} of {workers.size}"
                raise BadInput(where, field, *difference(expected, found.get(field)))


def of_the_first(workers: Workers, arrays: Arrays) -> Arrays:
    """The arrays of the first worker, in every one of them, to the bit (-0 becomes 0)."""
    if workers.size == 1:
        return arrays
    share = float(workers.rank == 0)
    return {name: workers.total(share * array.astype("float64")) for name, array in arrays.items()}


def fingerprint(arrays: Arrays) -> str:
    """SHA-256 over the bytes of arrays, in the order given."""
    found = hashlib.sha256()
    for array in arrays.values():
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
