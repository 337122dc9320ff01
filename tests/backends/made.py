"""Implementations, each made once for all tests of a session, as a worker has it: what one has
compiled serves the next test."""

import functools

from backends import registry
from backends.protocol import Implementation

DEAR = {"jax", "tensorflow"}
"""Backends that a new case or a new size costs most."""


@functools.cache
def made_by(
    backend: str, implementation: str, device: str = "cpu", dtype: str = "float64"
) -> Implementation:
    return registry.load(backend).implementation(implementation, device, dtype)
