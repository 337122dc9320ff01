"""The command line's arguments."""

import argparse
from pathlib import Path
from typing import Any

from backends.registry import MODULES
from conformance import certify, check_backend, comparison, diagnose, ensemble, train, witness
from conformance.record import CASE_LIMIT, DTYPES
from conformance.report import command as report

EXAMPLES = """examples:
  python -m conformance cases --random 3 --seed 7
  python -m conformance record --backend pytorch --out results
  python -m conformance record --backend pytorch --cases 'lstm-*' --dtype float64
  python -m conformance record --backend mxnet --text timemachine
  python -m conformance record --backend pytorch --weights mine.safetensors
  python -m conformance train --backend pytorch --cell lstm --numerics lattice
  python -m conformance train --backend mxnet --recipe d2l --text timemachine
  python -m conformance train --backend pytorch --numerics lattice --workers 2
  python -m conformance judge results --expect pytorch mxnet --json results/verdict.json
  python -m conformance report results
  python -m conformance report results --against results-of-last-year --summary comment.md
  python -m conformance witness results --out witness
  python -m conformance witness results --confirm
  python -m conformance ensemble --recipe quick --cell lstm --measure
  python -m conformance certify --markdown docs/detecting-power.md
  python -m conformance certify --diagnosis docs/naming-faults.md
  python -m conformance diagnose --weights mine.safetensors --layout keras --io io.safetensors
  python -m conformance compare --cells rnn gru lstm --backends numpy --plot results/compare.svg
  python -m conformance bench --backend pytorch
  python -m conformance bench --backend pytorch --workers 1 2 4
  python -m conformance bench --report
  python -m conformance check-backend numpy
"""
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
    def add(name: str, **options: Any) -> argparse.ArgumentParser:
        own = [line for line in EXAMPLES.splitlines() if line.split()[3:4] == [name]]
        return commands.add_parser(
            name,
            allow_abbrev=False,
            epilog="\n".join(["examples:", *own, options.pop("more", "")]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

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

    report.add_arguments(
        add(
            "report",
            parents=[quiet],
            help="the verdict as a page, and what changed since another one",
            more=report.ABOUT,
        )
    )

    bencher = add("bench", parents=[quiet], help="measure speed as ratios")
    bencher.add_argument("--backend", metavar="NAME", help="default: all in this environment")
    bencher.add_argument(
        "--workers",
        type=_positive,
        nargs="+",
        default=[],
        metavar="N",
        help="training by so many processes instead, against one",
    )
    bencher.add_argument("--report", action="store_true", help="the report's page instead")

    about = "what a backend that is being written still lacks"
    check_backend.add_options(add("check-backend", parents=[quiet], help=about))
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
