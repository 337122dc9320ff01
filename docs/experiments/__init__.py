"""The runs behind the chapters' numbers: one module for each chapter, named like its page.

    python -m docs.experiments.<chapter> --backend NAME [--short] [--examples] [--out DIR]

in an environment that has the backend's framework. A module has

- examples: functions of the backend's name that print, which the chapter shows with what they
  printed and the notebooks run; each takes a few seconds at most;
- ``main``, which calls ``run`` below, and measures what takes longer.

What is stored is small and holds no text of a book but a line of a prediction.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from backends.registry import modules
from common.storage.files import read_json, write_json

Example = Callable[[str], None]
Measure = Callable[[str, bool], dict[str, Any]]

SHORT = "DEEP_RNN_SHORT"
"""The environment variable that is 1 while an experiment or a notebook is only tried out."""

RESULTS = Path(__file__).resolve().parents[1] / "results"

PACKAGES = ("numpy", "torch", "mxnet", "tensorflow", "tensorflow-cpu", "keras", "jax", "flax")


def short() -> bool:
    """Whether to do as little as shows that it works."""
    return os.environ.get(SHORT) == "1"


def run(
    chapter: str, examples: Sequence[Example], measure: Measure | None, words: list[str] | None
) -> int:
    """Run a chapter's examples and measurements with one backend, and store what came out, beside
    what other backends left in the same file.

    chapter:  the page's name, and the results'; its module has _ where the page has -
    measure:  from the backend's name and whether to be short to {"values": {name: number or text},
              "tables": {name: [record, ...]}}; None if the chapter measures nothing
    words:    the command line, ``sys.argv[1:]`` if None
    """
    command = f"python -m docs.experiments.{chapter.replace('-', '_')}"
    parser = argparse.ArgumentParser(prog=command)
    parser.add_argument("--backend", choices=sorted(modules()), default="numpy")
    parser.add_argument("--short", action="store_true", help="as little as shows that it works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--examples", action="store_true", help="keep what was measured before")
    options = parser.parse_args(words)
    if options.short:
        os.environ[SHORT] = "1"
    found: dict[str, Any] = {
        "command": f"{command} --backend {options.backend}" + " --short" * options.short,
        "versions": versions(),
        "printed": {example.__name__: output(example, options.backend) for example in examples},
    }
    path = options.out / f"{chapter}.json"
    stored = read_json(path) if path.exists() else {}
    if options.examples:
        found = {**stored.get(options.backend, found), "printed": found["printed"]}
    elif measure is not None:
        found |= measure(options.backend, short())
    write_json(path, {**stored, options.backend: found})
    print(f"{path} has the results of {options.backend}", file=sys.stderr)
    return 0


def output(example: Example, backend: str) -> list[str]:
    """The lines that it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        example(backend)
    return stream.getvalue().rstrip().splitlines()


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed here."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
