"""A reader in a process of its own: what it may take, and how it ends."""

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from common.errors import BadInput
from conformance.files import isolated as isolating
from conformance.files.contents import Contents
from conformance.files.isolated import isolated

pytestmark = pytest.mark.once


def test_a_reader_that_crashes_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"one that crashes its reader \(SIGABRT\)"):
        isolated(lambda path: os.abort(), tmp_path, 0, "a file")


def test_a_reader_has_bounded_memory(tmp_path):
    def greedy(path: Path) -> Contents:
        return Contents("", {"a": np.ones(2**29)})

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(BadInput, match="a file that needs little memory"):
        isolated(greedy, tmp_path, 1000, "a file")
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after < max(before, 2 * 2**20)  # KiB


def test_a_reader_has_bounded_time(tmp_path, monkeypatch):
    monkeypatch.setattr(isolating, "SECONDS", 1)

    def endless(path: Path) -> Contents:
        while True:
            time.process_time()

    with pytest.raises(BadInput, match="still being read after 1 s"):
        isolated(endless, tmp_path, 0, "a file")


def test_a_reader_ends_with_who_waits_for_it(tmp_path):
    """An interrupt must not leave behind a reader that reads for ever."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    def endless(path: Path) -> Contents:
        (tmp_path / "id").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGALRM)
        while True:
            time.process_time()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            isolated(endless, tmp_path, 0, "a file")
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "id").read_text()), 0)
