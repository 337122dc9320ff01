"""Records as the judge reads them: whole, of one suite version, of one text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.parameters import Arrays, check_kinds
from common.storage.files import read_json
from common.weights import read_arrays
from conformance.cases.given import Given, load_given
from conformance.records.schema import check_record, check_suite
from conformance.records.training import COMPARED, FOLDER


@dataclass(frozen=True)
class Record:
    """One folder of results."""

    folder: Path
    data: dict[str, Any]
    given: Given

    def entry(self, implementation: str, dtype: str, case: str) -> dict[str, Any]:
        """A case's entry: its status, and the digest of the numbers it was asked about."""
        return self.data["entries"][implementation][dtype][case]

    def arrays(self, implementation: str, dtype: str, case: str) -> Arrays:
        """What was recorded for a case; BadInput if the file is missing, cut short or another's."""
        path = self.folder / array_path(implementation, dtype, case)
        arrays, metadata = read_arrays(path, ours=True)
        digest = self.entry(implementation, dtype, case)["digest"]
        if metadata.get("digest") != digest:
            raise BadInput(path, "metadata 'digest'", digest, metadata.get("digest"))
        check_kinds(arrays, path)
        return arrays


def load_records(results: Path, damaged: list[BadInput] | None = None) -> list[Record]:
    """Every record in a results folder, by name.

    damaged: is told of those that cannot be read, as long as one can; otherwise the first raises

    Raises BadInput if there is none, if one is only half there, and if they are of different
    versions of the suite, of different texts or of different weights, and if two are of the same
    backend and device.
    """
    if not results.is_dir():
        raise BadInput(results, "", "a folder of records", "no such folder")
    folders = sorted(path for path in results.iterdir() if path.is_dir())
    folders = [path for path in folders if path.name not in (FOLDER, COMPARED)]
    whole = [path for path in folders if not path.name.startswith(".")]
    for partial in folders:
        name = partial.name.removeprefix(".").removesuffix(".partial")
        if partial.name.endswith(".partial") and not (results / name).exists():
            found = "one that was interrupted (the same record command continues it)"
            raise BadInput(partial, "", "a whole record", found)
    if not whole:
        raise BadInput(results, "", "at least one record", "none")
    records: list[Record] = []
    wrong: list[BadInput] = []
    for folder in whole:
        try:
            records.append(_load(folder))
        except BadInput as error:
            wrong.append(error)
    if wrong and (damaged is None or not records):
        raise wrong[0]
    if damaged is not None:
        damaged += wrong
    for record in records[1:]:
        _check_same(records[0], record)
    made: dict[tuple[str, str], Record] = {}
    for record in records:
        key = record.data["backend"], record.data["device"]
        if key in made:
            expected = "one record of a backend on a device"
            raise BadInput(record.folder, "", expected, f"{made[key].folder.name} beside it")
        made[key] = record
    return records


def has_records(results: Path) -> bool:
    """Whether there is a record, or a part of one, in a results folder."""
    return results.is_dir() and any(
        p.is_dir() and p.name not in (FOLDER, COMPARED) for p in results.iterdir()
    )


def _load(folder: Path) -> Record:
    path = folder / "record.json"
    data = read_json(path)
    check_suite(path, data)
    check_record(path, data)
    record = Record(folder, data, load_given(folder / "given.safetensors"))
    _check_given(record)
    return record


def _check_given(record: Record) -> None:
    """What lies beside a record must be what the record says that it was given, and every file of
    arrays must be one that it names."""
    path, given = record.folder / "given.safetensors", record.given
    for field, claimed, found in (
        ("text", record.data["text"], given.text()),
        ("weights", record.data["weights"], given.weights_digest()),
    ):
        if claimed != found:
            raise BadInput(path, field, f"{claimed} as record.json has it", found)
    if given.held_out:  # a run may have such texts
        raise BadInput(path, f"held out/{min(given.held_out)}", "no such tensor", "it")
    named = {
        array_path(implementation, dtype, case)
        for implementation, dtypes in record.data["entries"].items()
        for dtype, cases in dtypes.items()
        for case, entry in cases.items()
        if entry["status"] == "recorded"
    }
    for found in sorted((record.folder / "arrays").glob("*/*/*")):
        if found.relative_to(record.folder) not in named:
            raise BadInput(found, "", "no arrays that record.json does not name", "some")


def _check_same(first: Record, other: Record) -> None:
    """Records that answer different questions cannot be compared."""
    path = other.folder / "record.json"
    for field, wanted, found in (
        ("text", first.data["text"]["sha256"], other.data["text"]["sha256"]),
        ("weights", first.data["weights"], other.data["weights"]),
    ):
        if wanted != found:
            raise BadInput(path, field, f"{wanted} as in {first.folder.name}", found)


def array_path(name: str, dtype: str, case: str) -> Path:
    """Where a case's arrays lie within a record."""
    return Path("arrays", name, dtype, f"{case}.safetensors")
