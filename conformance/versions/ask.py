"""What is asked of one version, in its environment: the cases, the quick witnesses, and of every
declared deviation of the backend whether it is there.

Each is a process of its own with a limit. What one has answered is written down at once, so that an
interrupted run goes on behind it.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import EXIT_FAIL, EXIT_PASS
from common.spec import CELLS, RESETS
from common.storage.files import read_json, write_json
from conformance.judge.everything import judge_all
from conformance.progress import Progress
from conformance.records.training import load_runs
from conformance.run.child import THREAD_VARIABLES
from conformance.verdict.deviations import Deviation
from conformance.versions.answers import UNKNOWN, computed, nowhere, told_by, trained
from conformance.versions.environment import Environment, clean

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ladder", "witnesses", "deviations")


@dataclass(frozen=True)
class Asking:
    """One version that is asked.

    folder: for what it answers     parts: of PARTS, what is asked at all
    cases:  their names             deviations: of this backend
    """

    backend: str
    environment: Environment
    folder: Path
    parts: list[str]
    cases: list[str]
    deviations: list[Deviation]
    say: Callable[[str], None]

    @property
    def found(self) -> Path:
        """What has been answered so far."""
        return self.folder / "found.json"

    def ask(self) -> dict[str, Any]:
        """Everything that has not been asked yet."""
        found: dict[str, Any] = read_json(self.found)
        for part, answer in {"ladder": self.ladder, "witnesses": self.witnesses}.items():
            if part not in found:
                found[part] = answer() if part in self.parts else {}
                self.keep(found)
        told = found.setdefault("deviations", {})
        if "deviations" not in self.parts:
            return found
        while left := [deviation for deviation in self.deviations if deviation.id not in told]:
            told |= self.reproduce(left) or self.reproduce(left[:1])
            self.keep(found)
        return found

    def keep(self, found: dict[str, Any]) -> None:
        write_json(self.found, found)

    def ladder(self) -> dict[str, Any]:
        """What it computes."""
        self.say("records")
        results = self.folder / "ladder"
        ended = self.conformance("record", results, "--cases", *self.cases)
        if ended.trouble:
            return {"trouble": ended.trouble}
        return {"rows": computed(judge_all(results, Progress(quiet=True)))}

    def witnesses(self) -> dict[str, Any]:
        """How it trains on the lattice."""
        self.say("trains the quick witnesses")
        results = self.folder / "training"
        cells = ("--cell", *CELLS, "--reset", *RESETS, "--numerics", "lattice")
        ended = self.conformance("train", results, *cells)
        if ended.trouble:
            return {"trouble": ended.trouble}
        return {"runs": trained(judge_all(results, Progress(quiet=True)), load_runs(results))}

    def reproduce(self, deviations: list[Deviation]) -> dict[str, dict[str, str]]:
        """Whether declared deviations are there, of all in one process. None has an answer if it
        dies: then they are asked one by one, and of one alone its death is the answer."""
        names = [deviation.id for deviation in deviations]
        self.say(f"tries {names[0] if len(names) == 1 else f'{len(names)} deviations'}")
        report = self.folder / "reproductions.xml"
        report.unlink(missing_ok=True)
        options = ("-q", "-p", "no:cacheprovider", f"--junitxml={report}")
        tests = [deviation.fields["evidence"] for deviation in deviations]
        ended = self.run("-m", "pytest", *options, "--backend", self.backend, *tests)
        if ended.code in (EXIT_PASS, EXIT_FAIL) and report.exists():
            return told_by(report, deviations)
        if len(names) > 1:
            return {}
        return {names[0]: {"status": UNKNOWN, "why": ended.trouble or ended.last}}

    def conformance(self, command: str, results: Path, *words: str) -> "Ended":
        where = ("--backend", self.backend, "--out", str(results), "--quiet")
        return self.run("-m", "conformance", command, *where, *words)

    def run(self, *words: str) -> "Ended":
        """A process of this version's Python, from the root of the repository."""
        settings = clean() | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONNOUSERSITE": "1"}
        with open(self.folder / "log.txt", "a+", encoding="utf-8", errors="replace") as log:
            start = log.seek(0, os.SEEK_END)
            child = subprocess.Popen(
                [str(self.environment.python), *words], cwd=ROOT, env=settings,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
            )  # fmt: skip
            try:
                code = child.wait(self.environment.limit)
            except subprocess.TimeoutExpired:
                return Ended(None, f"hung: no end after {self.environment.limit:g} s")
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)  # what it started ends with it
                    child.wait()
            log.seek(start)
            last = (log.read().strip().splitlines() or ["it said nothing"])[-1]
        return Ended(code, nowhere(last))


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, None if it was ended; and its last line."""

    code: int | None
    last: str

    @property
    def trouble(self) -> str:
        """What kept it from an answer; empty if nothing did."""
        if self.code is None:
            return self.last
        if self.code < 0:
            return f"crashed: {signal.Signals(-self.code).name}"
        return "" if self.code in (EXIT_PASS, EXIT_FAIL) else self.last
