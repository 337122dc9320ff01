"""Several processes that train one model, joined by the framework's own engine.

A backend whose framework has none leaves ``launched`` and ``join`` out of its ``__init__.py``.
"""

from typing import Any

import numpy as np

from backends.protocol import Place


def launched() -> bool:
    """Whether the environment says that a launcher started this process as one of several."""
    raise NotImplementedError("workers.py: launched is not written yet")


def join(place: Place | None, device: str) -> "Workers":
    """Wait for the other workers, at their addresses or where the launcher says."""
    raise NotImplementedError("workers.py: join is not written yet")


class Workers:
    """This process among the others."""

    def __init__(self, device: Any) -> None:
        raise NotImplementedError("workers.py: Workers.__init__ is not written yet")

    def mean(self, tensors: list[Any]) -> None:
        """Put the mean over the workers into every tensor; all of them travel as one."""
        raise NotImplementedError("workers.py: Workers.mean is not written yet")

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers, element by element, of a float64 array."""
        raise NotImplementedError("workers.py: Workers.total is not written yet")

    def leave(self) -> None:
        """Wait until the others leave as well, and part."""
        raise NotImplementedError("workers.py: Workers.leave is not written yet")
