"""What came back from a GPU, made small: what stays is judged as the whole is.

Of a run, the epochs that the early envelope is about keep every step; the later ones keep their
means, which are all that is judged of them, and their digests. Of a record, some cases stay; of one
that was stopped, those that were answered.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from common.storage.files import make_folder, read_json, write_json
from common.storage.sums import sealed
from common.weights import read_arrays, write_arrays
from conformance.calibrate.envelope import EARLY_STEPS
from conformance.cases.quick import quick_cases
from conformance.gpu.members import by_epoch
from conformance.records.ladder import array_path
from conformance.records.schema import RECORDED, UNSUPPORTED
from conformance.run.journal import Journal

SMALL = 2**20
"""Bytes of a case's arrays that the project's own tree can hold."""

WITNESSES = ("lstm-L1", "lstm-bidirectional-lengths-L1")
"""Cases that show what a deviation says of a GPU, and stay beside the quick ones."""

FEW = ("lstm-L2", "gru-after-L2", "rnn-tanh-bidirectional-lengths-L2")
"""Of half precision, whose references take a second each."""


def came_back(_: str, files: list[Path]) -> bool:
    """Whether a case's arrays are there: files above the limit stay on the machine."""
    return all(file.exists() for file in files)


def is_quick(case: str, files: list[Path]) -> bool:
    """Whether a case is one of the quick ones, or a witness, and small enough for the project's own
    tree."""
    known = (*quick_cases(), *WITNESSES)
    return case in known and all(file.stat().st_size < SMALL for file in files)


def is_one_of_few(case: str, _: list[Path]) -> bool:
    """Whether a case of half precision stays."""
    return case in FEW


def records(folder: Path) -> Iterator[tuple[dict[str, Any], Path, Path]]:
    """Every record of every process: what it says, the folder of its arrays, and where below
    ``folder`` it lies, or a copy would. Of one that was stopped, a record for each dtype, of the
    cases that every implementation answered; what is there whole counts instead."""
    whole: set[Path] = set()
    for path in sorted(folder.glob("*/*/record.json")):
        whole.add(path.parent.relative_to(folder))
        yield read_json(path), path.parent, path.parent.relative_to(folder)
    for path in sorted(folder.glob("*/.*.partial/settings.json")):
        settings, partial = read_json(path), path.parent
        process = partial.parent.name
        called = partial.name.removeprefix(".").removesuffix(".partial")
        if Path(process, called) in whole:
            continue
        journal, names = partial / "journal.jsonl", settings["implementations"]
        entries = Journal(journal).read(partial)
        made = datetime.fromtimestamp(journal.stat().st_mtime, UTC).isoformat(timespec="seconds")
        for dtype in settings["dtypes"]:
            if (place := Path(f"{process}-{dtype}", called)) in whole:
                continue
            found = [c for c in settings["cases"] if all((n, dtype, c) in entries for n in names)]
            nested = {n: {dtype: {c: entries[n, dtype, c] for c in found}} for n in names}
            rows = [entry for name in names for entry in nested[name][dtype].values()]
            about = {"dtypes": [dtype], "cases": found, "made": made, "entries": nested, "seal": ""}
            about["seconds"] = round(sum(entry["seconds"] for entry in rows), 1)
            about["peak MiB"] = max((entry.get("peak MiB", 0) for entry in rows), default=0)
            yield settings | about, partial, place


def copy_records(there: Path, out: Path, keep: Callable[[str, list[Path]], bool]) -> None:
    """Copy the records of every process, but for the cases that are not to be kept; ``keep`` is
    asked about a case's name and the files of its arrays. A record of which nothing is left is left
    out, and so is an implementation that can express none of the cases its process was given; the
    rest gets the seal of what is left."""
    for record, folder, place in records(there):
        columns = [
            (array_path(implementation, dtype, "…"), by_case)
            for implementation, by_dtype in record["entries"].items()
            for dtype, by_case in by_dtype.items()
        ]
        files: dict[str, list[Path]] = {case: [] for case in record["cases"]}
        for arrays, by_case in columns:
            for case, entry in by_case.items():
                if entry["status"] == RECORDED:
                    files[case].append(folder / arrays.with_name(f"{case}.safetensors"))
        record["cases"] = [case for case in record["cases"] if keep(case, files[case])]
        for _, by_case in columns:
            for case in files.keys() - record["cases"]:
                by_case.pop(case, None)
        leave_out_what_is_unsupported(record)
        if not record["cases"] or not record["implementations"]:
            continue
        kept = [file for case in record["cases"] for file in files[case]]
        for file in (folder / "given.safetensors", *kept):
            target = out / place / file.relative_to(folder)
            make_folder(target.parent)
            shutil.copyfile(file, target)
        del record["seal"]
        write_json(out / place / "record.json", sealed(record))


def leave_out_what_is_unsupported(record: dict[str, Any]) -> None:
    """Implementations that can express none of a record's cases."""
    for name in list(record["entries"]):
        rows = [entry for column in record["entries"][name].values() for entry in column.values()]
        if all(entry["status"] == UNSUPPORTED for entry in rows):
            del record["entries"][name]
            record["implementations"].remove(name)


def trim_run(run: dict[str, Any]) -> dict[str, Any]:
    """A run.json without what is judged by its weights, its late epochs as means."""
    if run["status"] != "finished":
        return run
    rows, steps = [], 0
    for row in run["epochs"]:
        kept = {key: row[key] for key in ("tokens", "seconds", "digest") if key in row}
        early = steps < EARLY_STEPS
        for key in ("losses", "norms"):
            kept[key] = row[key] if early else [float(np.mean(row[key]))]
        steps += len(row["losses"])
        rows.append(kept)
    return run | {"epochs": rows, "trimmed": True}


def trim_activations(made: dict[str, Any]) -> dict[str, Any]:
    """Errors of the functions in the layers; the curves of float32 with one unit alone."""
    for dtype, rows in made["activations"].items():
        for row in rows if dtype != "float32" else [r for r in rows if r.get("h", 1) > 1]:
            del row["curve"]
    return made


def trim_members(path: Path, out: Path) -> None:
    """The same for all members at once, and of each at how many steps its norm was above θ."""
    arrays, metadata = read_arrays(path, ours=True)
    trimmed: dict[str, list[np.ndarray]] = {}
    begun = np.cumsum(arrays["steps"]) - arrays["steps"]
    for name in ("losses", "norms"):
        trimmed[name] = [
            a if first < EARLY_STEPS else a.mean(0, "float64", keepdims=True)
            for first, a in zip(begun, by_epoch(arrays, name), strict=True)
        ]
    kept = {name: np.concatenate(parts).astype("float32") for name, parts in trimmed.items()}
    kept["steps"] = np.array([len(part) for part in trimmed["losses"]])
    theta = json.loads(metadata["about"])["recipe"]["clip"]
    kept["clipped"] = (arrays["norms"] > theta).sum(0)
    write_arrays(out, kept | {"seconds": arrays["seconds"]}, metadata)
