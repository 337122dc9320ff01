"""A disk that is full: the k-th write fails with ENOSPC, and so does every later one.

As a script it is a worker with that fault; FULL_AT says at which write, COUNTED names a file that
gets a line for every one.
"""

import builtins
import errno
import os
from pathlib import Path

from conformance.worker import __main__ as worker

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FullDisk:
    """Counts the writes of this process from ``start`` on, and lets them fail from the k-th on.

    Whatever makes or fills a file, or moves it, is a write; to remove one is none. A rename fails
    once only, so that it can be undone: the name that was given up is free.
    """

    NAMES = ("fsync", "replace", "rename", "mkdir", "ftruncate", "pwrite")

    def __init__(self, at: int, counted: Path | None = None) -> None:
        self.at, self.counted, self.writes = at, counted, 0
        self.real = {name: getattr(os, name) for name in (*self.NAMES, "open")}
        self.real_open, self.real_bytes = builtins.open, Path.write_bytes

    def write(self, path: object, once: bool = False) -> None:
        self.writes += 1
        if self.counted:
            with self.real_open(self.counted, "a", encoding="utf-8") as file:
                file.write("write\n")
        if self.writes == self.at or (self.writes > self.at and not once):
            where = path if isinstance(path, (str, os.PathLike)) else None
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)

    def start(self) -> None:
        def wrapped(name):
            def call(path, *arguments, **options):
                self.write(path, once=name == "rename")
                return self.real[name](path, *arguments, **options)

            return call

        def opened(path, flags, *arguments, **options):
            if flags & WRITING:
                self.write(path)
            return self.real["open"](path, flags, *arguments, **options)

        def opened_by_name(path, mode="r", *arguments, **options):
            if set(mode) & set("wax+") and not isinstance(path, int):
                self.write(path)
            return self.real_open(path, mode, *arguments, **options)

        def write_bytes(path, data):
            self.write(path)
            return self.real_bytes(path, data)

        for name in self.NAMES:
            setattr(os, name, wrapped(name))
        os.open, builtins.open, Path.write_bytes = opened, opened_by_name, write_bytes

    def stop(self) -> None:
        for name, function in self.real.items():
            setattr(os, name, function)
        builtins.open, Path.write_bytes = self.real_open, self.real_bytes


def main() -> None:
    counted = os.environ.get("COUNTED")
    disk = FullDisk(int(os.environ["FULL_AT"]), Path(counted) if counted else None)
    handle, written = worker.handle, worker.write_arrays

    def writing(*arguments):
        disk.start()
        try:
            return written(*arguments)
        finally:
            disk.stop()

    worker.write_arrays = writing
    assert handle is worker.handle
    worker.main()


if __name__ == "__main__":
    main()
