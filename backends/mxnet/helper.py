"""A process beside the workers, which MXNet's engine needs: the scheduler, which lets all of them
meet and hears whether they live, or a server, which adds up what they push.

As a script, with MXNet's library and, if it is to live no longer than another process, that one's
number, it is what DMLC_ROLE says. It calls the library itself: to import MXNet takes a second and
more, for operators that it needs none of, and makes of it one that notices nobody's death. Source:
MXNet 1.9.1, ``include/mxnet/c_api.h`` and ``kvstore('dist_sync')``; ps-lite, ``docs/env.md``.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

ENGINE = "dist_sync"

HEARTBEAT, SILENCE = 1, 10
"""Every worker and server tells the scheduler once in so many seconds that it lives, and is
answered. Who has not been heard for so many, since all have met, is dead: within twice as many all
the others know."""

JOIN_LIMIT = 240.0
"""Seconds until all must be there; less than the parent of a worker waits."""

ZEROED = {"GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0"}
"""Lets a server find zeros in new memory: whether it rounds float64 to float32 depends on a flag
that MXNet never sets (conformance/verdict/deviations.toml). The C library reads it when a process
starts."""

EVERYBODY, EVER = 7, -(2**30)
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


class Store:
    """MXNet's kvstore, as a node of its engine asks it for the others."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self.library, self.handle = library, handle

    def silent(self, seconds: int) -> int:
        """How many nodes this one should hear and has not for so long: the scheduler hears all
        others, and they hear it. For EVER, all of them are, as soon as all have joined."""
        number = ctypes.c_int()
        arguments = ctypes.c_int(EVERYBODY), ctypes.byref(number), ctypes.c_int(seconds)
        failed = self.library.MXKVStoreGetNumDeadNode(self.handle, *arguments)
        return 0 if failed else number.value  # it fails when all is over

    def dead(self, met: float) -> int:
        """How many nodes this one should hear have died. Nobody has before all had the time to be
        heard: MXNet counts the silence from this process's start, and the others may be late."""
        return self.silent(SILENCE) if time.monotonic() - met > SILENCE else 0


def main() -> None:
    """Serve until training is over or a node is dead."""
    path, *parent = sys.argv[1:]
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent not in ([], [str(os.getppid())]):
        return
    os.environ.setdefault("PS_HEARTBEAT_INTERVAL", str(HEARTBEAT))
    store = Store(ctypes.CDLL(path), ctypes.c_void_p())
    store.library.MXGetLastError.restype = ctypes.c_char_p
    check(store, store.library.MXKVStoreCreate(ENGINE.encode(), ctypes.byref(store.handle)))
    threading.Thread(target=watch, args=(store,), daemon=True).start()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    check(store, store.library.MXKVStoreRunServer(store.handle, kind(refuse), None))


def check(store: Store, failed: int) -> None:
    """RuntimeError with MXNet's own words if a call has failed."""
    if failed:
        raise RuntimeError(store.library.MXGetLastError().decode("utf-8", "replace"))


def refuse(command: int, *_: Any) -> None:
    """What a command does to a server that only adds up. MXNet's would unpickle, and so run,
    whatever it brings: an optimizer, if its caller means well."""
    print(f"MXNet's server ends: it was sent command {command}", file=sys.stderr, flush=True)
    os._exit(1)  # an exception would go no further than this call


def watch(store: Store) -> None:
    """End this process if a node is dead, or not all have come."""
    began, met, role = time.monotonic(), None, os.environ["DMLC_ROLE"]
    while True:
        time.sleep(HEARTBEAT)  # at first, too: a store that does not run yet must not be asked
        if met is None and store.silent(EVER):
            met = time.monotonic()
        if met is not None and (number := store.dead(met)):
            problem = f"{number} of those it hears are dead: not heard for {SILENCE} s"
        elif met is None and time.monotonic() - began > JOIN_LIMIT:
            problem = f"not all have come within {JOIN_LIMIT:g} s"
        else:
            continue
        print(f"MXNet's {role} ends: {problem}", file=sys.stderr, flush=True)
        os._exit(1)  # its main thread would not notice


if __name__ == "__main__":
    main()
