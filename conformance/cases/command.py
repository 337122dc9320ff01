"""``python -m conformance cases``, and which cases a command is about."""

import argparse
import dataclasses
import fnmatch
from pathlib import Path

from rich.table import Table

from common.corpus import load_corpus
from common.errors import EXIT_PASS, BadInput
from common.lengths import check_lengths
from common.recipe import WIDER
from conformance.cases.given import WEIGHTS_N, WEIGHTS_T, Given, gather
from conformance.cases.halves import HALVES, PRECISIONS
from conformance.cases.quick import quick_cases
from conformance.cases.table import DTYPES, find_case, select
from conformance.files.opening import KINDS
from conformance.options import Command, add_reading, count, few
from conformance.progress import results_console


def add_which(parser: argparse.ArgumentParser) -> None:
    """record and judge share these: what is recorded there must be there to be judged, and
    ``tox -m conformance -- …`` hands the same options to both."""
    add = parser.add_argument
    add(
        "--cases",
        nargs="+",
        default=[],
        metavar="GLOB",
        help="by name; * stands for anything (default: all)",
    )
    add("--quick", action="store_true", help="the fewest cases that tell every wrong convention")
    add("--random", type=few, default=0, metavar="N", help="so many generated cases as well")
    parser.set_defaults(kind="random")
    one = parser.add_mutually_exclusive_group().add_argument
    about = "the generated cases are drawn in regimes: extreme magnitudes, odd sizes"
    one("--regimes", dest="kind", action="store_const", const="regime", help=about)
    about = "the generated cases are wider: two directions, lengths, sizes, a projection, dropout …"
    one("--wider", dest="kind", action="store_const", const="wider", help=about)
    add("--seed", type=count, default=0, metavar="S", help="of the generated cases")
    add(
        "--text",
        metavar="TEXT",
        help="a file, 'timemachine' (downloaded), or 'sample' (the default, embedded)",
    )
    about = f"add a case with these weights: the suite's, or {KINDS}"
    add("--weights", type=Path, metavar="FILE", help=about)
    about = f"steps of each of the {WEIGHTS_N} examples of that case, 1 to {WEIGHTS_T}"
    add("--lengths", nargs="+", type=count, default=[], metavar="N", help=f"{about} (default: all)")
    add_reading(parser)
    about = f"default: {' and '.join(DTYPES)}; of half precision: {', '.join(HALVES)}"
    add("--dtype", nargs="+", choices=PRECISIONS, default=list(DTYPES), help=about)


def add_modes(parser: argparse.ArgumentParser) -> None:
    """record and judge share this, too."""
    about = "further ways to compute, as backend:mode; * stands for anything (default: none)"
    parser.add_argument("--modes", nargs="+", default=[], metavar="GLOB", help=about)


def check_modes(globs: list[str]) -> None:
    """BadInput unless every pattern says of which backend."""
    for glob in globs:
        if not all(glob.partition(":")):
            raise BadInput("--modes", "", "backend:mode, or a pattern of both", repr(glob))


def add_recipes(parser: argparse.ArgumentParser) -> None:
    """And this, beside --training."""
    about = f"train wider stacks as well, by recipe: {', '.join(WIDER)} (default: none)"
    parser.add_argument("--recipes", nargs="+", default=[], metavar="GLOB", help=about)


def recipes_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The recipes of wider stacks that are asked for; BadInput for a pattern that chooses none."""
    for glob in options.recipes:
        if not options.training:
            raise BadInput("--recipes", "", "--training beside it", "none")
        if not fnmatch.filter(WIDER, glob):
            expected = f"patterns of {', '.join(WIDER)}"
            raise BadInput("--recipes", "", expected, repr(glob))
    return tuple(
        name for name in WIDER if any(fnmatch.fnmatchcase(name, g) for g in options.recipes)
    )


def chosen(options: argparse.Namespace, weights: bool) -> list[str]:
    """The names of the cases that the options choose. weights: whether weights are given"""
    globs = options.cases
    if options.quick:
        if globs:
            raise BadInput("--quick", "", "no --cases beside it", " ".join(globs))
        globs = [*quick_cases(), *(["weights"] if weights else [])]
    return select(globs, options.random, options.seed, weights, options.kind)


def gathered(options: argparse.Namespace) -> Given:
    """The text and the weights that the options name."""
    corpus = load_corpus(options.text)
    given = gather(corpus, options.weights, options.layout, options.option, options.prefix)
    if not options.lengths:
        return given
    if given.weights is None:
        raise BadInput("--lengths", "", "--weights beside it", "none")
    lengths = check_lengths(options.lengths, WEIGHTS_N, WEIGHTS_T, "--lengths")
    return dataclasses.replace(given, lengths=tuple(map(int, lengths)))


def run_cases(options: argparse.Namespace) -> int:
    """One row for each case that the options choose."""
    given = gathered(options)
    rows = Table("case", "cell", "n", "T", "d", "h", "q", "L", "about")
    for name in chosen(options, given.weights is not None):
        case = find_case(name, given)
        spec = case.spec
        about = [*spec.activations, *([f"reset {spec.reset}"] if spec.reset else [])]
        about += ["two directions"] * (spec.directions == 2)
        about += [f"lengths {', '.join(map(str, case.lengths))}"] * bool(case.lengths)
        about += [f"dropout {case.dropout:g}"] * bool(case.dropout)
        about += ["zero state"] * case.zero_state + ["text"] * case.text
        about += ["invariances"] * case.invariances
        sizes = (case.n, case.T, spec.d, spec.h, spec.q, spec.L)
        rows.add_row(name, spec.cell, *map(str, sizes), ", ".join(about))
    results_console().print(rows)
    return EXIT_PASS


COMMANDS = (
    Command(
        "cases",
        "list the cases",
        "Lists the questions that record asks: the sizes of each, and what is special in it.",
        add_which,
        run_cases,
        ("cases --random 3 --seed 7",),
        quiet=False,
    ),
)
