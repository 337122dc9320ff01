"""What a process does that works for another: it ends with it, and goes first if memory ends."""

import ctypes
import gc
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


def peak_memory() -> int:
    """The most memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


def be_collected_seldom() -> None:
    """Let Python's search for cycles come when there is more to find, and leave alone what is there
    already, a framework above all. It took a tenth of a record's processor time, a sixth of what
    the oracle's tape takes, and a sixth of the import of TensorFlow, JAX or MXNet."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def be_the_first_to_go() -> None:
    """If the machine runs out of memory, the kernel should end this process, not the parent."""
    path = Path("/proc/self/oom_score_adj")
    if path.exists():
        path.write_text("1000")


def end_with_the_parent() -> None:
    """If the parent is killed while a case hangs, nobody is left to end this process: ask Linux to.
    Elsewhere it ends when it next reads from its closed pipe."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
