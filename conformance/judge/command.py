"""``python -m conformance judge``: the verdict over a results folder, and what is written of it."""

import argparse
import io
from pathlib import Path

from rich.console import Console

from common.corpus import load_corpus
from common.errors import EXIT_FAIL, EXIT_PASS, BadInput
from common.files import write_json, write_text
from common.reading import LARGEST_JSON, read_text
from conformance.cases.command import add_which, chosen
from conformance.cases.given import gather
from conformance.judge.everything import judge_all
from conformance.options import Command, program
from conformance.progress import WIDTH_OF_A_PIPE, Progress, results_console
from conformance.verdict import terminal
from conformance.verdict.results import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_which(parser)
    add = parser.add_argument
    add("results", type=Path, metavar="FOLDER")
    add("--expect", nargs="+", default=[], metavar="BACKEND", help="must be there")
    about = "the expected backends must also have trained with the quick recipe"
    add("--training", action="store_true", help=about)
    add("--json", type=Path, metavar="FILE", help="write the verdict")
    add("--svg", type=Path, metavar="FILE", help="write the table as a picture")
    add("--readme", type=Path, metavar="FILE", help="replace its results table")


def run_judge(options: argparse.Namespace) -> int:
    asked = options.cases or options.random or options.quick
    weights = options.weights is not None
    names = chosen(options, weights) if asked else []
    progress = Progress(options.quiet)
    expect = tuple(options.expect)
    verdict = judge_all(
        options.results, progress, expect, tuple(names), options.training, options.quick
    )
    if options.text or weights:
        _check_given(options, verdict)
    # Before the table is shown: whoever reads it may leave early (``judge … | head -1``).
    if options.json:
        write_json(options.json, verdict.to_json())
    if options.svg:
        picture = Console(record=True, width=WIDTH_OF_A_PIPE, file=io.StringIO(), highlight=False)
        terminal.show(verdict, picture)
        write_text(options.svg, picture.export_svg(title=f"{program()} judge"))
    if options.readme:
        update_readme(options.readme, terminal.markdown(verdict))
    terminal.show(verdict, results_console())
    return EXIT_PASS if verdict.passed else EXIT_FAIL


def _check_given(options: argparse.Namespace, verdict: Verdict) -> None:
    """The records must be of the text and the weights that are named."""
    given = gather(load_corpus(options.text), options.weights)
    record = verdict.records[0]
    path = record.folder / "record.json"
    if options.text and record.data["text"]["sha256"] != given.corpus.sha256:
        raise BadInput(path, "text", given.corpus.sha256, record.data["text"]["sha256"])
    if options.weights and record.data["weights"] != given.weights_digest():
        raise BadInput(path, "weights", f"{given.weights_digest()}", record.data["weights"])


def update_readme(path: Path, results: str) -> None:
    """Replace what stands between the markers ``<!-- results -->`` and ``<!-- /results -->``."""
    start, end = "<!-- results -->\n", "<!-- /results -->"
    text = read_text(path, "a Markdown file", LARGEST_JSON)
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise BadInput(path, "", f"the markers {start.strip()} and {end}", "none")
    write_text(path, f"{before}{start}{results}{end}{after}")


COMMANDS = (
    Command(
        "judge",
        "compare the records",
        add_arguments,
        run_judge,
        ("judge results --expect pytorch mxnet --json results/verdict.json",),
    ),
)
