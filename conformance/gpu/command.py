"""``python -m conformance gpu``: what a lent GPU is asked, and what comes of it."""

import argparse
from pathlib import Path

from rich.table import Table

from common.errors import EXIT_FAIL, EXIT_PASS, BadInput
from conformance.gpu.carry_out import DONE, Terms, carry_out
from conformance.gpu.estimate import calls, ended
from conformance.gpu.estimate import seconds as estimated
from conformance.gpu.evidence import write_evidence
from conformance.gpu.pack import pack, unpack
from conformance.gpu.page import update_page
from conformance.gpu.plan import FULL, REHEARSAL, Plan, load_plan
from conformance.options import Command, positive, seconds
from conformance.progress import Progress, results_console

JOBS, PATIENCE = 64, 20.0
"""Processes side by side where nothing is said: as many as there are. A rehearsal runs one after
another, and has so many times the limits."""

WHAT = ("plan", "run", "unpack", "evidence")

ABOUT = """
plan      what fits into the calls of a lent GPU, by estimate
run       carry out the stages that are not done, and pack after each; here, with --rehearse
unpack    make --out of the zip files in FOLDER
evidence  trim what was unpacked to FOLDER into what is judged again on every run of the tests
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", choices=WHAT, help="see below")
    add("folder", type=Path, nargs="?", metavar="FOLDER", help="with unpack and evidence")
    about = "what run and unpack write, and evidence"
    add("--out", type=Path, default=Path("results/gpu"), metavar="FOLDER", help=about)
    add("--pack", type=Path, metavar="FOLDER", help="with run: pack there after every stage")
    about = "with evidence: replace the tables in these Markdown files"
    add("--page", nargs="+", type=Path, default=[], metavar="FILE", help=about)
    add("--call", type=int, default=1, metavar="N", help="with run: whose seconds the plan has")
    add(
        "--seconds",
        type=seconds,
        metavar="S",
        help="with run: for all stages (default: the plan's)",
    )
    about = "with run: these alone (default: all)"
    add("--only", nargs="+", default=[], metavar="STAGE", help=about)
    add(
        "--text",
        metavar="TEXT",
        help="with run: a file with D2L's text (default: it is downloaded)",
    )
    add("--rehearse", action="store_true", help="small sizes, on the CPU; nothing is left for time")
    about = "with run: processes side by side, at most (default: all of a stage; 1 to rehearse)"
    add("--jobs", type=positive, metavar="N", help=about)
    about = "with run: a backend's interpreter, where it is not this one"
    add("--python", nargs="+", default=[], metavar="BACKEND=PATH", help=about)


def run_gpu(options: argparse.Namespace) -> int:
    progress = Progress(options.quiet)
    if options.what in ("unpack", "evidence") and options.folder is None:
        raise BadInput("FOLDER", "", f"the folder that gpu {options.what} is about", "none")
    if options.what == "unpack":
        stages = unpack(options.folder, options.out)
        progress.say(f"{options.out}: {', '.join(stages) or 'no stage'}")
        return EXIT_PASS
    if options.what == "evidence":
        for line in write_evidence(options.folder, options.out):
            progress.say(line)
        for path in options.page:
            update_page(path, options.out)
        return EXIT_PASS
    changes = {"text": options.text} if options.text else {}
    sizes = REHEARSAL if options.rehearse else FULL
    plan = load_plan(options.out.resolve(), sizes, **changes)
    if options.what == "plan":
        results_console().print(table(plan))
        return EXIT_PASS
    names = [stage.name for stage in plan.stages]
    if unknown := [name for name in options.only if name not in names]:
        raise BadInput("--only", "", f"some of {', '.join(names)}", unknown[0])
    if not 1 <= options.call <= len(plan.calls):
        raise BadInput("--call", "", f"1 to {len(plan.calls)}", options.call)
    terms = Terms(
        options.out.resolve(),
        options.seconds or plan.calls[options.call - 1] * (PATIENCE if options.rehearse else 1),
        pythons(options.python),
        tuple(options.only),
        careful=not options.rehearse,
        jobs=options.jobs or (1 if options.rehearse else JOBS),
        patience=PATIENCE if options.rehearse else 1.0,
    )

    def after() -> None:
        if options.pack:
            for line in pack(terms.out, options.pack, plan.limits):
                progress.say(f"not packed: {line}")

    statuses = carry_out(plan, terms, progress.say, after)
    return EXIT_PASS if set(statuses.values()) <= {DONE} else EXIT_FAIL


def table(plan: Plan) -> Table:
    """Every stage as a row."""
    rows = Table("call", "stage", "what", "processes", title="What fits, by estimate")
    for column in ("programs", "launches", "10¹² operations", "seconds", "limit", "so far"):
        rows.add_column(column, justify="right")
    for number, stages in enumerate(calls(plan), start=1):
        for place, stage in enumerate(stages, start=1):
            work = [p.work for p in stage.processes]
            rows.add_row(
                str(number) if number <= len(plan.calls) else "cut",
                stage.name,
                stage.about,
                str(len(work)),
                f"{sum(w.get('programs', 0) + w.get('large_programs', 0) for w in work):,}",
                f"{sum(w.get('steps', 0) * w.get('launches', 0) for w in work):,}",
                f"{sum(w.get('steps', 0) * w.get('operations', 0) for w in work) / 1e12:,.1f}",
                f"{estimated(stage):.0f}",
                str(stage.limit),
                f"{ended(stages[:place]):.0f}",
            )
    return rows


def pythons(given: list[str]) -> dict[str, str]:
    """Interpreters by backend."""
    found: dict[str, str] = {}
    for word in given:
        name, sign, path = word.partition("=")
        if not sign or not Path(path).is_file():
            raise BadInput("--python", "", "BACKEND=PATH of an interpreter", repr(word))
        found[name] = path
    return found


COMMANDS = (
    Command(
        "gpu",
        "ask a lent GPU, in order of worth",
        "Carries out a plan of stages on a GPU that is lent for minutes; makes of what comes back "
        "what is judged again on every run of the tests (docs/gpu.md).",
        add_arguments,
        run_gpu,
        ("gpu plan", "gpu run --rehearse --out /tmp/rehearsal"),
        more=ABOUT,
    ),
)
