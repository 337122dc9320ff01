"""The lattice: the multiples of 2⁻²⁰, on which training runs are the same bit for bit.

Rounding differences between frameworks are about 1e-16. Rounded to the lattice after every step
(LATTICE-1) they are gone, as long as no value lies that close to the middle between two of its
points; so a run of any length is identified by the digests of its parameters.
"""

import hashlib

import numpy as np

from common.errors import BadInput
from common.parameters import Arrays

UNITS = 2.0**20
"""Lattice points per 1."""

LARGEST = 2.0**33
"""What is below it has at most 53 bits on the lattice, so that float64 holds it."""


def to_lattice(arrays: Arrays) -> Arrays:
    """rint(w · 2²⁰) / 2²⁰, in float64   (LATTICE-1)"""
    return {
        name: np.rint(array.astype("float64") * UNITS) / UNITS for name, array in arrays.items()
    }


def to_units(arrays: Arrays) -> Arrays:
    """Every value as its number of lattice units, int64; BadInput if one is not on the lattice."""
    units: Arrays = {}
    for name, array in arrays.items():
        scaled = array.astype("float64") * UNITS
        whole = np.rint(scaled)
        if not ((scaled == whole) & (np.abs(scaled) < LARGEST * UNITS)).all():
            raise BadInput("lattice", name, "multiples of 2^-20 below 2^33", "other values")
        units[name] = whole.astype("<i8")
    return units


def digest(params: Arrays) -> str:
    """SHA-256 over the parameters as little-endian int64 lattice units, in the order given, which
    is the canonical one."""
    found = hashlib.sha256()
    for array in to_units(params).values():
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
