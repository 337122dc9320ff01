"""The command line: ``python -m conformance cases | record | train | judge | …``, see --help."""

import argparse
import functools
import io
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backends.registry import MODULES
from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.files import write_json, write_text
from conformance import certify, comparison, diagnose, ensemble, table, train, witness
from conformance.bench import bench
from conformance.cases import find_case, material, select
from conformance.given import gather
from conformance.judge import judge
from conformance.judge_training import judge_training
from conformance.progress import WIDTH_OF_A_PIPE, Progress, results_console
from conformance.record import CASE_LIMIT, DTYPES, Request, record
from conformance.verdict import Verdict

EXAMPLES = """examples:
  python -m conformance cases --random 3 --seed 7
  python -m conformance record --backend pytorch --out results
  python -m conformance record --backend pytorch --cases 'lstm-*' --dtype float64
  python -m conformance record --backend mxnet --text timemachine
  python -m conformance record --backend pytorch --weights mine.safetensors
  python -m conformance train --backend pytorch --cell lstm --numerics lattice
  python -m conformance train --backend mxnet --recipe d2l --text timemachine
  python -m conformance judge results --expect pytorch mxnet --json results/verdict.json
  python -m conformance certify --markdown docs/detecting-power.md
  python -m conformance diagnose --weights mine.safetensors --layout keras --io io.safetensors
  python -m conformance compare --cells rnn gru lstm --backends numpy --plot results/compare.svg
  python -m conformance bench --backend pytorch
"""
INTERRUPTED = 130
LONGEST_LIMIT = 86_400.0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description="Do deep RNNs compute the same in every framework? Record, then judge.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    # record and judge share these: what is recorded there must be there to be judged, and
    # ``tox -m conformance -- …`` hands the same options to both.
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--cases", nargs="+", default=[], metavar="GLOB", help="default: all")
    which.add_argument("--random", type=_count, default=0, metavar="N", help="generated cases")
    which.add_argument("--seed", type=_count, default=0, metavar="S", help="of the generated cases")
    which.add_argument(
        "--text",
        metavar="TEXT",
        help="a file, 'timemachine' (downloaded), or 'sample' (the default, embedded)",
    )
    which.add_argument("--weights", type=Path, metavar="FILE", help="add a case with these weights")
    which.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES))
    quiet = argparse.ArgumentParser(add_help=False)
    quiet.add_argument("--quiet", action="store_true", help="no progress")

    # A subparser does not take this over: ``--case`` would stand for ``--cases``.
    add = functools.partial(commands.add_parser, allow_abbrev=False)
    add("cases", parents=[which], help="list the cases")

    recorder = add("record", parents=[which, quiet], help="run one backend")
    recorder.add_argument("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    recorder.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    recorder.add_argument("--out", type=Path, default=Path("results"), metavar="FOLDER")
    recorder.add_argument(
        "--limit", type=_seconds, default=CASE_LIMIT, metavar="SECONDS", help="per case"
    )
    recorder.add_argument(
        "--threads",
        type=_positive,
        default=1,
        metavar="N",
        help="default 1: cases are small, and backends that run side by side slow one another down",
    )

    trainer = add("train", parents=[quiet], help="train with one backend")
    train.add_arguments(trainer)

    judger = add("judge", parents=[which, quiet], help="compare the records")
    judger.add_argument("results", type=Path, metavar="FOLDER")
    judger.add_argument("--expect", nargs="+", default=[], metavar="BACKEND", help="must be there")
    judger.add_argument(
        "--training",
        action="store_true",
        help="the expected backends must also have trained with the quick recipe",
    )
    judger.add_argument("--json", type=Path, metavar="FILE", help="write the verdict")
    judger.add_argument("--svg", type=Path, metavar="FILE", help="write the table as a picture")
    judger.add_argument("--readme", type=Path, metavar="FILE", help="replace its results table")

    witness.add_arguments(add("witness", parents=[quiet], help="store what frameworks agree on"))

    ensemble.add_arguments(
        add("ensemble", parents=[quiet], help="store or measure reference ensembles")
    )
    certify.add_arguments(
        add("certify", parents=[quiet], help="every case against every wrong convention")
    )
    diagnose.add_arguments(
        add("diagnose", parents=[quiet], help="which conventions does a model of yours follow?")
    )
    comparer = add("compare", parents=[quiet], help="train cells or texts, and compare them")
    comparison.add_arguments(comparer)

    bencher = add("bench", parents=[quiet], help="measure speed as ratios")
    bencher.add_argument("--backend", metavar="NAME", help="default: all in this environment")
    return parser


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {value!r}")
    return int(value)


def _positive(value: str) -> int:
    if (number := _count(value)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {value!r}")
    return number


def _seconds(value: str) -> float:
    try:
        if 0 < (number := float(value)) <= LONGEST_LIMIT:
            return number
    except ValueError:
        pass
    expected = f"a number above 0 and up to {LONGEST_LIMIT:g}"
    raise argparse.ArgumentTypeError(f"expected {expected}, found {value!r}")


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
    verdict = judge(options.results, progress, tuple(options.expect), tuple(names))
    trained = tuple(options.expect) if options.training else ()
    verdict.training = judge_training(options.results, trained)
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
    options = make_parser().parse_args(arguments)
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
        "bench": bench,
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
