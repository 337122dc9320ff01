"""``python -m conformance certify``, ``ensemble``: what the suite can tell, how often it errs."""

import argparse
from pathlib import Path

from rich.table import Table
from threadpoolctl import threadpool_limits

from backends.protocol import cores
from common.errors import EXIT_FAIL, EXIT_PASS
from common.recipe import RECIPES
from common.spec import CELLS, RESETS
from common.storage.files import write_json, write_text
from common.storage.pages import replace_part
from common.storage.sums import write_sums
from conformance.calibrate import halves
from conformance.calibrate.certify import all_cases, cases_of_conventions, certify, markdown
from conformance.calibrate.ensemble import (
    MEMBERS,
    asked,
    file_name,
    gather,
    make_ensemble,
    run_measure,
    summarise,
)
from conformance.calibrate.envelope import truth
from conformance.calibrate.own_networks import measure_own
from conformance.calibrate.score import measure, page
from conformance.cases.quick import STORED
from conformance.cases.wider import LARGE_WIDER
from conformance.judge.curves import ENSEMBLES
from conformance.mutants import EVERY
from conformance.options import Command, few
from conformance.progress import Progress, results_console


def add_certify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the table, as in docs/"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every pair")
    about = f"choose the cases of --quick, and write them to {STORED.name}"
    parser.add_argument("--quick", action="store_true", help=about)
    about = "instead, how much of it half precision tells; write it into that page"
    parser.add_argument("--halves", type=Path, metavar="FILE", help=about)
    parser.add_argument(
        "--diagnosis",
        type=Path,
        metavar="FILE",
        help="also measure how often the diagnosis is right, and write the page",
    )


def run_certify(options: argparse.Namespace) -> int:
    progress = Progress(options.quiet)
    if options.halves:
        found = halves.table(list(halves.measure(progress, cores())))
        replace_part(options.halves, "power", found)
        return EXIT_PASS
    certificate = certify(all_cases(), progress, workers=cores())
    for pair in certificate.survivors():
        progress.say(f"{pair.case}: {pair.mutant}: only {pair.multiple:.3g} times the bound")
    for name in certificate.weak():
        progress.say(f"{name}: killed by {len(certificate.kills(name))} cases only")
    if options.markdown:
        write_text(options.markdown, markdown(certificate))
    if options.json:
        write_json(options.json, certificate.to_json())
    if options.quick:
        write_json(STORED, {"cases": certificate.fewest()})
    killed = sum(pair.killed for pair in certificate.pairs)
    rows = Table(title="Wrong conventions against cases")
    for column in ("mutants", "cases", "pairs", "killed", "declared silent", "unexplained"):
        rows.add_column(column)
    silent = sum(not p.killed and p.silence is not None for p in certificate.pairs)
    counts = (len(EVERY), len(all_cases()), len(certificate.pairs), killed, silent)
    rows.add_row(*map(str, counts), str(len(certificate.survivors())))
    results_console().print(rows)
    holds = certificate.holds
    if options.diagnosis:
        names = cases_of_conventions()
        score = measure(names, progress, workers=cores())
        own = measure_own(progress, workers=cores())
        known = [*names, *(case.name for case in LARGE_WIDER)]
        write_text(options.diagnosis, page(score, known) + own.markdown())
        results_console().print(*score.lines(), *own.lines(), sep="\n")
        holds = holds and score.holds and own.holds
    return EXIT_PASS if holds else EXIT_FAIL


def add_ensemble(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="quick", help="as for train")
    add("--cell", nargs="+", choices=CELLS, default=list(CELLS), help="one ensemble each")
    add("--reset", nargs="+", choices=RESETS, default=list(RESETS), help="of the GRU")
    add("--text", nargs="+", metavar="TEXT", help="as for train (default: the recipe's)")
    add("--members", type=few, default=MEMBERS, metavar="M", help="how many runs to make")
    add(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="runs that train made: its members, or with --measure more runs to judge (default: "
        "they are made with NumPy)",
    )
    add("--measure", action="store_true", help="measure the stored ensembles instead")
    add("--runs", type=few, default=200, metavar="N", help="with --measure: honest ones")
    add("--mutant-runs", type=few, default=20, metavar="N", help="with --measure: of each mistake")
    add("--out", type=Path, default=ENSEMBLES, metavar="FOLDER", help="default: the suite's own")


def run_ensemble(options: argparse.Namespace) -> int:
    """Make or measure what was asked for; a measurement fails if more than 1 % of the honest runs
    of an ensemble are rejected, or a mistake is accepted."""
    progress = Progress(options.quiet)
    code = EXIT_PASS
    with threadpool_limits(1):
        if options.measure:
            code = run_measure(options, progress)
        for run in [] if options.measure else asked(options):
            path = options.out / f"{file_name(run)}.json"
            if options.folder:
                data = summarise(gather(options.folder, run.settings()), truth(run))
            else:
                data = make_ensemble(run, options.members, progress)
            write_json(path, data)
            progress.say(f"{path}: {data['members']} members")
    write_sums(options.out)  # the judge refuses stored ensembles that are not in this list
    return code


COMMANDS = (
    Command(
        "ensemble",
        "store or measure reference ensembles",
        "Makes the many runs that a float32 training curve is held against, or measures how "
        "often the stored ones reject an honest run and accept a mistake.",
        add_ensemble,
        run_ensemble,
        ("ensemble --recipe quick --cell lstm --measure",),
    ),
    Command(
        "certify",
        "every case against every wrong convention",
        "Evaluates every wrong convention of the catalogue on every case: which case tells "
        "which, and by how much. The exit code is 0 only if all are told.",
        add_certify,
        run_certify,
        (
            "certify --markdown docs/detecting-power.md",
            "certify --diagnosis docs/naming-faults.md",
            "certify --quick",
        ),
    ),
)
