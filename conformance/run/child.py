"""A worker process seen from its parent: ask it, and survive its death."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path
from typing import IO, Any

from common.errors import BadInput

START_LIMIT = 300.0
"""Seconds for the framework's import; TensorFlow on a cold disk takes most of a minute."""

STARTS = 2
"""After as many failed starts in a row a worker is given up: a framework that hangs while it is
imported must not do so for every case."""

TICK = 0.1
"""Seconds between two looks whether a worker that says nothing has ended. Its pipe need not tell: a
process that it forked may hold the other end."""

END_LIMIT = 10.0
"""Seconds for a worker that has closed its pipe to end by itself, so that its exit code is its own
and not that of being killed."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "PJRT_NPROC",
)
"""Libraries read these once, when they are loaded."""


KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""glibc's malloc gives a large array back to the kernel when it is freed, and every training step
has the kernel fault its arrays in anew: a fifth of PyTorch's step. A worker keeps its memory. Who
sets these variables has them as they are; other allocators do not know them."""


class Died(Exception):
    """The worker ended, or had to be ended, instead of answering; the message says how."""


class Child:
    """One worker for one backend and device.

    modes: what is asked for beside its implementations, by pattern

    ``start`` gives its greeting (passport and implementations), ``ask`` an entry. Both raise
    ``Died`` if no answer comes; the worker is gone then, and ``start`` makes a new one.
    """

    def __init__(
        self,
        backend: str,
        device: str,
        dtypes: list[str],
        threads: int,
        given: Path | None,
        log: Path,
        modes: Sequence[str] = (),
    ) -> None:
        self.environment = KEEP_MEMORY | os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        self.command = [sys.executable, "-m", "conformance.worker", "--backend", backend]
        self.command += ["--device", device, "--dtypes", *dtypes]
        self.command += ["--modes", *modes] if modes else []
        self.given, self.log = given, log
        self.process: subprocess.Popen[str] | None = None
        self.heard = b""
        self.ending = threading.Lock()
        self.failed_starts: list[Died] = []
        self.greeting: dict[str, Any] | None = None

    def start(self) -> dict[str, Any]:
        """Start a worker and wait until its framework is there; BadInput if it cannot be."""
        self.launch()
        return self.hear()

    def launch(self) -> None:
        """Start a worker. It ends with the thread that launched it."""
        if len(self.failed_starts) == STARTS:
            raise self.failed_starts[-1]
        self.heard, self.greeting = b"", None
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command + (["--given", str(self.given.resolve())] if self.given else []),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[2],
                env=self.environment,
                process_group=0,  # what it forks is ended with it
            )

    def hear(self) -> dict[str, Any]:
        """The greeting of a worker that was launched."""
        try:
            greeting = self._answer(START_LIMIT)
        except Died as death:
            self.failed_starts.append(Died(f"the worker did not start: {death}"))
            raise self.failed_starts[-1] from None
        self.failed_starts.clear()
        if "bad input" in greeting:
            self.stop()
            raise BadInput(*greeting["bad input"])
        self.greeting = greeting
        return greeting

    def greet(self) -> dict[str, Any]:
        """The greeting of the worker that runs or was launched, or of a new one."""
        if self.process is None:
            self.launch()
        return self.hear() if self.greeting is None else self.greeting

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to one request, within ``limit`` seconds."""
        self.greet()
        questions, _ = pipes(self._running())
        try:
            questions.write(json.dumps(request) + "\n")
            questions.flush()
        except BrokenPipeError:
            pass  # it died between two requests; _answer says how
        return self._answer(limit)

    def _running(self) -> "subprocess.Popen[str]":
        if self.process is None:
            raise Died("there is no worker")
        return self.process

    def _answer(self, limit: float) -> dict[str, Any]:
        process, line = self._running(), self._line(limit)
        if line is not None and line.endswith(b"\n"):
            try:
                return json.loads(line)
            except ValueError:
                self.stop()
                said = line.strip()[:80].decode("utf-8", "replace")
                raise Died(f"it answered {said!r}, which is not JSON") from None
        if line is not None:
            wait_for_the_end(process, END_LIMIT)
        self.stop()
        late = f"no answer within {limit:g} s"
        raise Died(late if line is None else describe_exit(process.returncode))

    def _line(self, limit: float) -> bytes | None:
        """The line that it says next; if it has ended, what there is of one; None if it is late."""
        process, deadline = self._running(), time.monotonic() + limit
        answers = pipes(process)[1].fileno()
        while b"\n" not in self.heard:
            ended = has_ended(process)  # asked before: all that it has said is there then
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if connection.wait([answers], 0 if ended else min(TICK, left)):
                part = os.read(answers, 2**16)
                self.heard += part
                ended = not part
            if ended:
                break
        line, end, self.heard = self.heard.partition(b"\n")
        return line + end

    def mappings(self) -> int:
        """Of its memory, so many; 0 if none runs, or where the system does not say."""
        if self.process is None:
            return 0
        try:
            return Path(f"/proc/{self.process.pid}/maps").read_bytes().count(b"\n")
        except OSError:  # not Linux, or it has just ended, as the next question will show
            return 0

    def kill(self) -> None:
        """End the worker and what it has started; whoever waits for its answer hears of it."""
        with self.ending:
            if process := self.process:
                kill_group(process)

    def close(self) -> None:
        """Nothing more is asked; the worker may end by itself."""
        if process := self.process:
            with contextlib.suppress(BrokenPipeError):
                pipes(process)[0].close()

    def leave(self, limit: float = END_LIMIT) -> None:
        """Let the worker end by itself, or end it."""
        if process := self.process:
            self.close()
            wait_for_the_end(process, limit)
            self.stop()

    def stop(self) -> None:
        """End the worker, whatever it is doing, and what it has started."""
        with self.ending:
            if (process := self.process) is None:
                return
            kill_group(process)
            questions, answers = pipes(process)
            with contextlib.suppress(BrokenPipeError):  # a question that it did not live to read
                questions.close()
            answers.close()
            process.wait()
            self.process = None


def has_ended(process: "subprocess.Popen[str]") -> bool:
    """Whether a process has ended. It is not waited for here: its number stays its own, and its
    group's, until ``stop`` has used it."""
    if not hasattr(os, "waitid"):  # Python 3.11 on macOS
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # whoever started this process ignores SIGCHLD: nobody has to wait
        return True


def wait_for_the_end(process: "subprocess.Popen[str]", limit: float) -> None:
    """Give a process so many seconds to end by itself."""
    deadline = time.monotonic() + limit
    while not has_ended(process) and time.monotonic() < deadline:
        time.sleep(TICK / 10)


def kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill a process that was started with a group of its own, and all that are in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """The standard input and output of a process that was started with both in pipes."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("it was started without pipes")
    return process.stdin, process.stdout


def describe_exit(code: int) -> str:
    """An exit code in words: a signal's name if one ended the process."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    names = {known.value: known.name for known in signal.Signals}
    return f"the process was ended by {names.get(-code, f'signal {-code}')}{hint}"
