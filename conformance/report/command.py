"""python -m conformance report: the page and its companions out of a results folder."""

import argparse
import datetime
from pathlib import Path

from common.errors import EXIT_FAIL, BadInput
from common.storage.files import check_folder, write_json, write_text
from conformance.cases.table import select
from conformance.judge.required import load_matrix
from conformance.options import Command
from conformance.progress import Progress, tell
from conformance.report.changes import FAILING, changes, versions
from conformance.report.formats import badge, junit, summary
from conformance.verdict.asked import Asked
from conformance.verdict.outcome import outcome_of

ABOUT = """
The page is made from results/verdict.json, which `judge --json` writes; if the records have changed
since, or anything else that the verdict rests on, or there is none, they are judged first, by what
the stored verdict was asked. Exit code 1 if the verdict is FAIL or if anything fails that did not
fail before, 4 if it is INCOMPLETE.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", type=Path, metavar="FOLDER", help="which has been judged, or will be now"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: FOLDER/report.html")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="an earlier results folder, or verdict.json"
    )
    about = "judge by this (default: what the stored verdict was asked)"
    parser.add_argument("--expect", nargs="*", metavar="BACKEND", help=about)
    about = "with --expect: they must also have trained with the quick recipe"
    parser.add_argument("--training", action="store_true", help=about)
    parser.add_argument("--summary", type=Path, metavar="FILE", help="Markdown for a pull request")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML for CI")
    parser.add_argument("--badge", type=Path, metavar="FILE", help="an SVG for a README")
    parser.add_argument("--changes", type=Path, metavar="FILE", help="--against as JSON")


def run_report(options: argparse.Namespace) -> int:
    # Not every environment has what the page is made with.
    try:
        from conformance.report.page import render
        from conformance.report.verdict_file import current, read_verdict
    except ModuleNotFoundError as error:
        expected = "the packages of requirements/report.txt"
        raise BadInput("report", error.name or "", expected, "not installed") from None
    progress = Progress(options.quiet)
    check_folder(options.results)
    verdict = current(options.results, progress, asked_of(options))
    changed = since = None
    if options.against:
        path = options.against
        old = read_verdict(path, follow=True) if path.is_file() else current(path, progress)
        changed, since = changes(verdict, old), versions(verdict, old)
    out = options.out or options.results / "report.html"
    made = datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes")
    name = str(options.against or "")
    write_text(out, render(verdict, made, name, changed, since))
    written = [out]
    for path, text in (
        (options.summary, lambda: summary(verdict, changed)),
        (options.junit, lambda: junit(verdict)),
        (options.badge, lambda: badge(verdict)),
    ):
        if path:
            write_text(path, text())
            written.append(path)
    if options.changes:
        write_json(options.changes, [change.to_json() for change in changed or []])
        written.append(options.changes)
    for path in written:
        progress.say(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    tell(verdict["sentence"])
    for change in changed or []:
        who = f"{change.implementation} ({change.device}, {change.dtype})"
        tell(f"{change.kind}: {who} {change.case}: {change.detail}")
    worse = any(change.kind == FAILING for change in changed or [])
    return EXIT_FAIL if worse else outcome_of(verdict).exit_code


def asked_of(options: argparse.Namespace) -> Asked | None:
    """What is asked for here; None if the stored verdict knows it."""
    if options.expect is None:
        if options.training:
            raise BadInput("--training", "", "--expect and the backends that must have", "none")
        return None
    known = load_matrix()
    names = select([], 0, 0) if any(name in known for name in options.expect) else []
    return Asked(tuple(options.expect), tuple(names), training=options.training)


COMMANDS = (
    Command(
        "report",
        "the verdict as a page, and what changed since another one",
        "Writes the verdict as a page that needs no network, and for other readers: a pull "
        "request, a CI, a README.",
        add_arguments,
        run_report,
        (
            "report results",
            "report results --against results-of-last-year --summary comment.md",
        ),
        more=ABOUT,
    ),
)
