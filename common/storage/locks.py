"""One writer at a time: a folder is locked while a command writes it.

The lock is the kernel's (flock), on a file whose words say who holds it. It is gone when its holder
is, however it ended: what a killed process leaves is a file, and no lock.
"""

import contextlib
import fcntl
import os
import platform
import stat
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInput
from common.storage.reading import kind_of

LONGEST = 500
"""Bytes of a lock's file that are shown."""


@contextlib.contextmanager
def locked(path: Path, folder: Path) -> Generator[None, None, None]:
    """Hold the lock file ``path`` while ``folder`` is written.

    Raises BadInput, which says who holds it, if another process does.
    """
    handle = _take(path, folder)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, _about_this_process().encode("utf-8", "backslashreplace"), 0)
        yield
    finally:
        # While it is held: who opens it later makes a new one.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(handle)


def _take(path: Path, folder: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            handle = os.open(path, flags, 0o644)
        except OSError:
            if not path.is_symlink() and not path.is_dir():
                raise
            raise BadInput(path, "", "a file", kind_of(os.lstat(path).st_mode, path)) from None
        try:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):
                raise BadInput(path, "", "a file", kind_of(mode))
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, LONGEST, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            expected = "a folder that no other process writes (it may be tried again later)"
            raise BadInput(folder, "", expected, holder or "one that does") from None
        except BaseException:
            os.close(handle)
            raise
        # The last holder may have removed the file between the opening and the lock.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False)):
                return handle
        os.close(handle)


def _about_this_process() -> str:
    since = datetime.now(UTC).isoformat(" ", "seconds")
    command = " ".join(sys.argv[1:])
    return f"process {os.getpid()} on {platform.node()} since {since}: {command}\n"
