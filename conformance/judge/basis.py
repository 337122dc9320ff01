"""The files that a verdict rests on: all that was judged, and all of the suite that judges.

A verdict names the hash of each. If one of them is another when a verdict is read, it is no verdict
on what is there, and is made anew.
"""

import os
from pathlib import Path

from common.errors import BadInput
from common.storage.sums import check_sums, lines, sha256_of, sums_of
from conformance.judge.curves import ENSEMBLES
from conformance.records.training import FOLDER
from conformance.records.witness import WITNESSES
from conformance.verdict.results import Verdict

ROOT = Path(__file__).parents[2]
CODE = ("common", "conformance")
DATA = (".py", ".json", ".toml", ".txt", ".md")
JUDGED = (".json", ".safetensors")
UNFINISHED = "unfinished"


def inputs(results: Path) -> dict[str, str]:
    """The SHA-256 of every file of every record and training run in a results folder, by its path
    there; and the names of those that are not finished."""
    folders = [*results.glob("*"), *results.glob(f"{FOLDER}/*/*")]
    hidden = [path for path in folders if path.match(".*.partial")]
    found = sums_of(_judged(results, folders), results)
    return found | {p.relative_to(results).as_posix(): UNFINISHED for p in sorted(hidden)}


def _judged(results: Path, folders: list[Path]) -> list[Path]:
    whole = [p for p in folders if p.is_dir() and not p.name.startswith(".")]
    roots = [p for p in whole if p.parent != results or (p / "record.json").exists()]
    files = [path for root in roots for path in root.rglob("*") if path.suffix in JUDGED]
    return [path for path in files if path.is_file() and not path.name.startswith(".")]


def basis(more_claims: tuple[Path, ...] = ()) -> dict[str, str]:
    """The SHA-256 of every file of the suite that a verdict rests on, by its path in the suite: its
    code, bounds, deviations, witnesses, ensembles, the matrix and the text that it brings.

    more_claims: further files of the matrix, by their whole paths
    """
    files = [path for folder in CODE for path in (ROOT / folder).rglob("*")]
    found = sums_of((p for p in files if p.suffix in DATA and p.is_file()), ROOT)
    return found | {str(path.resolve()): sha256_of(path) for path in more_claims}


def check_stored() -> None:
    """BadInput if a stored witness or ensemble is missing, changed or one too many."""
    check_sums(WITNESSES, "python -m conformance witness")
    check_sums(ENSEMBLES, "python -m conformance ensemble")


def manifest(path: Path, results: Path, verdict: Verdict, written: Path | None) -> str:
    """A list for ``sha256sum -c``, to be run in the manifest's own folder: everything that a
    verdict rests on, and the verdict, where it was written. BadInput if a record is unfinished."""
    top = path.resolve().parent
    found = {results.resolve() / name: digest for name, digest in verdict.inputs.items()}
    if unfinished := [file for file, digest in found.items() if digest == UNFINISHED]:
        raise BadInput(unfinished[0], "", "a finished record or run", "one that is not")
    found |= {ROOT / name: digest for name, digest in verdict.basis.items()}
    found |= {written.resolve(): sha256_of(written)} if written else {}
    named = {_from(top, file): digest for file, digest in found.items()}
    return lines(dict(sorted(named.items())))


def _from(top: Path, file: Path) -> str:
    """A file's name from a folder on; the folder may lie elsewhere."""
    return Path(os.path.relpath(file, top)).as_posix()
