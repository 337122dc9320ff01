"""Work that is spread over the cores, a process each: Python alone computes on one."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from conformance.progress import Progress
from conformance.worker.lifetime import be_collected_seldom, end_with_the_parent

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    work: Callable[[Item], Result], items: list[Item], what: str, progress: Progress, workers: int
) -> Iterator[Result]:
    """``work(item)`` for every item, in their order, with a line for about every tenth where no
    bar is seen. Libraries compute with one thread in it.

    work: a function of a module, or a partial of one: it is sent to fresh processes. With one
    worker it is called here.
    """
    every = max(1, len(items) // 10)
    for done, result in enumerate(results(work, items, what, progress, workers), start=1):
        if progress.unseen and done % every == 0:
            progress.say(f"{what}: {done} of {len(items)}")
        yield result


def results(
    work: Callable[[Item], Result], items: list[Item], what: str, progress: Progress, workers: int
) -> Iterator[Result]:
    if workers == 1:
        with threadpool_limits(1):
            yield from map(work, progress.over(what, items))
        return
    # A process that was forked would inherit the threads of whatever has been imported, but not run
    # them.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items) or 1), context, _begin) as pool:
        for _, result in zip(progress.over(what, items), pool.map(work, items), strict=True):
            yield result


def _begin() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of what runs in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    end_with_the_parent()
    be_collected_seldom()
    threadpool_limits(1)
