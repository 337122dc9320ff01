"""A worker process seen from its parent: ask it, and survive its death."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from common.errors import BadInput

START_LIMIT = 300.0
"""Seconds for the framework's import; TensorFlow on a cold disk takes most of a minute."""

STARTS = 2
"""After as many failed starts in a row a worker is given up: a framework that hangs while it is
imported must not do so for every case."""

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
    ) -> None:
        self.environment = KEEP_MEMORY | os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        self.command = [sys.executable, "-m", "conformance.worker", "--backend", backend]
        self.command += ["--device", device, "--dtypes", *dtypes]
        self.given, self.log = given, log
        self.process: subprocess.Popen[str] | None = None
        self.failed_starts: list[Died] = []
        self.greeting: dict[str, Any] = {}

    def start(self) -> dict[str, Any]:
        """Start a worker and wait until its framework is there; BadInput if it cannot be."""
        self.launch()
        return self.hear()

    def launch(self) -> None:
        """Start a worker. It ends with the thread that launched it."""
        if len(self.failed_starts) == STARTS:
            raise self.failed_starts[-1]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command + (["--given", str(self.given.resolve())] if self.given else []),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[2],
                env=self.environment,
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
        """The greeting of the worker that runs, or of a new one."""
        return self.greeting if self.process else self.start()

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to one request, within ``limit`` seconds."""
        if self.process is None:
            self.start()
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
        process, late = self._running(), threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True  # an interrupted record must not wait for it
        try:
            timer.start()
            line = pipes(process)[1].readline()
        finally:
            timer.cancel()
        if line.endswith("\n") and not late.is_set():
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                self.stop()
                raise Died(f"it answered {line.strip()[:80]!r}, which is not JSON") from None
        if not late.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_LIMIT)
        self.stop()
        if late.is_set():
            raise Died(f"no answer within {limit:g} s")
        raise Died(describe_exit(process.returncode))

    def kill(self) -> None:
        """End the worker; whoever waits for its answer hears of it."""
        if process := self.process:
            process.kill()

    def close(self) -> None:
        """Nothing more is asked; the worker may end by itself."""
        if process := self.process:
            with contextlib.suppress(BrokenPipeError):
                pipes(process)[0].close()

    def leave(self) -> None:
        """Let the worker end by itself, or end it."""
        if process := self.process:
            self.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_LIMIT)
            self.stop()

    def stop(self) -> None:
        """End the worker, whatever it is doing."""
        if (process := self.process) is None:
            return
        process.kill() if process.poll() is None else None
        questions, answers = pipes(process)
        with contextlib.suppress(BrokenPipeError):  # a question that it did not live to read
            questions.close()
        answers.close()
        process.wait()
        self.process = None


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


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
