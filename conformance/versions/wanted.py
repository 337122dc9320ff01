"""A version of a framework that somebody names, and what must go with it.

``2.19.1`` is of the framework's own package, the first one that requirements/<backend>.txt names
itself; ``2.21.0,keras==3.6.0`` says of others as well which they are to be. What is not named may
be at most as new as that file has it: pip then takes the newest that goes with what is named.

toxfile.py imports this module, so nothing but the standard library is needed.
"""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from common.errors import BadInput

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"

VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.?post|\.?dev)\d+)?(\+[a-z0-9.]+)?")
OTHER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]*)==({VERSION.pattern})")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extra>\[.+\])?==(?P<version>[^;\s]+)(?P<where>.*)")


@dataclass(frozen=True)
class Wanted:
    """version: of the framework's own package     others: of packages that are named beside it"""

    version: str
    others: dict[str, str]

    def __str__(self) -> str:
        return ",".join([self.version, *(f"{name}=={v}" for name, v in self.others.items())])


def parse_wanted(text: str, where: str = "--versions") -> Wanted:
    """``VERSION`` or ``VERSION,PACKAGE==VERSION,…``; BadInput if it is none."""
    version, *others = text.split(",")
    found = [OTHER.fullmatch(other) for other in others]
    if not VERSION.fullmatch(version) or None in found:
        expected = "a version such as 2.19.1, or 2.21.0,keras==3.6.0"
        raise BadInput(where, "", expected, repr(text))
    return Wanted(version, {match[1].lower(): match[2] for match in found if match})


def lines_of(path: Path) -> list[str]:
    """The requirements of a file and of those that it names, which come after its own."""
    own, named = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            named += lines_of(path.with_name(line[3:].strip()))
        elif line:
            own.append(line)
    return [*own, *named]


def pins(backend: str) -> list[re.Match[str]]:
    """What requirements/<backend>.txt pins, the framework first; BadInput if there is none."""
    path = REQUIREMENTS / f"{backend}.txt"
    if not path.is_file():
        expected = "the repository, with requirements/, of which the installed suite has none"
        raise BadInput(f"backend {backend}", "", expected, f"no {path.name}")
    return [match for line in lines_of(path) if (match := PIN.fullmatch(line))]


def packages(backend: str) -> list[str]:
    """The names under which the framework itself is installed: on Linux or elsewhere."""
    found = pins(backend)
    return [pin["name"] for pin in takewhile(lambda p: p["version"] == found[0]["version"], found)]


def requirements(backend: str, wanted: Wanted) -> list[str]:
    """What pip is asked for."""
    own, made = packages(backend), []
    for pin in pins(backend):
        name, extra = pin["name"], pin["extra"] or ""
        if name in own:
            relation = f"=={wanted.version}"
        elif name in wanted.others:
            continue
        else:
            relation = f"<={pin['version']}"
        made.append(f"{name}{extra}{relation}{pin['where']}")
    return [*made, *(f"{name}=={version}" for name, version in wanted.others.items())]
