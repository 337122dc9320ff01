"""``python -m conformance atlas``: which version of a framework computes what."""

import argparse
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from backends.registry import MODULES, check_name
from common import SUITE_VERSION
from common.errors import EXIT_PASS, BadInput
from common.storage.files import make_folder, read_json, remove_folder, write_json
from conformance.cases.quick import quick_cases
from conformance.cases.table import select
from conformance.judge.required import load_matrix
from conformance.options import Command, seconds
from conformance.progress import Progress, results_console
from conformance.verdict.deviations import load_deviations
from conformance.versions.answers import GONE, THERE
from conformance.versions.ask import PARTS, ROOT, Asking
from conformance.versions.environment import Environment, NotInstalled
from conformance.versions.stored import ANSWERED, NOT_INSTALLED, store
from conformance.versions.wanted import Wanted, parse_wanted, pins

LIMIT = 3600.0
OUT = Path("docs", "results", "versions")

ABOUT = """
What could not be installed, crashed or hung is an answer, and is stored with its reason. Stop it
and start it again with the same words: it goes on behind the last answer.
"""


def cache() -> Path:
    """Where environments are made if no folder is named."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "deep-rnn-reference" / "atlas"


def add_atlas(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    about = "such as 2.19.1, or with others that go with it: 2.21.0,keras==3.6.0"
    add("--versions", nargs="+", required=True, metavar="VERSION", help=about)
    about = "what is recorded (default: the quick main job's)"
    add("--cases", nargs="+", default=[], metavar="GLOB", help=about)
    about = "deviations alone are a matter of seconds"
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help=about)
    add("--out", type=Path, default=OUT, metavar="FOLDER", help="where the outcome is stored")
    about = "for environments (default: deep-rnn-reference/atlas in the user's cache)"
    add("--cache", type=Path, default=None, metavar="FOLDER", help=about)
    add("--keep", action="store_true", help="keep the environments, which are removed else")
    add("--limit", type=seconds, default=LIMIT, metavar="SECONDS", help="for every process")


@dataclass(frozen=True)
class Work:
    """What is asked of every version."""

    backend: str
    parts: list[str]
    cases: list[str]
    cache: Path
    limit: float
    keep: bool
    progress: Progress

    def folder(self, wanted: Wanted) -> Path:
        return self.cache / f"{self.backend}-{str(wanted).replace(',', '-')}"

    def answer(self, wanted: Wanted) -> dict[str, Any]:
        """Make the environment, ask everything, and remove it."""
        folder = self.folder(wanted)
        title = f"{self.backend} {wanted}"
        asking = Asking(
            backend=self.backend,
            environment=Environment(folder / "environment", self.limit),
            folder=folder,
            parts=self.parts,
            cases=self.cases,
            deviations=[d for d in load_deviations() if d.fields["framework"] == self.backend],
            say=lambda what: self.progress.say(f"{title}: {what}"),
        )
        if not asking.found.exists():
            make_folder(folder)
            asking.say("is installed")
            write_json(asking.found, self.begun(asking.environment, wanted))
        found = read_json(asking.found)
        if found["status"] == ANSWERED:
            found = asking.ask()
        if not self.keep:
            remove_folder(asking.environment.folder)
        return found

    def begun(self, environment: Environment, wanted: Wanted) -> dict[str, Any]:
        """An entry with nothing but what was installed, or why it was not."""
        entry: dict[str, Any] = {"asked": str(wanted), "status": ANSWERED, "why": ""}
        entry["made"] = {
            "suite": SUITE_VERSION,
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cases": self.cases,
        }
        try:
            return entry | {"packages": environment.make(self.backend, wanted)}
        except NotInstalled as reason:
            nothing = {part: {} for part in ("packages", *PARTS)}
            return entry | nothing | {"status": NOT_INSTALLED, "why": str(reason)}


def run_atlas(options: argparse.Namespace) -> int:
    """Exit code 0 if every version has answered, were it that it cannot be installed."""
    check_name(options.backend)
    wanted = [parse_wanted(text) for text in options.versions]
    pins(options.backend)
    if not (ROOT / "tests" / "deviations").is_dir():
        expected = "the repository, whose tests reproduce deviations"
        raise BadInput(f"backend {options.backend}", "", expected, "the installed suite")
    progress, known = Progress(options.quiet), load_matrix().get(options.backend)
    # Who answers a part of the ladder trains nothing.
    parts = [p for p in options.only if not (p == "witnesses" and known and known.top)]
    work = Work(
        backend=options.backend,
        parts=parts,
        cases=select(options.cases or [*quick_cases()], 0, 0, False),
        cache=(options.cache or cache()).resolve(),
        limit=options.limit,
        keep=options.keep,
        progress=progress,
    )
    shown = Table("version", "status", "cases", "wrong", "witnesses", "deviations")
    for version in wanted:
        found = work.answer(version)
        store(options.backend, found, options.out)
        shown.add_row(*line(found))
    for version in wanted:  # not before: an interrupted run goes on behind those that have answered
        if not options.keep:
            remove_folder(work.folder(version))
    results_console().print(shown)
    return EXIT_PASS


def line(found: dict[str, Any]) -> list[str]:
    """An entry in a few words."""
    if found["status"] == NOT_INSTALLED:
        return [found["asked"], f"{NOT_INSTALLED}: {found['why']}", "", "", "", ""]
    rows, runs = found["ladder"].get("rows", []), found["witnesses"].get("runs", [])
    statuses = [told["status"] for told in found["deviations"].values()]
    trouble = [found[part].get("trouble", "") for part in ("ladder", "witnesses")]
    return [
        found["asked"],
        "; ".join([found["status"], *filter(None, trouble)]),
        str(sum(sum(row["statuses"].values()) for row in rows)),
        str(sum(len(row["wrong"]) for row in rows)),
        f"{sum(run['agreed'] == run['epochs'] for run in runs)} of {len(runs)} alike",
        f"{statuses.count(THERE)} there, {statuses.count(GONE)} not",
    ]


COMMANDS = (
    Command(
        "atlas",
        "which version of a framework computes what",
        "Installs versions of a framework, one after another, each in an environment of its own; "
        "records and trains with it, tries every declared deviation, and stores what came of it in "
        "docs/results/versions.",
        add_atlas,
        run_atlas,
        (
            "atlas --backend tensorflow --versions 2.17.1 2.19.1 2.21.0",
            "atlas --backend jax --versions 0.10.2,keras==3.6.0 --only deviations",
        ),
        more=ABOUT,
    ),
)
