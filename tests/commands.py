"""Commands of the suite in one process beside the tests, which answers one after another: to start
one takes longer than what most of them do. They fork to read files, which a process in which a
framework has computed must not.

Run as a script it is that process, with the framework to be imported first, if any. A line of JSON
on standard input, the words of a command, is answered with its exit code and what it said on both
outputs.
"""

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from multiprocessing import connection

from tests.source import ROOT

PATIENCE = 300.0
"""Seconds after which a command hangs."""


class Commands:
    """The process, seen from the tests."""

    def __init__(self, *imported: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands", *imported],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def said(self, *words: str) -> tuple[int, str, str]:
        """The exit code of a command, and what it said on standard output and error."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        assert connection.wait([self.process.stdout], PATIENCE), f"no answer to {words}"
        code, out, err = json.loads(self.process.stdout.readline())
        return code, out, err


@functools.cache
def beside(*imported: str) -> Commands:
    """The one process of these tests; it ends when they have. With a framework that is imported
    already, those that read its files, for which it is needed, need not import it each."""
    return Commands(*imported)


def main() -> None:
    from backends import registry
    from conformance.__main__ import main as carry_out

    for backend in sys.argv[1:]:
        registry.load(backend)
    assert len(os.listdir("/proc/self/task")) == 1, "it forks"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = carry_out(json.loads(line))
            except SystemExit as end:
                code = end.code
        print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)


if __name__ == "__main__":
    main()
