"""The stages, read from plan.toml, with their sizes filled in."""

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.reading import LARGEST_JSON, parse_toml, read_text
from common.storage.shape import check_shape

PLAN = Path(__file__).with_name("plan.toml")
FULL, REHEARSAL = "full", "rehearsal"

PATHS = ("out", "text")
"""Sizes that are one word, with spaces perhaps."""

WORK = {
    "starts?": int,
    "programs?": int,
    "large_programs?": int,
    "steps?": int,
    "launches?": int,
    "operations?": float,
    "dtype?": str,
}
PROCESS = {
    "name": str,
    "do": [str],
    "work": WORK,
    "each?": {str: [str]},
    "needs?": str,
    "quick?": bool,
}
SHAPE = {
    "calls": {"seconds": [int]},
    "limits": {"files": int, "file_mib": int, "depth": int},
    FULL: {str: str},
    REHEARSAL: {str: str},
    "stages": [
        {
            "name": str,
            "about": str,
            "limit": int,
            "beside?": bool,
            "alone?": bool,
            "processes": [PROCESS],
        }
    ],
}


@dataclass(frozen=True)
class Process:
    """What runs beside the other processes of its stage.

    commands: one after another, the words after ``python``     work: counts, for estimate.py
    quick:    XLA does not choose among kernels by trying them
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    work: Mapping[str, Any]
    quick: bool = False


@dataclass(frozen=True)
class Stage:
    """Processes that run side by side, and the seconds after which they are ended.

    beside: it goes on while the following stages run    alone: it waits until none does so
    """

    name: str
    about: str
    limit: int
    processes: tuple[Process, ...] = field(default=())
    beside: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Plan:
    """calls: seconds of each command     limits: of what comes back"""

    stages: tuple[Stage, ...]
    calls: tuple[int, ...]
    limits: Mapping[str, int]


def load_plan(out: Path, sizes: str = FULL, path: Path = PLAN, **changes: str) -> Plan:
    """The plan that writes below ``out``; BadInput if the file is not whole.

    changes: sizes that are others than the file's, ``text`` for one
    """
    data = parse_toml(read_text(path, "a TOML file", LARGEST_JSON), path)
    check_shape(data, SHAPE, path, exactly=True)
    words = data[sizes] | changes | {"out": str(out)}
    stages = [
        Stage(
            stage["name"],
            stage["about"],
            stage["limit"],
            tuple(p for table in stage["processes"] for p in _processes(table, words, path)),
            stage.get("beside", False),
            stage.get("alone", False),
        )
        for stage in data["stages"]
    ]
    return Plan(tuple(stages), tuple(data["calls"]["seconds"]), data["limits"])


def _processes(table: dict[str, Any], words: dict[str, str], path: Path) -> Iterator[Process]:
    """What a table of the file stands for: one process, several, or none."""
    each = table.get("each", {})
    for chosen in itertools.product(*each.values()):
        here = dict(zip(each, chosen, strict=True))

        def filled(text: str, here: dict[str, str] = here) -> str:
            return re.sub(r"<(\w+)>", lambda found: _word(here, found[1], path), text)

        needs = filled(table.get("needs", "")).split()
        if not all(_word(words, name, path) for name in needs):
            continue
        commands = tuple(_command(filled(line), words, path) for line in table["do"])
        yield Process(filled(table["name"]), commands, table["work"], table.get("quick", False))


def _command(line: str, words: dict[str, str], path: Path) -> tuple[str, ...]:
    """The words after ``python``: of the command line, or of a module of this room."""
    found: list[str] = []
    for part in shlex.split(line):
        name = re.fullmatch(r"(.*)\{(\w+)\}(.*)", part)
        if name is None:
            found.append(part)
        elif part == f"{{{name[2]}}}" and name[2] not in PATHS:
            found += _word(words, name[2], path).split()  # it may be several words, or none
        else:
            found.append(f"{name[1]}{_word(words, name[2], path)}{name[3]}")
    if found[0].startswith("."):
        return ("-m", f"conformance.gpu{found[0]}", *found[1:])
    return ("-m", "conformance", *found)


def _word(words: Mapping[str, str], name: str, path: Path) -> str:
    if name not in words:
        raise BadInput(path, name, f"one of {', '.join(words)}", "none of them")
    return words[name]
