"""``python -m conformance judge``: the verdict over a results folder, and what is written of it."""

import argparse
import fnmatch
import io
from pathlib import Path

from rich.console import Console

from common.errors import BadInput
from common.storage.files import write_json, write_text
from common.storage.pages import replace_part
from conformance.cases.command import (
    add_modes,
    add_recipes,
    add_which,
    check_modes,
    chosen,
    gathered,
    recipes_of,
)
from conformance.cases.given import Given
from conformance.cases.table import PRECISIONS
from conformance.closeness.compare import identical
from conformance.judge.basis import manifest
from conformance.judge.everything import judge_all
from conformance.judge.required import Matrix, load_matrix
from conformance.options import Command, count, program
from conformance.progress import WIDTH_OF_A_PIPE, Progress, results_console
from conformance.records.ladder import Record
from conformance.verdict import compact, terminal
from conformance.verdict.asked import CHALLENGE, Asked

ABOUT = """
Exit code 0: PASS, all that was asked was compared and agrees. 1: FAIL. 4: INCOMPLETE, nothing is
wrong, and yet something that is there was compared with nothing, or a later record is unfinished.
2: the input cannot be used.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_which(parser)
    add = parser.add_argument
    add("results", type=Path, metavar="FOLDER", help="which record and train have written to")
    about = "must be there, with every implementation, every --dtype and every case of --cases"
    add("--expect", nargs="+", default=[], metavar="BACKEND", help=about)
    add_modes(parser)
    about = "the expected backends must also have trained with the quick recipe"
    add("--training", action="store_true", help=about)
    add_recipes(parser)
    about = "every record must hold the generated cases of this seed, --random N of them"
    add("--challenge", type=count, metavar="SEED", help=about)
    about = "what backends can express that the suite does not know (check-backend --claims)"
    add("--claims", type=Path, nargs="+", default=[], metavar="FILE", help=about)
    add("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    about = "write the SHA-256 of everything that the verdict rests on, for sha256sum -c"
    add("--manifest", type=Path, metavar="FILE", help=about)
    add("--svg", type=Path, metavar="FILE", help="write the table as a picture")
    add("--readme", type=Path, metavar="FILE", help="replace its results table")


def run_judge(options: argparse.Namespace) -> int:
    progress = Progress(options.quiet)
    given = None
    if options.text or options.weights or options.lengths:
        given = gathered(options)
    asked = asked_of(options, given)
    verdict = judge_all(options.results, progress, asked, tuple(options.claims))
    if given is not None:
        for record in verdict.records:
            check_given(record, given, asked)
    # Before the table is shown: whoever reads it may leave early (``judge … | head -1``).
    if options.json:
        write_json(options.json, verdict.to_json())
    if options.manifest:
        listed = manifest(options.manifest, options.results, verdict, options.json)
        write_text(options.manifest, listed)
    if options.svg:
        picture = Console(record=True, width=WIDTH_OF_A_PIPE, file=io.StringIO(), highlight=False)
        terminal.show(verdict, picture)
        write_text(options.svg, picture.export_svg(title=f"{program()} judge"))
    if options.readme:
        replace_part(options.readme, "results", compact.markdown(verdict))
    terminal.show(verdict, results_console())
    return verdict.outcome.exit_code


def asked_of(options: argparse.Namespace, given: Given | None) -> Asked:
    """What the options ask for. A backend of the matrix that is expected must have answered every
    case, unless they choose some, as for ``record``."""
    weights = options.weights is not None
    challenge = None
    if options.challenge is not None:
        challenge, options.random = (options.challenge, options.random or CHALLENGE), 0
    matrix = load_matrix(tuple(options.claims))
    whole = any(backend in matrix for backend in options.expect)
    some = options.cases or options.random or options.quick
    names = chosen(options, weights) if some or whole else ["weights"] * weights
    for backend in (b for b in options.expect if b in matrix):
        own = (*matrix[backend].dtypes, *matrix[backend].halves)
        if not set(options.dtype) & set(own):
            expected = f"one of {', '.join(own)}, which {backend} computes in"
            raise BadInput("--dtype", "", expected, " ".join(options.dtype))
    return Asked(
        expect=tuple(options.expect),
        cases=tuple(names),
        dtypes=tuple(dtype for dtype in PRECISIONS if dtype in options.dtype),
        training=options.training,
        quick=options.quick,
        challenge=challenge,
        text=given.corpus.sha256 if given and options.text else None,
        weights=given.weights_digest() if given else None,
        modes=modes_of(options.modes, options.expect, matrix),
        recipes=recipes_of(options),
    )


def modes_of(globs: list[str], expect: list[str], matrix: Matrix) -> tuple[str, ...]:
    """The modes of the expected backends that are asked for; BadInput for a pattern that none of
    them has: it would ask for nothing."""
    check_modes(globs)
    known = [
        f"{backend}:{m}" for backend in expect if backend in matrix for m in matrix[backend].modes
    ]
    for glob in globs:
        if not fnmatch.filter(known, glob):
            expected = f"a mode of what --expect names: {', '.join(known) or 'it has none'}"
            raise BadInput("--modes", "", expected, repr(glob))
    return tuple(mode for mode in known if any(fnmatch.fnmatchcase(mode, g) for g in globs))


def check_given(record: Record, given: Given, asked: Asked) -> None:
    """BadInput unless a record was given the text and the weights that are named: not only by what
    it says, but in the numbers that lie beside it."""
    path, there = record.folder / "given.safetensors", record.given
    if asked.text:
        if there.corpus.sha256 != asked.text:
            path = record.folder / "record.json"
            raise BadInput(path, "text", asked.text, there.corpus.sha256)
        wanted, found = given.corpus, there.corpus
        if wanted.vocabulary != found.vocabulary or not identical(wanted.tokens, found.tokens):
            raise BadInput(path, "corpus", f"the text {wanted.name}", "another, by its hash")
    if asked.weights and there.lengths != given.lengths:
        path, expected = record.folder / "record.json", " ".join(map(str, given.lengths))
        found = " ".join(map(str, there.lengths))
        raise BadInput(path, "lengths", expected or "none", found or "none")
    if asked.weights and there.weights_digest() != asked.weights:
        path = record.folder / "record.json"
        raise BadInput(path, "weights", asked.weights, there.weights_digest())


COMMANDS = (
    Command(
        "judge",
        "compare the records",
        "Holds every record and every training run of a results folder against the right "
        "answers, and says where and why one differs.",
        add_arguments,
        run_judge,
        (
            "judge results --expect pytorch mxnet --json results/verdict.json",
            "judge results --challenge 20260131 --random 50",
        ),
        more=ABOUT,
    ),
)
