"""The training runs behind a comparison, each in a Python that has its framework.

Every run is one call of ``python -m conformance train``, so that checkpoints, resumption and what a
crash leaves behind are that command's. A run that is finished already is read, not repeated.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backends.registry import modules
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput
from common.storage.files import read_json
from conformance.progress import Progress
from conformance.records.training import COMPARED, load_run
from conformance.run.asked import Run
from conformance.run.child import START_LIMIT, describe_exit
from conformance.run.command import add_train
from conformance.run.plan import check, runs

ROOT = Path(__file__).parents[2]


PASSED_ON = {
    "--layers": int,
    "--hidden": int,
    "--epochs": int,
    "--learning-rate": float,
    "--clip": float,
    "--batch": int,
    "--steps": int,
    "--seed": int,
    "--threads": int,
    "--prefix": str,
}
"""Options of ``train`` that mean the same here, for every run."""

FINISHED, UNSUPPORTED, CRASHED, STOPPED = "finished", "unsupported", "crashed", "stopped"
EXIT_CODES = {
    FINISHED: EXIT_PASS,
    UNSUPPORTED: EXIT_PASS,
    CRASHED: EXIT_FAIL,
    STOPPED: EXIT_BAD_INPUT,  # what ``train`` itself answers when a number is not finite any more
}

IMPORT = "import sys; from backends.registry import load; load(sys.argv[1])"


@dataclass(frozen=True)
class Planned:
    """A run, what it is called while it runs, and the options of ``train`` that make it."""

    title: str
    run: Run
    options: list[str]


def plan(
    options: argparse.Namespace, cell: str, backend: str, files: list[str], title: str
) -> Planned:
    """One run on the files together; BadInput if it cannot be. No files: the recipe's own text.

    Its folder is named after its text, so that runs on several texts do not displace one another.
    """
    text = "+".join(quote(Path(file).name, safe="") for file in files)[:100] or "default"
    words = [
        *("--backend", backend, "--cell", cell, "--recipe", options.recipe),
        *("--numerics", options.numerics, "--reset", options.reset, "--device", options.device),
        *("--max-tokens", str(options.max_tokens), f"--held-out={options.held_out}"),
        *("--out", str(options.out / COMPARED / text)),
        *(["--text", *files] if files else []),
        *(["--fresh"] if options.fresh else []),
    ]
    for name in PASSED_ON:
        value = getattr(options, name.removeprefix("--").replace("-", "_"))
        words += [] if value is None else [f"{name}={value}"]
    parser = argparse.ArgumentParser()
    add_train(parser)
    [run] = runs(parser.parse_args(words))
    check(run)
    return Planned(title, run, words)


def named_pythons(options: argparse.Namespace) -> dict[str, Path]:
    """``--python BACKEND=PATH``."""
    found = {}
    for value in options.python:
        backend, _, path = value.partition("=")
        if backend not in modules() or not path:
            raise BadInput("--python", "", f"BACKEND=PATH, one of {', '.join(modules())}", value)
        found[backend] = Path(path)
    return found


def carry_out(
    planned: list[Planned], pythons: dict[str, Path], progress: Progress
) -> list[dict[str, Any]]:
    """What is in every run's run.json, in the order of the plan; runs that did not come to write
    one have the status ``crashed`` or ``stopped``, a reason and no epochs.

    pythons: by backend, the interpreter to train with; others are looked for
    """
    known = [None if job.run.fresh else _finished(job.run) for job in planned]
    missing = {job.run.backend for job, made in zip(planned, known, strict=True) if made is None}
    # All of them before the first run, which may take hours.
    found = {backend: find_python(backend, pythons.get(backend)) for backend in sorted(missing)}
    results = []
    for job, made in zip(planned, known, strict=True):
        if made is not None:
            progress.say(f"{job.title}: finished before, reused: {job.run.folder}")
        else:
            progress.say(f"{job.title}: training")
            made = _train(job, found[job.run.backend], progress)
        results.append(made)
    return results


def find_python(backend: str, named: Path | None = None) -> Path:
    """A Python that can import the backend's framework: the one that was named, or else this one,
    or else the one that tox made. BadInput says what to do if there is none."""
    tox = (folder / ".tox" / backend / "bin" / "python" for folder in (Path.cwd(), ROOT))
    candidates = (Path(sys.executable), *tox) if named is None else (named.absolute(),)
    for python in candidates:
        if _imports(python, backend):
            return python
    expected = (
        f"a Python that has its framework: `tox -e {backend} --notest` makes one, "
        f"--python {backend}=PATH names one"
    )
    raise BadInput(f"backend {backend}", "", expected, "none" if named is None else f"{named}")


def _imports(python: Path, backend: str) -> bool:
    command = [str(python), "-c", IMPORT, backend]
    try:
        return not subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=START_LIMIT
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _finished(run: Run) -> dict[str, Any] | None:
    """The run if it lies there finished and was made with the same settings."""
    made = _read(run.folder, run)
    if made is None or made["status"] != FINISHED:
        return None
    return made if made["prediction"]["prefix"] == run.prefix else None


def _read(folder: Path, run: Run) -> dict[str, Any] | None:
    """A run.json, if there is one with the run's settings; BadInput if it is not whole."""
    path = folder / "run.json"
    made = read_json(path) if path.exists() else None
    if not isinstance(made, dict):
        return None
    same = all(made.get(key) == value for key, value in run.settings().items())
    return load_run(folder).data if same else None


def _train(job: Planned, python: Path, progress: Progress) -> dict[str, Any]:
    """Run ``train`` and pass on what it says, line by line; the last one is the reason if it wrote
    nothing."""
    command = [str(python), "-m", "conformance", "train", *job.options]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    line = ""
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stderr or ():
                progress.say(f"  {line.rstrip()}")
        except KeyboardInterrupt:
            process.terminate()  # its worker ends with it; the same command goes on from there
            raise
    if process.returncode in (EXIT_PASS, EXIT_FAIL):
        # A crashed run that has a checkpoint stays where it was made.
        for folder in (job.run.partial, job.run.folder):
            if (made := _read(folder, job.run)) is not None:
                return made
    status = STOPPED if process.returncode == EXIT_BAD_INPUT else CRASHED
    return {
        "status": status,
        "reason": line.strip() or describe_exit(process.returncode),
        "epochs": [],
    }
