"""Capture a live model: its recurrent layers, and what they did in one run.

    from backends.template.capture import capture

    capture(model, "mine.safetensors", X)

The command ``capture`` calls ``capture`` and ``from_array`` alone: where the framework shows its
layers otherwise than PyTorch does, there are other functions between them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common.capture import Call, Layer, Tensors
from common.parameters import Arrays

Found = list[tuple[Layer, Any]]
Live = list[tuple[Layer, Call, dict[str, Any]]]
"""Of every call, the tensors that went in."""


def capture(
    model: Any,
    path: str | Path,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Run ``model(*inputs, **options)``, write what its recurrent layers did, return its outputs.

    loss: of the outputs, a number; then gradients are written as well

    Raises BadInput if no recurrent layer ran.
    """
    raise NotImplementedError("capture.py: capture is not written yet")


def find(model: Any) -> Found:
    """The recurrent layers of a model, in the order in which it holds them."""
    raise NotImplementedError("capture.py: find is not written yet")


def describe(name: str, module: Any, cell: str) -> Layer:
    """A layer before it ran: what it is, and its weights."""
    raise NotImplementedError("capture.py: describe is not written yet")


def tensors(module: Any) -> Tensors:
    """Of layers and directions, the names of the weights."""
    raise NotImplementedError("capture.py: tensors is not written yet")


def parameters(model: Any) -> Iterator[tuple[str, Any]]:
    """All of a model's, by their names without what torch.compile puts in front of them."""
    raise NotImplementedError("capture.py: parameters is not written yet")


def rest(model: Any, found: Found) -> Arrays:
    """The parameters that belong to no recurrent layer."""
    raise NotImplementedError("capture.py: rest is not written yet")


@contextmanager
def watching(found: Found, slopes: bool) -> Iterator[Live]:
    """Write down every call of the layers. slopes: whether gradients will be asked for"""
    raise NotImplementedError("capture.py: watching is not written yet")


def watch(layer: Layer, live: Live) -> tuple[Callable[..., Any], Callable[..., None]]:
    """What is done before and after a call of a layer."""
    raise NotImplementedError("capture.py: watch is not written yet")


def given(args: tuple, options: dict) -> tuple[Any, Any]:
    """The input and the state of a call."""
    raise NotImplementedError("capture.py: given is not written yet")


def follow(value: Any) -> Any:
    """The same tensors, whose gradients can be asked for."""
    raise NotImplementedError("capture.py: follow is not written yet")


def sequences(X: Any, outputs: Any, module: Any, alone: bool) -> Arrays:
    """X and outputs with all three axes, and lengths, if there are any."""
    raise NotImplementedError("capture.py: sequences is not written yet")


def steps(tensor: Any, module: Any, alone: bool) -> np.ndarray:
    """A tensor of a call without examples, or of a cell, with all three axes."""
    raise NotImplementedError("capture.py: steps is not written yet")


def states(tensor: Any, module: Any, alone: bool) -> np.ndarray:
    """A state as (L·D, n, p)."""
    raise NotImplementedError("capture.py: states is not written yet")


def is_whole(module: Any) -> bool:
    """Whether it reads sequences; else it is a cell."""
    raise NotImplementedError("capture.py: is_whole is not written yet")


def differentiate(found: Found, live: Live, value: Any) -> None:
    """The loss's gradients, of weights and of what went into the layers."""
    raise NotImplementedError("capture.py: differentiate is not written yet")


def to_array(tensor: Any) -> np.ndarray:
    """Its numbers at this moment; float32 for bfloat16, which NumPy lacks."""
    raise NotImplementedError("capture.py: to_array is not written yet")


def from_array(array: np.ndarray) -> Any:
    """An input, as the framework has it."""
    raise NotImplementedError("capture.py: from_array is not written yet")


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, which torch.compile leaves alone, if it is there at all."""
    raise NotImplementedError("capture.py: eager is not written yet")


def forget_compiled() -> None:
    """Have torch compile anew, if it has compiled anything: what it compiled skips hooks."""
    raise NotImplementedError("capture.py: forget_compiled is not written yet")
