"""Several workers make one record: the first in the command's own thread, each other one in its
own, with which it would end."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from conformance.run.child import TICK, Child

Work = Callable[[Child, threading.Event], None]
"""What one worker does. The event says that all are to end, and its answers count no more."""


def together(work: Work, first: Child, others: Sequence[Child]) -> None:
    """All work until nothing is left to do. The first stays; the others are gone afterwards.

    Raises what any of them raises, when all are at an end; what the first raises ends the others.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(max(1, len(others))) as threads:
        futures = [threads.submit(work, child, ended) for child in others]
        try:
            work(first, ended)
            wait(futures)
        finally:  # after Ctrl-C as well: the threads would wait for their answers
            ended.set()
            end(others, futures)
    for future in futures:
        future.result()


def end(children: Sequence[Child], futures: Sequence[Future]) -> None:
    """Kill workers until their threads are at an end: one may just be starting another."""
    while wait(futures, TICK).not_done:
        for child in children:
            child.kill()
    for child in children:
        child.stop()
