"""What the tests of the conformance run share: real records, and ways to spoil them."""

import json
import os
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from common.corpus import load_corpus
from common.storage.sums import sealed
from common.weights import read_arrays, write_arrays
from conformance.__main__ import main
from conformance.cases.given import Given
from conformance.cases.table import CURATED, Case, Material, find_case, material
from conformance.run.child import Child
from conformance.run.ladder import array_path

ROOT = Path(__file__).parents[2]
CASES = ("lstm-L2", "gru-before-L1")
"""Quick, and between them: two kinds of state, two depths, a reset gate."""


@cache
def sample() -> Given:
    """The embedded text, and no weights."""
    return Given(load_corpus())


def curated(name: str) -> Case:
    return find_case(name, sample())


def numbers(case: Case) -> Material:
    return material(case, sample().corpus)


def curated_names() -> list[str]:
    return [case.name for case in CURATED]


def record(out: Path, *options: str, cases: tuple[str, ...] = CASES, backend: str = "numpy") -> int:
    """``python -m conformance record``, in this process; returns the exit code."""
    return main(["record", "--backend", backend, "--out", str(out), "--cases", *cases, *options])


def judge(out: Path, *options: str) -> int:
    """``python -m conformance judge``, in this process; returns the exit code."""
    return main(["judge", str(out), *options])


def verdict_of(out: Path, *options: str) -> tuple[int, dict]:
    """The exit code of the judge and what it wrote as JSON."""
    path = out.parent / f"{out.name}-verdict.json"
    code = judge(out, "--quiet", "--json", str(path), *options)
    # JSON has no NaN and no infinity, though Python would write and read them.
    return code, json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_such_constant)


def _no_such_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def arrays_file(folder: Path, case: str, dtype: str = "float64", name: str = "equations") -> Path:
    return folder / array_path(name, dtype, case)


def spoil(folder: Path, case: str, change: Callable[[dict], None], dtype: str = "float64") -> None:
    """Change the recorded arrays of a case in place; their metadata stays."""
    path = arrays_file(folder, case, dtype)
    arrays, metadata = read_arrays(path)
    change(arrays)
    write_arrays(path, arrays, metadata)


def edit_record(folder: Path, change: Callable[[dict], None]) -> None:
    """Change record.json in place, as somebody who seals it again."""
    path = folder / "record.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(sealed(data)), encoding="utf-8")


def copy_backend(out: Path, backend: str) -> Path:
    """A second record beside the first, as if another backend had made it; for the suite's own the
    passport would give it away."""
    folder = out / f"{backend}-cpu"
    shutil.copytree(out / "numpy-cpu", folder)
    edit_record(folder, lambda data: data.update(backend=backend))
    return folder


def fingerprint(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its checksum and its modification time. The lock that a killed
    process leaves is none of them: the next command takes it, whatever comes of it."""
    return {
        str(path.relative_to(folder)): (zlib.crc32(path.read_bytes()), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def all_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every recorded array below a record's folder, under its file's and its own name."""
    found = {}
    for path in sorted((folder / "arrays").rglob("*.safetensors")):
        for name, array in read_arrays(path)[0].items():
            found[f"{path.relative_to(folder)}:{name}"] = array
    return found


def assert_one_line(text: str) -> str:
    """Standard error holds exactly one printable line, and it is no traceback."""
    assert text.endswith("\n"), repr(text)
    line = text.removesuffix("\n")
    assert line and "\n" not in line, text
    assert line.isprintable(), repr(line)
    assert "Traceback" not in line
    return line


def use_faulty_worker() -> None:
    """Let every record in this process be made by faulty_worker.py."""
    Child.__init__ = _by_script(Child.__init__, Path(__file__).with_name("faulty_worker.py"))


def worker_script(patch: pytest.MonkeyPatch, script: Path) -> None:
    """Let workers be started as this script, while the patch lasts."""
    patch.setattr(Child, "__init__", _by_script(Child.__init__, script))


def _by_script(init: Callable, script: Path) -> Callable:
    def wrapped(self, *arguments):
        init(self, *arguments)
        at = self.command.index("-m")
        self.command[at : at + 2] = [str(script)]
        # A script sees its own folder, where -m sees the current one.
        self.environment["PYTHONPATH"] = str(script.parents[2])

    return wrapped


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than an entry that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def family(pid: int) -> list[int]:
    """A process and all that it has started, and they."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(path.parent.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def wait_until_gone(pids: Iterable[int], patience: float = 20.0) -> None:
    """Wait for processes that were not started here; one of a killed record, say, ends when it has
    answered."""
    deadline = time.monotonic() + patience
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


@contextmanager
def started(command: list[str], **options) -> Iterator[subprocess.Popen]:
    """A process with pipes; whatever becomes of the test, it and they are gone afterwards, and its
    workers end with it."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()
