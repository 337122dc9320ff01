"""A worker that trains with faults, run as a script in the place of ``conformance.worker``.

FAULTS  what goes wrong and where: "segfault@3" in the third epoch, "raise@lattice:2" in the second
        epoch of the lattice, "sigkill@worker1:3" in the second worker's third epoch, "slow@*" in
        every one, "raise@save", "hang@finish", "segfault@start"; "other-weights@worker1": the
        second worker begins with weights of its own
FAULTS_IN  the same in a file, which may say something else for the next run
ASKED   a file that gets a line for every epoch that is trained: pid, numerics and epoch
"""

import json
import os
import resource
import signal
import types
from pathlib import Path

from conformance.worker import __main__ as worker
from conformance.worker.training import Trainee
from tests.conformance.faulty_worker import FAULTS as OF_ANY_WORKER

SMALL_DISK = 2000
"""Bytes; a checkpoint is larger."""


def answer_garbage() -> None:
    worker.json = types.SimpleNamespace(loads=json.loads, dumps=lambda value: "hello")


def fill_the_disk() -> None:
    """No file of this process can grow beyond a few bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, SMALL_DISK))


FAULTS = OF_ANY_WORKER | {"garbage": answer_garbage, "full": fill_the_disk}


def faults() -> list[list[str]]:
    """What goes wrong, and where."""
    path = os.environ.get("FAULTS_IN")
    said = Path(path).read_text(encoding="utf-8") if path else os.environ.get("FAULTS", "")
    return [fault.split("@") for fault in said.split()]


def main() -> None:
    def happen(*here: str) -> None:
        for fault, where in faults():
            if where in here:
                FAULTS[fault]()

    epoch, save, finish = Trainee.epoch, Trainee.save, Trainee.finish
    facts = Trainee.facts

    def faulty_epoch(self):
        numerics, number = self.job["numerics"], len(self.rows) + 1
        if "ASKED" in os.environ:
            with open(os.environ["ASKED"], "a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {numerics} {number}\n")
        own = f"worker{self.workers.rank}:{number}"
        happen(str(number), f"{numerics}:{number}", own, "*")
        return epoch(self)

    def faulty_save(self):
        happen("save")
        return save(self)

    def faulty_finish(self, request):
        happen("finish")
        return finish(self, request)

    def faulty_facts(self):
        other = ["other-weights", f"worker{self.workers.rank}"] in faults()
        return facts(self) | ({"initial weights": "other ones"} if other else {})

    Trainee.epoch, Trainee.save, Trainee.finish = faulty_epoch, faulty_save, faulty_finish
    Trainee.facts = faulty_facts
    happen("start")
    worker.main()


if __name__ == "__main__":
    main()
