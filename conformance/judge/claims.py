"""What a record or a training run says of itself, held against what can be known of it.

Nothing here looks at a computed number. What files can never prove is in docs/trust.md.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from common.corpus import Corpus, load_corpus
from common.spec import ModelSpec
from common.storage.reading import is_object
from conformance.cases.invariances import Invariance
from conformance.cases.table import DTYPES
from conformance.closeness.compare import identical
from conformance.closeness.rungs import WHOLE
from conformance.judge.required import NOT_A_GPU_S, Matrix, Required
from conformance.records.ladder import Record
from conformance.records.training import TrainingRun

MACHINE = {"python", "numpy", "platform", "cores"}
"""What the suite adds to every passport, and for a record also:"""
ASKED = {"threads asked for"}
DIED = "start"
"""In the passport's place where a worker died before it could show one."""

Column = tuple[str, str]
"""An implementation and a dtype."""


def of_record(record: Record, matrix: Matrix) -> Iterator[str]:
    """Every claim of a record as a whole that cannot be so, in a line each."""
    data, where = record.data, record.folder.name
    yield from _text(where, record.given.corpus)
    if (required := matrix.get(data["backend"])) is None:
        return
    if data["device"] not in required.devices:
        yield f"{where}: device: {data['backend']} has none of the name {data['device']}"
    died = DIED in data["passport"]
    if died and not all(entry["status"] == "crashed" for entry in _entries(record)):
        yield f"{where}: passport: of a worker that died at its start, which answered all the same"
    if not died:
        unknown = [n for n in data["implementations"] if not required.knows(n)]
        yield from (f"{where}: {data['backend']} has no implementation {n}" for n in unknown)
        modes = [n for n in data["implementations"] if n in required.modes]
        yield from _modes(where, modes, data["passport"])
        yield from _part(where, data, required)
        yield from _passport(where, data, required, MACHINE | ASKED, matrix)


def top_of(record: Record, matrix: Matrix) -> str:
    """The highest rung that a record must have answered: what the matrix says, whatever the record
    does; of a backend that it does not know, what the record says."""
    if (required := matrix.get(record.data["backend"])) is not None:
        return required.top
    return record.data.get("part", {"rung": WHOLE})["rung"]


def _part(where: str, data: dict[str, Any], required: Required) -> Iterator[str]:
    """Less than the matrix asks for is no part."""
    said = data.get("part", {"rung": WHOLE, "dtypes": [*DTYPES]})
    if (said["rung"], tuple(said["dtypes"])) != (required.top, required.dtypes):
        answers = f"up to the {required.top}" if required.top else "the whole ladder"
        yield f"{where}: part: {data['backend']} answers {answers} in {', '.join(required.dtypes)}"
    known = {*required.dtypes, *required.halves}
    known |= {"tf32"} if required.halves and data["device"] == "gpu" else set()
    if odd := sorted(set(data["dtypes"]) - known):
        yield f"{where}: dtypes: {data['backend']} does not compute in {odd[0]}"


def of_run(run: TrainingRun, matrix: Matrix) -> Iterator[str]:
    """The same of a training run."""
    data, where = run.data, f"{run.folder.parent.name}/{run.folder.name}"
    if (required := matrix.get(data["backend"])) is None:
        return
    if data["device"] not in required.devices:
        yield f"{where}: device: {data['backend']} has none of the name {data['device']}"
    if required.top:
        yield f"{where}: {data['backend']} answers up to the {required.top}, and trains nothing"
    if data["status"] == "crashed" and set(data["passport"]) <= MACHINE:
        return  # its worker died before it could show one
    if not required.knows(data["implementation"]):
        yield f"{where}: {data['backend']} has no implementation {data['implementation']}"
    if data["implementation"] in required.modes:
        yield from _modes(where, [data["implementation"]], data["passport"])
    yield from _passport(where, data, required, MACHINE, matrix)


def _modes(where: str, modes: list[str], passport: dict[str, Any]) -> Iterator[str]:
    """A mode that nobody has seen run may be the framework's usual one."""
    ran = passport.get("modes")
    for mode in modes:
        if not (is_object(ran) and is_object(ran.get(mode)) and ran[mode]):
            yield f"{where}: passport: it does not say what {mode} really ran"


def _entries(record: Record) -> Iterator[dict[str, Any]]:
    for dtypes in record.data["entries"].values():
        for cases in dtypes.values():
            yield from cases.values()


def _passport(
    where: str, data: dict[str, Any], required: Required, more: set[str], matrix: Matrix
) -> Iterator[str]:
    passport, backend = data["passport"], data["backend"]
    found = passport.get("framework")
    if found != required.framework:
        yield f"{where}: passport: {backend}'s framework is {required.framework}, not {found!r}"
        return
    # One that nobody has is of a newer backend; one that another backend has is that one's.
    others = set[str]().union(*(known.fields for known in matrix.values())) - required.fields - more
    if odd := sorted((required.fields | more) - set(passport)) + sorted(others & set(passport)):
        yield f"{where}: passport: not one of {backend}, for {odd[0]!r}"
    for field in ("version", "device", "python", "numpy", "platform"):
        if not (isinstance(passport.get(field), str) and passport[field]):
            yield f"{where}: passport: it does not name its {field}"
    # What else a GPU computes in is empty on a CPU, in the passports that say it.
    if "tiers" in required.fields and bool(passport.get("tiers")) != (data["device"] == "gpu"):
        yield f"{where}: passport: not one of the device {data['device']}"


@cache
def _sample() -> Corpus:
    return load_corpus()


def _text(where: str, found: Corpus) -> Iterator[str]:
    """The text that the suite brings is known; of others, files hold numbers and a hash only."""
    sample = _sample()
    if (found.name, found.sha256) == (sample.name, sample.sha256) and not (
        found.vocabulary == sample.vocabulary and identical(found.tokens, sample.tokens)
    ):
        yield f"{where}: given.safetensors: not the text {sample.name}, whose hash it names"
    if (found.name == sample.name) != (found.sha256 == sample.sha256):
        yield f"{where}: text: {found.name!r} is not the name of the text with its hash"


def outside(records: list[Record], runs: list[TrainingRun], matrix: Matrix) -> list[str]:
    """The backends that the matrix does not know."""
    found = {r.data["backend"] for r in records} | {run.data["backend"] for run in runs}
    return sorted(found - set(matrix))


def refuted(
    status: str, backend: str, name: str, spec: ModelSpec, matrix: Matrix, *needs: bool
) -> str:
    """Why a status cannot be: "unsupported" of what an implementation expresses, or an answer by
    one that cannot; empty if it can, or if the matrix does not know the backend.

    needs: lengths and dropout, as in ``Case.needs``"""
    required = matrix.get(backend)
    if required is None or not required.knows(name):
        return ""
    source = f"required/{required.path.name}"
    can = required.can(name, spec, *needs)
    if status == "unsupported" and can:
        return f"said to be unsupported, which it is not ({source})"
    if status in ("recorded", "finished") and not can:
        return f"answered, which {backend}:{name} cannot ({source})"
    return ""


def tier_of(run: TrainingRun) -> bool:
    """Whether a run is in numerics of a GPU, which the matrix says nothing about."""
    return run.data["numerics"] in NOT_A_GPU_S


def applicable(
    named: dict[str, str],
    these: list[Invariance],
    backend: str,
    name: str,
    matrix: Matrix,
    *needs: bool,
) -> tuple[dict[str, str], str]:
    """Of the invariances that a record calls inapplicable those that may be: their changed spec
    cannot be expressed. And what is wrong with the others, in words."""
    changed = {i.name: i.spec for i in these if i.spec is not None}
    required = matrix.get(backend)
    allowed: dict[str, str] = {}
    wrong: list[str] = []
    for invariance, reason in named.items():
        spec = changed.get(invariance)
        if spec is None or (required is not None and required.can(name, spec, *needs)):
            wrong.append(invariance)
        else:
            allowed[invariance] = reason
    return allowed, f"said to be inapplicable: {', '.join(wrong)}, which can be" if wrong else ""


def lacking(
    records: list[Record],
    expect: tuple[str, ...],
    dtypes: tuple[str, ...],
    matrix: Matrix,
    modes: tuple[str, ...] = (),
) -> tuple[dict[str, list[Column]], list[str]]:
    """What the records of backends lack: of every expected one that is there, the columns that no
    record of it has; of the others, the implementations.

    modes: those of expected backends that must be there, too

    Returns ({backend: columns}, lines about the others).
    """
    columns: dict[str, set[Column]] = {}
    for record in records:
        found = columns.setdefault(record.data["backend"], set())
        found |= {(i, d) for i in record.data["implementations"] for d in record.data["dtypes"]}
    missing: dict[str, list[Column]] = {}
    lines: list[str] = []
    for backend, there in columns.items():
        required = matrix.get(backend)
        if required is None:
            continue  # what it recorded is all that is known of it
        names = set(required.implementations)
        if backend in expect:
            asked = [m for m in required.modes if f"{backend}:{m}" in modes]
            own = [d for d in required.dtypes if d in dtypes]
            wanted = [(i, d) for i in [*sorted(names), *asked] for d in own]
            short = [d for d in required.halves if d in dtypes]
            wanted += [(i, d) for i in sorted(names) for d in short]
            missing[backend] = [column for column in wanted if column not in there]
        else:
            left = sorted(names - {i for i, _ in there})
            lines += [f"no record of {backend}:{name}, which was not asked for" for name in left]
    return missing, lines


def unfinished(results: Path, folder: str) -> list[str]:
    """What was begun after the records and runs that lie in a results folder, and not finished:
    ``.NAME.partial`` is moved into NAME's place when it is whole."""
    lines: list[str] = []
    for partial in sorted([*results.glob(".*.partial"), *results.glob(f"{folder}/*/.*.partial")]):
        name = partial.name.removeprefix(".").removesuffix(".partial")
        where = (partial.parent / name).relative_to(results).as_posix()
        lines.append(f"{where} was begun again later and is not finished ({partial.name})")
    return lines
