# PYTHON_ARGCOMPLETE_OK
"""The command line: ``python -m conformance cases | record | train | judge | …``, see --help."""

import argparse
import io
import sys
from pathlib import Path

import argcomplete
from rich.console import Console
from rich.table import Table

from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.files import write_json, write_text
from conformance import (
    certify,
    check_backend,
    comparison,
    diagnose,
    ensemble,
    table,
    train,
    witness,
)
from conformance.bench import bench
from conformance.cases import find_case, material, select
from conformance.given import gather
from conformance.judging import judge_all
from conformance.parser import make_parser
from conformance.progress import WIDTH_OF_A_PIPE, Progress, results_console
from conformance.record import DTYPES, Request, record
from conformance.report import command as report
from conformance.verdict import Verdict

INTERRUPTED = 130


def list_cases(options: argparse.Namespace) -> int:
    """One row for each case that the options choose."""
    given = gather(load_corpus(options.text), options.weights)
    rows = Table("case", "cell", "n", "T", "d", "h", "q", "L", "about")
    for name in select(options.cases, options.random, options.seed, given.weights is not None):
        case = find_case(name, given)
        spec = case.spec
        about = [*spec.activations, *([f"reset {spec.reset}"] if spec.reset else [])]
        about += ["zero state"] * case.zero_state + ["text"] * case.text
        about += ["invariances"] * case.invariances
        sizes = (case.n, case.T, spec.d, spec.h, spec.q, spec.L)
        rows.add_row(name, spec.cell, *map(str, sizes), ", ".join(about))
    results_console().print(rows)
    return EXIT_PASS


def run_record(options: argparse.Namespace) -> int:
    given = gather(load_corpus(options.text), options.weights)
    names = select(options.cases, options.random, options.seed, given.weights is not None)
    for case in (find_case(name, given) for name in names):
        if case.text:
            material(case, given.corpus)  # before anything is written: the text may be too short
    request = Request(
        backend=options.backend,
        device=options.device,
        dtypes=[dtype for dtype in DTYPES if dtype in options.dtype],
        cases=names,
        given=given,
        out=options.out,
        limit=options.limit,
        threads=options.threads,
    )
    progress = Progress(options.quiet)
    made = record(request, progress)
    crashed = [
        f"{options.backend}:{name} {dtype} {case}: crashed: {entry['reason']}"
        for name, dtypes in made["entries"].items()
        for dtype, cases in dtypes.items()
        for case, entry in cases.items()
        if entry["status"] == "crashed"
    ]
    for line in crashed:  # a result, which --quiet does not hide
        print(printable(line), file=sys.stderr)
    progress.say(
        f"{request.folder}: {len(names)} cases in {made['seconds']} s, peak {made['peak MiB']} MiB"
    )
    return EXIT_FAIL if crashed else EXIT_PASS


def run_judge(options: argparse.Namespace) -> int:
    asked = options.cases or options.random
    weights = options.weights is not None
    names = select(options.cases, options.random, options.seed, weights) if asked else []
    progress = Progress(options.quiet)
    expect = tuple(options.expect)
    verdict = judge_all(options.results, progress, expect, tuple(names), options.training)
    if options.text or weights:
        _check_given(options, verdict)
    table.show(verdict, results_console())
    if options.json:
        write_json(options.json, verdict.to_json())
    if options.svg:
        picture = Console(record=True, width=WIDTH_OF_A_PIPE, file=io.StringIO(), highlight=False)
        table.show(verdict, picture)
        write_text(options.svg, picture.export_svg(title="python -m conformance judge"))
    if options.readme:
        update_readme(options.readme, table.markdown(verdict))
    return EXIT_PASS if verdict.passed else EXIT_FAIL


def _check_given(options: argparse.Namespace, verdict: Verdict) -> None:
    """The records must be of the text and the weights that are named."""
    given = gather(load_corpus(options.text), options.weights)
    record = verdict.records[0]
    path = record.folder / "record.json"
    if options.text and record.data["text"]["sha256"] != given.corpus.sha256:
        raise BadInput(path, "text", given.corpus.sha256, record.data["text"]["sha256"])
    if options.weights and record.data["weights"] != given.weights_digest():
        raise BadInput(path, "weights", given.weights_digest(), record.data["weights"])


def update_readme(path: Path, results: str) -> None:
    """Replace what stands between the markers ``<!-- results -->`` and ``<!-- /results -->``."""
    start, end = "<!-- results -->\n", "<!-- /results -->"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(path, "", "UTF-8", error) from None
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise BadInput(path, "", f"the markers {start.strip()} and {end}", "none")
    write_text(path, f"{before}{start}{results}{end}{after}")


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    argcomplete.autocomplete(parser)  # ends the process if it is a shell that asks
    options = parser.parse_args(arguments)
    commands = {
        "cases": list_cases,
        "record": run_record,
        "train": train.run_train,
        "judge": run_judge,
        "witness": witness.run_witness,
        "ensemble": ensemble.run_ensemble,
        "certify": certify.run_certify,
        "compare": comparison.run_compare,
        "diagnose": diagnose.run_diagnose,
        "report": report.run_report,
        "bench": bench,
        "check-backend": check_backend.run_check,
    }
    try:
        return commands[options.command](options)
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        # A full disk, a folder that may not be written: whatever was there before is still there.
        print(f"{error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
