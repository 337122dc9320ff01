"""``python -m conformance compare``, ``bench``: cells, frameworks, texts and speed side by side.

The exercises of D2L's chapter on deep RNNs: train cells of every kind with every framework, and
compare perplexity and speed (``--text``, compare_cells.py); train on one author, on another and
on all of them, and see what each model makes of each author (``--texts``, compare_texts.py).
"""

import argparse
import math
import statistics
from pathlib import Path

from rich.table import Table

from backends import registry
from common.corpus import MAX_TOKENS
from common.errors import EXIT_PASS, BadInput
from common.recipe import RECIPES
from common.spec import CELLS, RESETS
from conformance.options import Command, positive
from conformance.progress import Progress, results_console
from conformance.records.training import NUMERICS
from conformance.report.page_speed import bench_report
from conformance.studies import bench
from conformance.studies.bench_main_job import bench_main_job
from conformance.studies.bench_page import keep, update_page
from conformance.studies.bench_workers import bench_workers
from conformance.studies.compare_cells import compare_cells
from conformance.studies.compare_runs import PASSED_ON
from conformance.studies.compare_texts import compare_texts

TARGET = 1.5


def add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--cells",
        nargs="+",
        choices=CELLS,
        help="of every layer (default: all, or lstm with --texts)",
    )
    add(
        "--backends", nargs="+", default=["numpy"], metavar="NAME", help=", ".join(registry.MODULES)
    )
    add("--recipe", choices=RECIPES, default="quick", help="as in train")
    add("--numerics", choices=NUMERICS, default="float32", help="as in train")
    add("--reset", choices=RESETS, default="after", help="of the GRU")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="where they compute")
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument(
        "--text",
        nargs="+",
        metavar="TEXT",
        help="all are one text to train on (default: as in train)",
    )
    texts.add_argument(
        "--texts",
        nargs="+",
        metavar="TEXT",
        help="train on each and on all, evaluate on each; wells=a.txt,b.txt is two files as one",
    )
    add("--max-tokens", type=int, default=MAX_TOKENS, metavar="N", help="of every file; 0: all")
    add("--held-out", type=float, default=0.1, metavar="SHARE", help="of every file, from its end")
    for name, kind in PASSED_ON.items():
        add(name, type=kind, metavar="VALUE", help="as in train (default: the recipe's)")
    add(
        "--target",
        type=float,
        default=TARGET,
        metavar="PERPLEXITY",
        help="how soon each reaches it",
    )
    add(
        "--python",
        nargs="+",
        default=[],
        metavar="BACKEND=PATH",
        help="default: this one, or that of .tox/BACKEND, whichever has the framework",
    )
    add("--out", type=Path, default=Path("results"), metavar="FOLDER", help="the results folder")
    add("--plot", type=Path, metavar="FILE", help="write a picture (SVG)")
    add("--json", type=Path, metavar="FILE", help="write the numbers")
    add("--fresh", action="store_true", help="repeat runs that are finished")


def run_compare(options: argparse.Namespace) -> int:
    """Train what is not trained yet, then show, draw and write the comparison."""
    for backend in options.backends:
        registry.check_name(backend)
    if not 1 < options.target < math.inf:
        raise BadInput("--target", "", "a perplexity above 1", options.target)
    return compare_texts(options) if options.texts else compare_cells(options)


def add_bench(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", metavar="NAME", help="default: all in this environment")
    about = "training by so many processes instead, against one"
    add("--workers", type=positive, nargs="+", default=[], metavar="N", help=about)
    add("--report", action="store_true", help="the report's page instead")
    about = "what the main job costs instead: the share of one backend, or of all, and the judge's"
    add("--main-job", action="store_true", help=about)
    add("--quick", action="store_true", help="with --main-job: of the quick one")
    add("--json", type=Path, metavar="FILE", help="keep the ratios there, beside other backends'")
    add("--readme", type=Path, metavar="FILE", help="replace its table by what --json keeps")


def run_bench(options: argparse.Namespace) -> int:
    """Measure one backend, or all that this environment has, and print the ratios."""
    progress = Progress(options.quiet)
    if options.readme and not options.json:
        raise BadInput("--readme", "", "--json beside it", "none")
    if options.report:
        results_console().print(bench_report(progress))
        return EXIT_PASS
    if options.workers:
        results_console().print(bench_workers(options, progress))
        return EXIT_PASS
    if options.main_job:
        results_console().print(bench_main_job(options.backend, options.quick, progress))
        return EXIT_PASS
    names = [registry.check_name(options.backend)] if options.backend else list(registry.modules())
    rows = Table(title="Time as a ratio within one run, at D2L's sizes, float32")
    for column in ("measured", "against", "ratio", "range", "CPU", "wanted", "tokens/s"):
        rows.add_column(column)
    for name in names:
        try:
            registry.load(name)
        except BadInput as reason:
            if options.backend:
                raise
            progress.say(f"{name}: not measured: {reason}")
            continue
        races = bench.races(name, progress)
        if options.json:
            keep(options.json, name, races)
        for found in races:
            spread = f"{min(found.ratios):.2f} to {max(found.ratios):.2f}"
            rates = " and ".join(f"{rate:,.0f}" for rate in found.rates)
            ratio = f"{found.ratio:.2f}"
            cpu = f"{statistics.median(found.cpu):.2f}"
            rows.add_row(found.first, found.second, ratio, spread, cpu, found.wanted, rates)
    if options.readme:
        update_page(options.readme, options.json)
    results_console().print(rows)
    return EXIT_PASS


COMMANDS = (
    Command(
        "compare",
        "train cells or texts, and compare them",
        "Trains cells of every kind with every framework, or one cell on several authors, and "
        "shows perplexity and speed side by side.",
        add_compare,
        run_compare,
        ("compare --cells rnn gru lstm --backends numpy --plot results/compare.svg",),
    ),
    Command(
        "bench",
        "measure speed as ratios",
        "Races layers against the bare framework, and D2L's loop against ours, by turns in one "
        "run: a ratio hardly depends on the machine.",
        add_bench,
        run_bench,
        (
            "bench --backend pytorch",
            "bench --backend pytorch --json docs/results/speed/bench.json --readme README.md",
            "bench --backend pytorch --workers 1 2 4",
            "bench --report",
            "bench --main-job",
        ),
    ),
)
