"""What a worker answers where an exception kept it from an answer."""

import contextlib
import errno
import traceback
from typing import Any

from common.errors import BadInput

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def failure(error: Exception, ours: bool = False) -> dict[str, Any]:
    """The answer: ``bad input``, ``system`` or ``crashed``.

    ours: whether an OSError is the suite's own, whose writing failed. One inside a framework is its
          own fault, unless the disk is full: it may write caches there.
    """
    if isinstance(error, BadInput):
        return {"bad input": [error.where, error.field, error.expected, error.found]}
    if isinstance(error, OSError) and (ours or error.errno in NO_ROOM):
        reason = error.strerror or str(error) or type(error).__name__
        return {"system": [str(error.filename or "system"), error.errno or errno.EIO, reason]}
    # The log may lie on the disk that is full. The parent is told the reason all the same.
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    lines = str(error).strip().splitlines()
    return {"crashed": f"{type(error).__name__}: {lines[0] if lines else 'no message'}"}
