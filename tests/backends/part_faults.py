"""Faults in a backend that answers a part of the ladder: those of its own file."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

Change = tuple[Any, str, Any]
"""A module, a name in it, and what stands there instead."""

Fault = tuple[tuple[str, ...], list[Change]]
"""The cells that it is put into, and what is changed."""


def faults_of(backend: str) -> dict[str, Fault]:
    """By name."""
    return importlib.import_module(f"tests.backends.{backend}_faults").FAULTS


@contextmanager
def put_in(fault: Fault) -> Iterator[None]:
    """Whatever writes models meanwhile has the fault."""
    patches = [patch.object(module, attribute, new) for module, attribute, new in fault[1]]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
