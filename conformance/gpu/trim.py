"""What came back from a GPU, made small: what stays is judged as the whole is.

Of a run, the epochs that the early envelope is about keep every step; the later ones keep their
means, which are all that is judged of them, and their digests. Of a record, some cases stay.
"""

import shutil
from collections.abc import Callable
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
from conformance.records.schema import RECORDED

SMALL = 2**20
"""Bytes of a case's arrays that the project's own tree can hold."""


def came_back(_: str, files: list[Path]) -> bool:
    """Whether a case's arrays are there: files above the limit stay on the machine."""
    return all(file.exists() for file in files)


def is_quick(case: str, files: list[Path]) -> bool:
    """Whether a case is one of the quick ones, and small enough for the project's own tree."""
    return case in quick_cases() and all(file.stat().st_size < SMALL for file in files)


def copy_records(ladder: Path, out: Path, keep: Callable[[str, list[Path]], bool]) -> None:
    """Copy the records of every process, but for the cases that are not to be kept; ``keep`` is
    asked about a case's name and the files of its arrays. A record of which nothing is left is left
    out; else it gets the seal of what is left."""
    for path in sorted(ladder.glob("*/*/record.json")):
        record, to = read_json(path), out / path.relative_to(ladder).parent
        columns = [
            (array_path(implementation, dtype, "…"), by_case)
            for implementation, by_dtype in record["entries"].items()
            for dtype, by_case in by_dtype.items()
        ]
        files: dict[str, list[Path]] = {case: [] for case in record["cases"]}
        for place, by_case in columns:
            for case, entry in by_case.items():
                if entry["status"] == RECORDED:
                    files[case].append(path.parent / place.with_name(f"{case}.safetensors"))
        record["cases"] = [case for case in record["cases"] if keep(case, files[case])]
        for _, by_case in columns:
            for case in files.keys() - record["cases"]:
                by_case.pop(case, None)
        if not record["cases"]:
            continue
        kept = [file for case in record["cases"] for file in files[case]]
        for file in (path.with_name("given.safetensors"), *kept):
            target = to / file.relative_to(path.parent)
            make_folder(target.parent)
            shutil.copyfile(file, target)
        del record["seal"]
        write_json(to / "record.json", sealed(record))


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
    """The same for all members at once."""
    arrays, metadata = read_arrays(path, ours=True)
    trimmed: dict[str, list[np.ndarray]] = {}
    begun = np.cumsum(arrays["steps"]) - arrays["steps"]
    for name in ("losses", "norms"):
        trimmed[name] = [
            a.astype("float64") if first < EARLY_STEPS else a.mean(0, "float64", keepdims=True)
            for first, a in zip(begun, by_epoch(arrays, name), strict=True)
        ]
    kept = {name: np.concatenate(parts) for name, parts in trimmed.items()}
    kept["steps"] = np.array([len(part) for part in trimmed["losses"]])
    write_arrays(out, kept | {"seconds": arrays["seconds"]}, metadata)
