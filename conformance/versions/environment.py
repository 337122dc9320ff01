"""An environment of one version, made by Python's venv and pip, outside of the tests' own.

What pip would install is looked at before anything is: a release whose builds bring a GPU's
libraries is not installed, and a version that is there for other Pythons says for which.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadInput
from common.storage.files import make_folder, remove_folder
from common.storage.reading import is_object, read_json
from conformance.versions.answers import nowhere
from conformance.versions.wanted import Wanted, requirements

PYTHONS = [f"3.{minor}" for minor in range(6, 16)]
"""For which a version's builds are looked for, if there is none for this one."""

ACCELERATORS = ("nvidia-", "cuda-")
"""What packages of a GPU's libraries are called. They are gigabytes."""

PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color", "--retries", "2")
OFFLINE = "connection broken"
"""pip's own words."""


class NotInstalled(Exception):
    """A version that cannot be had here, and why. That is an answer like any other."""


@dataclass(frozen=True)
class Environment:
    """folder: where it lies     limit: seconds for whatever is run in it"""

    folder: Path
    limit: float

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def make(self, backend: str, wanted: Wanted) -> dict[str, str]:
        """Install a version, and return what was installed. Raises NotInstalled if that cannot be,
        and BadInput if there is no such version, or no index of packages to be reached."""
        remove_folder(self.folder)
        make_folder(self.folder.parent)
        self.run(sys.executable, "-m", "venv", str(self.folder))
        asked, plan = requirements(backend, wanted), self.folder / "plan.json"
        tried = self.pip("install", "--dry-run", "--report", str(plan), *asked)
        if tried.returncode:
            for named in (line for line in asked if "==" in line):
                self.check_there_is(named, f"--versions {wanted}")
            raise NotInstalled(first_error(tried.stderr))
        planned = planned_in(plan)
        if heavy := [name for name in planned if name.startswith(ACCELERATORS)]:
            count = f"{heavy[0]} and {len(heavy) - 1} more packages like it"
            raise NotInstalled(f"no build for a CPU alone: it brings {count}")
        exactly = [f"{name}=={version}" for name, version in planned.items()]
        done = self.pip("install", "--no-deps", "--no-compile", *exactly)
        if done.returncode:
            raise NotInstalled(first_error(done.stderr))
        return planned

    def check_there_is(self, named: str, where: str) -> None:
        """Whether there is a build of ``package==version`` for this Python, or at least another."""
        tried = self.pip("install", "--dry-run", "--no-deps", named)
        if not tried.returncode:
            return
        if OFFLINE in tried.stderr:
            raise BadInput(where, "", "an index of packages that answers", "none")
        named = named.partition(";")[0]
        if not (found := self.others_of(named)):
            raise BadInput(where, "", "a version that there is", named)
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        there = f"there are some for Python {', '.join(found)}"
        raise NotInstalled(f"no build of {named} for Python {here}; {there}")

    def others_of(self, requirement: str) -> list[str]:
        """The Pythons for which there is a build."""
        target = str(self.folder / "target")
        only = ("--no-deps", "--only-binary=:all:", "--dry-run", "--target", target)
        return [
            number
            for number in PYTHONS
            if not self.pip("install", *only, "--python-version", number, requirement).returncode
        ]

    def pip(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.python), *PIP, *words)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A process and what it said; NotInstalled if it goes on for ever."""
        try:
            return subprocess.run(
                command, env=clean(), capture_output=True, text=True, errors="replace",
                stdin=subprocess.DEVNULL, timeout=self.limit,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotInstalled(f"pip was not done after {self.limit:g} s") from None


def clean() -> dict[str, str]:
    """The environment without what would lead a Python elsewhere."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def planned_in(plan: Path) -> dict[str, str]:
    """Names and versions, out of pip's report."""
    found = read_json(plan)
    rows = found.get("install", []) if is_object(found) else []
    found = [(row["metadata"]["name"], row["metadata"]["version"]) for row in rows]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def first_error(complaint: str) -> str:
    """What pip says first; no address and no path of a machine."""
    lines = [line[7:] for line in complaint.splitlines() if line.lower().startswith("error: ")]
    said = lines[0] if lines else "pip does not say why"
    return nowhere(said)
