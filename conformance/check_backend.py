"""``python -m conformance check-backend NAME``: what a backend still lacks, rung by rung.

For who writes one (docs/adding-a-backend.md). It runs in this process, in the environment of the
backend, so that the author's own breakpoints and prints work. What it finds green is a beginning;
``record`` and ``judge`` try every case.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.table import Table

from backends import registry
from backends.protocol import Backend, Implementation
from common.corpus import load_corpus
from common.errors import EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.storage.files import write_json
from conformance.cases.given import Given
from conformance.cases.table import DTYPES, select
from conformance.closeness.compare import Comparison, load_bounds
from conformance.closeness.rungs import RUNGS, WHOLE
from conformance.judge.ladder import compare_all
from conformance.judge.required import describe
from conformance.options import Command
from conformance.oracle.truth import Answer, right_answer
from conformance.progress import Progress, results_console
from conformance.records.witness import Witness, load_witnesses
from conformance.worker.ladder import ORDER, answer_invariances, rungs
from conformance.worker.training import Trainee

CASES = ["rnn-tanh-L2", "gru-after-L2", "gru-before-L2", "lstm-L2"]
"""One of each cell, with two layers."""
EPOCHS = 2
"""So many digests of a witness are checked."""

MODULE = ("IMPLEMENTATIONS", "implementation", "bare", "passport")
PASSPORT = ("framework", "version", "device", "threads", "kernel path")

DONE, MISSING, WRONG, UNSUPPORTED, WAITS = "done", "missing", "wrong", "unsupported", "waits"
SIGNS = {DONE: "✓", MISSING: "✗ missing", WRONG: "✗", UNSUPPORTED: "–", WAITS: "waits"}


@dataclass(frozen=True)
class Finding:
    """What was found of one thing that a backend needs.

    whose: "module", or an implementation and a dtype     what: a name, a rung, or a witness
    """

    whose: str
    what: str
    status: str
    detail: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backend", metavar="NAME", help=", ".join(registry.MODULES))
    parser.add_argument(
        "--cases", nargs="+", default=CASES, metavar="CASE", help="by name or pattern"
    )
    about = "only write what it can express and what it cannot, for judge --claims"
    parser.add_argument("--claims", type=Path, metavar="FILE", help=about)


def run_check(options: argparse.Namespace) -> int:
    """Print what was found; exit code 0 if nothing is missing or wrong."""
    if options.claims:
        write_json(options.claims, claims(options.backend))
        return EXIT_PASS
    names = select(options.cases, 0, 0, False)
    progress = Progress(options.quiet)
    found = list(check(options.backend, names, progress))
    show(options.backend, found)
    return EXIT_PASS if all(f.status in (DONE, UNSUPPORTED) for f in found) else EXIT_FAIL


def claims(name: str) -> dict[str, Any]:
    """The backend's line of the matrix (judge/required.py), out of what it says itself."""
    backend = registry.load(name)
    part, modes = getattr(backend, "PART", None), getattr(backend, "MODES", ())
    dtype = part.dtypes[0] if part else "float64"
    made = {i: backend.implementation(i, "cpu", dtype) for i in backend.IMPLEMENTATIONS}
    others = {mode: backend.implementation(mode, "cpu", dtype) for mode in modes}
    try:
        backend.implementation(backend.IMPLEMENTATIONS[0], "gpu", "float64")
        devices = ["cpu", "gpu"]
    except BadInput as error:
        # "cpu" is what is expected where there is no code for anything else.
        devices = ["cpu"] if error.expected == "cpu" else ["cpu", "gpu"]
    own = part and {"rung": part.rung, "dtypes": [*part.dtypes]}
    halves = getattr(backend, "HALVES", ())
    return describe(name, devices, backend.passport("cpu"), made, others, own, halves)


def check(name: str, cases: list[str], progress: Progress) -> Iterator[Finding]:
    """Everything, from the module up to training; BadInput if there is no such backend here."""
    backend, given = registry.load(name), Given(load_corpus())
    part = getattr(backend, "PART", None)
    top, dtypes = (part.rung, part.dtypes) if part else (WHOLE, DTYPES)
    yield from check_module(backend)
    for implementation in getattr(backend, "IMPLEMENTATIONS", ()):
        made = {dtype: make(backend, implementation, dtype) for dtype in dtypes}
        answers = [right_answer(case, given) for case in cases]
        for dtype, one in made.items():
            whose = f"{implementation} {dtype}"
            if isinstance(one, Exception):
                yield Finding(whose, "implementation", *said(one))
                continue
            worst: dict[str, Finding] = {}
            for answer in progress.over(f"{name}:{whose}", answers):
                for found in check_case(one, answer, dtype, whose, top):
                    worst[found.what] = worse(worst.get(found.what), found)
            yield from worst.values()
        one = made.get("float64")
        if one and not (top or isinstance(one, Exception)):
            for witness in (w for w in load_witnesses() if w.name.startswith("quick-")):
                yield check_witness(one, witness, given, f"{implementation} float64")


def check_module(backend: Backend) -> Iterator[Finding]:
    """The names that the protocol wants, and the passport."""
    for name in MODULE:
        if hasattr(backend, name):
            yield Finding("module", name, DONE)
        elif name == "bare" and hasattr(backend, "PART"):
            yield Finding("module", name, UNSUPPORTED, "no gradients to be measured")
        elif name == "bare" and "layers" not in getattr(backend, "IMPLEMENTATIONS", ("layers",)):
            yield Finding(
                "module", name, UNSUPPORTED, "no layers of a framework to be compared with"
            )
        else:
            yield Finding("module", name, MISSING, "no such name")
    try:
        passport = backend.passport("cpu")
        json.dumps(passport, allow_nan=False)
        absent = [key for key in PASSPORT if not passport.get(key)]
    except Exception as error:  # whatever an unfinished backend raises is what the author asks for
        yield Finding("module", "what the passport says", *said(error))
        return
    detail = f"nothing about {', '.join(absent)}" if absent else ""
    yield Finding("module", "what the passport says", MISSING if absent else DONE, detail)


def make(backend: Backend, name: str, dtype: str) -> Implementation | Exception:
    try:
        return backend.implementation(name, "cpu", dtype)
    except Exception as error:  # as above
        return error


def said(error: Exception) -> tuple[str, str]:
    """The status that an exception means, and its first line."""
    lines = str(error).strip().splitlines() or ["no message"]
    missing = isinstance(error, (NotImplementedError, AttributeError))
    detail = lines[0] if isinstance(error, NotImplementedError) else ""
    return MISSING if missing else WRONG, detail or f"{type(error).__name__}: {lines[0]}"


def check_case(
    implementation: Implementation, answer: Answer, dtype: str, whose: str, top: str = WHOLE
) -> Iterator[Finding]:
    """One finding for every rung of one case, up to the highest that the backend answers."""
    got: dict[str, Any] = {}
    inapplicable: dict[str, str] = {}
    stopped, case = None, answer.case
    try:
        if reason := implementation.unsupported(case.spec, *case.needs):
            yield from (Finding(whose, rung, UNSUPPORTED, reason) for rung in RUNGS)
            return
        last = ORDER.index(top or ORDER[-1])
        for arrays in islice(rungs(implementation, answer.case, answer.numbers), last + 1):
            got |= arrays
        if answer.case.invariances:
            more, inapplicable = answer_invariances(implementation, answer.case, answer.numbers)
            got |= more
    except Exception as error:  # as above
        stopped = said(error)
    limits = load_bounds()["cpu"][dtype]
    compared = compare_all(got, answer, dtype, limits, inapplicable, top)
    by_rung: dict[str, list[Comparison]] = {rung: [] for rung in RUNGS}
    for comparison in compared:
        by_rung[comparison.rung].append(comparison)
    for rung, comparisons in by_rung.items():
        wrong = [c for c in comparisons if not c.passed]
        reached = [c for c in wrong if c.tensor in got]
        where = f"{answer.case.name}: "
        if reached:
            yield Finding(whose, rung, WRONG, f"{where}{reached[0].tensor}: {reached[0].problem}")
        elif stopped and (wrong or not comparisons):
            # Only the first rung that is not reached says why; the others wait for it.
            yield Finding(whose, rung, stopped[0], where + stopped[1])
            stopped = WAITS, "for what is missing above"
        elif wrong:
            yield Finding(whose, rung, WRONG, f"{where}{wrong[0].tensor}: {wrong[0].problem}")
        elif comparisons:
            yield Finding(whose, rung, DONE)


def check_witness(
    implementation: Implementation, witness: Witness, given: Given, whose: str
) -> Finding:
    """Whether training on the lattice begins as the stored witness did."""
    what = f"lattice {witness.name}"
    try:
        if reason := implementation.unsupported(witness.spec):
            return Finding(whose, what, UNSUPPORTED, reason)
        job = {"spec": witness.spec.to_json(), "recipe": witness.recipe.to_json(), "settings": {}}
        job |= {"numerics": "lattice", "digests": "epoch", "checkpoint": str(Path("no checkpoint"))}
        trainee = Trainee(job, given, implementation)
        for epoch in range(EPOCHS):
            if trainee.epoch()["digest"] != witness.digests[epoch]:
                return Finding(whose, what, WRONG, f"epoch {epoch + 1}: another digest")
    except Exception as error:  # as above
        return Finding(whose, what, *said(error))
    return Finding(whose, what, DONE)


def worse(one: Finding | None, other: Finding) -> Finding:
    order = (UNSUPPORTED, DONE, WAITS, MISSING, WRONG)
    return other if one is None or order.index(other.status) > order.index(one.status) else one


def show(name: str, found: list[Finding]) -> None:
    """A row for each thing, a column for each implementation, and the details below."""
    columns = list(dict.fromkeys(f.whose for f in found))
    rows = list(dict.fromkeys(f.what for f in found))
    table = Table("needed", *columns, title=f"What the backend {name} has")
    by_place = {(f.what, f.whose): SIGNS[f.status] for f in found}
    for row in rows:
        table.add_row(row, *(by_place.get((row, column), "") for column in columns))
    console = results_console()
    console.print(table)
    for f in found:
        if f.detail and f.status != WAITS:
            line = printable(f"{SIGNS[f.status]} {f.whose}, {f.what}: {f.detail}")
            console.print(line, markup=False, soft_wrap=True)
    left = sum(f.status not in (DONE, UNSUPPORTED) for f in found)
    console.print(f"{left} to do" if left else "nothing is missing: now record, train and judge")


COMMANDS = (
    Command(
        "check-backend",
        "what a backend that is being written still lacks",
        "Goes up the ladder with a backend and says at each rung what is done, missing or wrong.",
        add_arguments,
        run_check,
        ("check-backend numpy",),
    ),
)
