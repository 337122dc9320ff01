"""A worker with faults, run as a script in the place of ``conformance.worker``.

FAULTS  what goes wrong and in which case: "segfault@lstm-L2 hang@gru-after-L1"
ASKED   a file that gets a line for every case that this worker was asked about: pid and case
"""

import os
import signal
import sys
import time
from collections.abc import Callable

from backends import registry
from common.errors import BadInput
from conformance.worker import __main__ as worker


def ask_more_than_there_is() -> None:
    raise MemoryError


def fail() -> None:
    raise RuntimeError("the kernel said no\nand then more")


def miss(name: str) -> None:
    raise BadInput(f"backend {name}", "", "its framework installed", "none")


def print_what_frameworks_print() -> None:
    print('{"status": "crashed"}', flush=True)
    os.write(1, b"[12:00:00] WARNING \xff from C\n")


def close_the_questions_and_die_after_this_answer() -> None:
    os.close(0)


def leave_a_process_with_the_pipe() -> int:
    """It is told from others by its number, in the file of FORKED, and lives long."""
    if pid := os.fork():
        return pid
    with open(os.environ["FORKED"], "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)
    os._exit(0)


def leave_one_and(then: Callable[[], object]) -> None:
    leave_a_process_with_the_pipe()
    while not os.path.exists(os.environ["FORKED"]):
        time.sleep(0.01)
    then()


FAULTS = {
    "fork": lambda: leave_one_and(lambda: None),
    "fork-exit": lambda: leave_one_and(lambda: os._exit(3)),
    "fork-hang": lambda: leave_one_and(lambda: time.sleep(3600)),
    "raise": fail,
    "memory": ask_more_than_there_is,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: sys.exit(3),
    "hang": lambda: time.sleep(3600),
    "slow": lambda: time.sleep(0.1),
    "print": print_what_frameworks_print,
    "die-afterwards": close_the_questions_and_die_after_this_answer,
}


def main() -> None:
    faults = [fault.split("@") for fault in os.environ.get("FAULTS", "").split()]
    if ["greet-garbage", "start"] in faults:
        print("hello", flush=True)
    if ["segfault", "start"] in faults:
        FAULTS["segfault"]()
    if ["hang", "start"] in faults:
        FAULTS["hang"]()
    if ["raise", "start"] in faults:
        registry.load = lambda name: fail()
    if ["bad-input", "start"] in faults:
        registry.load = lambda name: miss(name)
    answer = worker.answer

    def faulty_answer(implementation, case, given, last):
        if "ASKED" in os.environ:
            with open(os.environ["ASKED"], "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {case.name}\n")
        for fault, where in faults:
            if where in (case.name, "*"):
                FAULTS[fault]()
        return answer(implementation, case, given, last)

    worker.answer = faulty_answer
    worker.main()


if __name__ == "__main__":
    main()
