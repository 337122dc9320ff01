"""A reader in a process of its own: what it takes of memory and time is bounded, and libraries in C
that a hostile file crashes take nothing else with them."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from common.errors import BadInput
from common.parameters import Arrays
from conformance.files.contents import Contents

MEMORY = 2**30
"""Bytes above what the process has, and above a few times the file's own size."""

FRAMEWORK = 24 * 2**30
"""Bytes of addresses, which a framework that is imported takes for itself."""

SECONDS, RATE = 20, 2**25
"""Of computing, and bytes of the file for each one more: the largest, of 4 GiB, takes a minute of
its two and a half. A library in C may read a small file that is damaged for ever."""


def isolated(
    read: Callable[[Path], Contents], path: Path, size: int, says: str, more: int = 0
) -> Contents:
    """What ``read`` finds in a file. size: of the file in bytes; says: what it should be
    more: memory beyond what a reader needs

    Raises BadInput as ``read`` does, and if it takes too much memory or too long, or crashes.
    """
    seconds = SECONDS + size // RATE + (more > 0) * SECONDS  # a framework is slow to import
    handle = os.memfd_create("contents")
    with open(handle, "w+b") as file:
        child = os.fork()
        if child == 0:
            # Whatever happens, this process must not go on as if it were its parent.
            try:
                _limit(5 * size + MEMORY + more, seconds)
                _silence()
                file.write(_answer(read, path))
                file.flush()
            finally:
                os._exit(0)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:  # who no longer waits, leaves nobody behind
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        file.seek(0)
        said = file.read()
    if not said:
        raise BadInput(path, "", says, _died(status, seconds))
    length = int.from_bytes(said[:8], "little")
    found = json.loads(said[8 : 8 + length])
    if "error" in found:
        raise BadInput(*found["error"])
    if "fault" in found:
        raise RuntimeError(found["fault"])
    return Contents.of(found, load(said[8 + length :]))


def _answer(read: Callable[[Path], Contents], path: Path) -> bytes:
    """The contents, or the error, as bytes."""
    rest = b""
    try:
        contents = read(path)
        for name in contents.arrays:
            if any("\ud800" <= letter <= "\udfff" for letter in name):  # bytes that are no text
                raise BadInput(path, name[:80], "a name in UTF-8", "other bytes")
        found, rest = contents.described(), save(_plain(contents))
    except BadInput as error:
        found = {"error": [error.where, error.field, error.expected, error.found]}
    except ModuleNotFoundError as error:
        expected = f"the package {error.name} in this environment (the suite's extra 'files')"
        found = {"error": [str(path), "", expected, "none"]}
    except MemoryError:
        found = {"error": [str(path), "", "a file that needs little memory", "too much of it"]}
    except Exception:  # of the reader itself: no file may lead to it
        found = {"fault": traceback.format_exc()}
    said = json.dumps(found).encode()
    return len(said).to_bytes(8, "little") + said + rest


def _plain(contents: Contents) -> Arrays:
    """As they can be written: of this machine's byte order, and laid out by rows."""
    return {
        name: np.array(array, array.dtype.newbyteorder("="), order="C")
        for name, array in contents.arrays.items()
    }


def _limit(memory: int, seconds: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    for kind, most in ((resource.RLIMIT_AS, limit), (resource.RLIMIT_CPU, seconds)):
        before, highest = resource.getrlimit(kind)
        least = [most, *(value for value in (before, highest) if value != resource.RLIM_INFINITY)]
        resource.setrlimit(kind, (min(least), highest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _silence() -> None:
    """What libraries print of a hostile file is not the user's answer."""
    faulthandler.disable()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def _died(status: int, seconds: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return f"one that is still being read after {seconds} s"
        return f"one that crashes its reader ({signal.Signals(number).name})"
    return "one that its reader cannot be done with"
