"""A thread for each direction of a layer, where a core would be idle.

The directions of a layer read the same and know nothing of one another, so that nothing but time
depends on whether they are computed one after another. A BLAS of several threads keeps the cores
busy by itself, and small layers spend more in handing over than in computing.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

from backends.protocol import cores

Half = TypeVar("Half")

WORTH_IT = 4096
"""n · h from which on a second thread gains in every cell; 2,048 is a draw, 1,024 a loss."""


def each_way(work: Callable[..., Half], size: int, *halves: Sequence[Any]) -> list[Half]:
    """``map(work, *halves)``: what the work makes of one direction, or of both.

    size: n · h of the layer   halves: as many sequences as the work has arguments, an item for each
    direction of the layer
    """
    if len(halves[0]) == 1 or size < WORTH_IT or not core_is_idle():
        return list(map(work, *halves))
    # A new thread does not know how its maker wants to hear of an overflow.
    told = functools.partial(np.seterr, **np.geterr())
    with ThreadPoolExecutor(len(halves[0]), initializer=told) as threads:
        return list(threads.map(work, *halves))


def core_is_idle() -> bool:
    """Whether there is a core that BLAS leaves alone, since its products have one thread."""
    blas = [lib["num_threads"] for lib in controller().info() if lib["user_api"] == "blas"]
    return cores() > 1 and max(blas, default=1) == 1


@functools.cache
def controller() -> ThreadpoolController:
    """Looking for the BLAS takes longer than asking it."""
    return ThreadpoolController()
