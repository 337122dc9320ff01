"""Whether it was the disk: what fails for want of room is no fault of a framework.

A worker that could not write says so. One that died cannot say why, and neither can a framework
that met a full disk somewhere inside; then the parent tries for itself.
"""

import errno
from pathlib import Path
from typing import Any

from common.storage.files import write_atomically

PROBE = 2**16
"""Bytes. What a worker writes for a case is smaller, or fails by itself."""


def check_room(folder: Path) -> None:
    """OSError if nothing can be written into a folder."""
    probe = folder / ".probe"
    try:
        write_atomically(probe, lambda temporary: temporary.write_bytes(bytes(PROBE)))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        probe.unlink(missing_ok=True)


def check_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer; OSError if it says that the system kept it from writing."""
    if "system" in answer:
        path, number, reason = answer["system"]
        raise OSError(number or errno.EIO, reason, path)
    return answer
