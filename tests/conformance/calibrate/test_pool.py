"""Work that is spread over processes comes back in order, and so do its errors."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from conformance.calibrate.pool import spread
from conformance.progress import Progress

pytestmark = pytest.mark.once

QUIET = Progress(quiet=True)


def shouted(word: str) -> tuple[str, int]:
    if word == "no":
        raise ValueError("no")
    return word.upper(), os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    words = ["one", "two", "three", "four"]
    found = list(spread(shouted, words, "shout", QUIET, workers))
    assert [word for word, _ in found] == ["ONE", "TWO", "THREE", "FOUR"]
    assert ({process for _, process in found} == {os.getpid()}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_the_work_is_an_error_here(workers):
    with pytest.raises(ValueError, match="no"):
        list(spread(shouted, ["yes", "no", "yes"], "shout", QUIET, workers))


def test_nothing_to_do_gives_nothing():
    assert list(spread(shouted, [], "shout", QUIET, 2)) == []


def interrupted(word: str) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return word


def test_control_c_ends_the_processes_unless_it_is_ignored():
    with pytest.raises(BrokenProcessPool):
        list(spread(interrupted, ["one", "two"], "work", QUIET, 2))
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for the background
    try:
        assert list(spread(interrupted, ["one", "two"], "work", QUIET, 2)) == ["one", "two"]
    finally:
        signal.signal(signal.SIGINT, earlier)
