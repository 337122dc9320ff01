"""Record what one backend computes: one process, one environment, one folder of results.

    results/<backend>-<device>/record.json          passport, and every case with its status
                               given.safetensors    the text's beginning, the weights
                               arrays/<implementation>/<dtype>/<case>.safetensors
                               worker.log           whatever the framework printed

All of it is made in ``.<backend>-<device>.partial`` and moved into place when it is whole; until
then an earlier record stays as it is. An interrupted run goes on where it was if it is started
again with the same options; otherwise it starts afresh. While it runs, it holds
``.<backend>-<device>.lock``.
"""

import contextlib
import json
import platform
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.protocol import cores
from backends.registry import check_name
from common import SUITE_VERSION
from common.errors import BadInput
from common.storage.files import (
    check_inside,
    make_folder,
    move,
    remove_folder,
    replace_folder,
    write_json,
    write_text,
)
from common.storage.locks import locked
from common.storage.reading import LARGEST_JSON, read_text
from common.storage.sums import sealed
from conformance.cases.given import Given, save_given
from conformance.records.ladder import array_path
from conformance.run.child import Child, Died
from conformance.run.journal import Journal, Key
from conformance.run.room import check_answer, check_room
from conformance.run.several import together

if TYPE_CHECKING:
    from conformance.progress import Says

CASE_LIMIT = 120.0
"""Seconds for one case. The longest, text-lstm, takes a few."""

RENEWED = 700
"""After as many answers, more than the main job's, a worker ends, and another goes on: a framework
keeps what it compiles, and TensorFlow's graphs take gigabytes."""

LOOKED_AT, MOST_MAPPINGS = 50, 40_000
"""After as many answers it also ends if its memory has more mappings than that. XLA's programs fill
the 65,530 that Linux gives a process, which then ends, of 850 generated cases or 490 wider ones."""


@dataclass(frozen=True)
class Request:
    """What is to be recorded.

    modes: beside the implementations, by pattern     processes: workers that share the cases
    """

    backend: str
    device: str
    dtypes: list[str]
    cases: list[str]
    given: Given
    out: Path
    limit: float = CASE_LIMIT
    threads: int = 1
    modes: Sequence[str] = ()
    processes: int = 1

    @property
    def folder(self) -> Path:
        return self.out / f"{self.backend}-{self.device}"

    @property
    def old(self) -> Path:
        return self.out / f".{self.folder.name}.old"

    @property
    def partial(self) -> Path:
        return self.out / f".{self.backend}-{self.device}.partial"

    @property
    def lock(self) -> Path:
        return self.out / f".{self.folder.name}.lock"


def make_child(request: Request, dtypes: Collection[str]) -> Child:
    """A worker for a record, and for whatever else is asked of it in these dtypes."""
    given, log = request.partial / "given.safetensors", request.partial / "worker.log"
    which = request.backend, request.device, sorted(dtypes), request.threads
    return Child(*which, given, log, request.modes)


def record(request: Request, progress: "Says", child: Child | None = None) -> dict[str, Any]:
    """Run every case in a worker and write the record; returns what is in record.json.

    child: of ``make_child``, left running; without one, a worker is started for the record alone

    A case that raises, ends the worker or outlasts its limit is ``crashed``, and the rest goes on.
    BadInput if the backend or the device is not there, if another process writes the record, or if
    there is a link in it; nothing is overwritten then. An OSError, of a full disk for one, is
    nobody's crash: the earlier record stays, and the same command goes on.
    """
    check_name(request.backend)
    make_folder(request.out)
    own = child or make_child(request, request.dtypes)
    try:
        with locked(request.lock, request.folder):
            check_inside(request.folder, request.old, request.partial)
            return _record(request, progress, own)
    finally:
        if child is None:
            own.stop()


def _record(request: Request, progress: "Says", child: Child) -> dict[str, Any]:
    began = time.monotonic()
    if request.old.exists() and not request.folder.exists():
        move(request.old, request.folder)  # an earlier run was killed between two renames
    make_folder(request.partial)
    save_given(request.partial / "given.safetensors", request.given)
    with contextlib.ExitStack() as started:
        with _nothing_left_behind_on_bad_input(request.partial):
            others = _launch_others(request, started)
            greeting = _greet(child, request.partial)
            settings = _settings(request, greeting)
        journal = _open_journal(request.partial, settings)
        entries = _run_cases(request, [child, *others], settings, journal, progress)
    result = sealed(
        settings
        | {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 1),
            "peak MiB": max((entry.get("peak MiB", 0) for entry in entries.values()), default=0),
            "entries": _nest(entries),
        }
    )
    write_json(request.partial / "record.json", result)
    for leftover in ("settings.json", "journal.jsonl"):
        (request.partial / leftover).unlink(missing_ok=True)
    replace_folder(request.partial, request.folder, request.old)
    return result


def _launch_others(request: Request, started: contextlib.ExitStack) -> list[Child]:
    """The workers beside the first. One for each dtype will have work, and starts at once."""
    others = [make_child(request, request.dtypes) for _ in range(1, request.processes)]
    for other in others[: len(request.dtypes) - 1]:
        other.launch()
        started.callback(other.stop)
    return others


def _greet(child: Child, partial: Path) -> dict[str, Any]:
    """Start the worker. One that dies while it imports its framework is a result as well: every
    case is crashed then."""
    try:
        return check_answer(child.greet())
    except Died as death:
        check_room(partial)
        return {"implementations": ["equations", "layers"], "passport": {"start": str(death)}}


@contextlib.contextmanager
def _nothing_left_behind_on_bad_input(partial: Path) -> Iterator[None]:
    fresh = not (partial / "settings.json").exists()
    try:
        yield
    except Exception:
        if fresh:
            remove_folder(partial)
        raise


def _settings(request: Request, greeting: dict[str, Any]) -> dict[str, Any]:
    """What the whole record shares; a run that is resumed must have the same. BadInput if the
    backend computes in none of the dtypes that are asked for."""
    machine = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cores": cores(),
        "threads asked for": request.threads,
    }
    part = greeting.get("part")
    own = [dtype for dtype in request.dtypes if part is None or dtype in part["dtypes"]]
    if part and not own:
        expected = f"one of {', '.join(part['dtypes'])}, which {request.backend} computes in"
        raise BadInput("--dtype", "", expected, " ".join(request.dtypes))
    return ({"part": part} if part else {}) | {
        "suite": SUITE_VERSION,
        "backend": request.backend,
        "device": request.device,
        "dtypes": own,
        "implementations": greeting["implementations"],
        "text": request.given.text(),
        "weights": request.given.weights_digest(),
        "passport": greeting["passport"] | machine,
        "cases": request.cases,
    }


def _open_journal(partial: Path, settings: dict[str, Any]) -> Journal:
    """Go on with what is there if it was made with the same settings; throw it away otherwise."""
    path = partial / "settings.json"
    stored = read_text(path, "settings", LARGEST_JSON) if path.exists() else None
    if stored != json.dumps(settings):
        remove_folder(partial / "arrays")
        (partial / "journal.jsonl").unlink(missing_ok=True)
        write_text(path, json.dumps(settings))
    return Journal(partial / "journal.jsonl")


def _run_cases(
    request: Request,
    workers: list[Child],
    settings: dict[str, Any],
    journal: Journal,
    progress: "Says",
) -> dict[Key, dict[str, Any]]:
    """Every entry, in the order in which it is asked for. Each worker takes an implementation in a
    dtype after another: their cases have programs in common."""
    entries = journal.read(request.partial)
    rows = [(name, dtype) for name in settings["implementations"] for dtype in settings["dtypes"]]
    left, turn = iter(rows), threading.Lock()
    child, *others = workers[: len(rows)]

    def work(worker: Child, ended: threading.Event) -> None:
        asked = 0
        for row in iter(lambda: _next(left, turn), None):
            title = f"{request.backend}:{' '.join(row)}"
            # One bar at a time: the others say a line when a row is whole.
            shown = progress.over(title, request.cases) if worker is child else request.cases
            for case in shown:
                key = (*row, case)
                if key in entries:
                    continue
                if asked and is_full(worker, asked):
                    worker.leave()
                entry, asked = _run_case(request, worker, key), asked + 1
                with turn:
                    if ended.is_set():
                        return
                    entries[key] = entry
                    journal.add(key, entry)
            progress.say(f"{title}: {_counts([entries[*row, c]['status'] for c in request.cases])}")

    together(work, child, others)
    return {(*row, case): entries[*row, case] for row in rows for case in request.cases}


def is_full(worker: Child, asked: int) -> bool:
    """Whether a worker that has answered so much is to end."""
    if asked % RENEWED == 0:
        return True
    return asked % LOOKED_AT == 0 and worker.mappings() > MOST_MAPPINGS


def _next(left: Iterator[tuple[str, str]], turn: threading.Lock) -> tuple[str, str] | None:
    """What nobody has taken yet."""
    with turn:
        return next(left, None)


def _run_case(request: Request, child: Child, key: tuple[str, str, str]) -> dict[str, Any]:
    name, dtype, case = key
    path = request.partial / array_path(name, dtype, case)
    question = {"implementation": name, "dtype": dtype, "case": case, "path": str(path.resolve())}
    began = time.monotonic()
    try:
        entry = check_answer(child.ask(question, request.limit))
    except Died as death:
        entry = {"status": "crashed", "reason": str(death)}
    if entry["status"] == "crashed":
        check_room(request.partial)
    return entry | {"seconds": round(time.monotonic() - began, 3)}


def _counts(statuses: list[str]) -> str:
    return ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(["recorded", *statuses]))


def _nest(entries: dict[tuple[str, str, str], dict[str, Any]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for (name, dtype, case), entry in entries.items():
        nested.setdefault(name, {}).setdefault(dtype, {})[case] = entry
    return nested
