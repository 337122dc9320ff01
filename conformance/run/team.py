"""Several worker processes seen from their parent, as if they were one.

On one machine the parent starts all of them. Under a framework's launcher, torchrun say, there is a
parent beside every worker; each has a team of one.
"""

import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common.errors import BadInput
from conformance.run.child import END_LIMIT, START_LIMIT, Child, Died
from conformance.run.fence import fence

GRACE = 5.0
"""Seconds that the others have, once a worker has failed, to say more about it. Those that are left
wait for the one that failed, and would for ever."""


FAILURES = {"bad input", "system", "crashed"}
"""What an answer names if there is none."""


class Failed(Exception):
    """A worker that lives and could not do what it was asked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer

    def named(self, rank: int) -> dict[str, Any]:
        """The answer; if the framework raised, with the worker's number."""
        if "crashed" in self.answer:
            return {"crashed": f"worker {rank}: {self.answer['crashed']}"}
        return self.answer


class Team:
    """A Child whose answers come from ``size`` workers: each is asked the same, and the first one's
    answer counts. ``Died`` if any of them dies: none is left then."""

    def __init__(
        self,
        backend: str,
        device: str,
        dtypes: list[str],
        threads: int,
        size: int,
        folder: Path,
        modes: Sequence[str] = (),
    ) -> None:
        self.size, self.folder, self.modes = size, folder, modes
        self.made_with = backend, device, dtypes, threads, None
        self.members: list[Child] = []
        self.greeting: dict[str, Any] = {}
        self.failed_start: Died | None = None
        self.ranks: list[int] = []

    def greet(self) -> dict[str, Any]:
        """The greeting of the first worker, or of the only one of this machine, with its rank."""
        return self.greeting if self.members else self.start()

    def start(self) -> dict[str, Any]:
        """Start the workers, unless a launcher has, and wait until all have joined."""
        if self.failed_start:
            raise self.failed_start  # who waited for the others in vain need not do so again
        try:
            self.ranks = list(range(self.size))
            with fence() as (inside, reachable):
                meet = self.gather(inside, reachable)
            greetings = self.all(lambda k: self.members[k].ask(meet[k], START_LIMIT))
        except Died as death:
            self.failed_start = death
            raise
        if "bad input" in greetings[0]:
            self.stop()
            raise BadInput(*greetings[0]["bad input"])
        # An engine may number the workers as it likes.
        self.ranks = [found["rank"] for found in greetings]
        self.first = self.ranks.index(min(self.ranks))
        self.greeting = greetings[self.first]
        return self.greeting

    def gather(self, inside: list[str], reachable: str) -> list[dict[str, Any]]:
        """Start the workers, inside of a fence if there is one, and say to each where all meet."""
        self.launch(0, inside)
        if self.all(lambda k: self.members[k].hear())[0]["launched"]:
            if inside:  # the others are outside, which only the framework could know
                self.stop()
                self.launch(0, [])
                self.all(lambda k: self.members[k].hear())
            return [{}]
        for k in range(1, self.size):
            self.launch(k, inside)
        self.all(lambda k: self.members[k].hear() if k else {})
        where = {"addresses": free_addresses(self.size), "reachable": reachable}
        return [where | {"rank": k} for k in range(self.size)]

    def launch(self, k: int, inside: list[str]) -> None:
        """Start one more worker. Not in a thread: it would end with it."""
        log = self.folder / ("worker.log" if k == 0 else f"worker-{k}.log")
        child = Child(*self.made_with, log, self.modes)
        child.command = [*inside, *child.command, "--workers", str(self.size)]
        child.launch()
        self.members.append(child)

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The first worker's answer to what every one of them is asked."""
        self.greet()
        return self.all(lambda k: self.members[k].ask(request, limit))[self.first]

    def all(self, answer: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
        """Every worker's answer, or that of one that failed in the place of each. Died if one has
        died; all of them are gone then."""

        def answer_of(k: int) -> dict[str, Any]:
            found = answer(k)
            if FAILURES & found.keys():
                raise Failed(found)
            return found

        with ThreadPoolExecutor(len(self.members)) as pool:
            futures = [pool.submit(answer_of, k) for k in range(len(self.members))]
            try:
                late = wait(wait(futures, return_when=FIRST_EXCEPTION).not_done, GRACE).not_done
            except BaseException:  # Ctrl-C: the threads would wait for their answers
                for member in self.members:
                    member.kill()
                raise
            for k, future in enumerate(futures):
                if future in late:
                    self.members[k].kill()
        errors = {k: f.exception() for k, f in enumerate(futures) if f not in late}
        for k, error in errors.items():
            if isinstance(error, Died):
                self.stop()
                raise Died(f"worker {self.ranks[k]}: {error}")
            if isinstance(error, BadInput):
                self.stop()
                raise error
        for k, error in errors.items():
            if isinstance(error, Failed):
                if late or "crashed" in error.answer:
                    self.stop()  # what this one has left undone, the others would wait for
                return [error.named(self.ranks[k])] * len(futures)
        return [future.result() for future in futures]

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        for member in self.members:
            member.stop()
        self.members = []

    def leave(self) -> None:
        """Let the workers part from each other, or end them."""
        for member in self.members:
            member.close()
        deadline = time.monotonic() + END_LIMIT
        for member in self.members:
            member.leave(deadline - time.monotonic())
        self.members = []


def free_addresses(size: int) -> list[str]:
    """As many addresses of this machine that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(size)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def rank_of(child: Child | Team, workers: int) -> int:
    """Which one of so many workers the child is, where a launcher has started them."""
    if workers == 1:
        return 0
    try:
        return child.greet()["rank"]
    except Died:  # train says so of the run
        return 0
