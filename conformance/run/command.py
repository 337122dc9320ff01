"""``python -m conformance record`` and ``train``: what is seen of them."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backends.protocol import cores
from backends.registry import MODULES
from common.corpus import MAX_TOKENS
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput
from common.parameters import INITIALISERS
from common.recipe import NAMED, ORDERS
from common.spec import CELLS, RESETS
from common.storage.files import check_inside, make_folder, remove_folder
from conformance.cases.command import (
    add_modes,
    add_recipes,
    add_which,
    check_modes,
    chosen,
    gathered,
    recipes_of,
)
from conformance.cases.table import DTYPES, PRECISIONS, find_case, material
from conformance.options import Command, positive, seconds
from conformance.progress import Progress, complain
from conformance.records.training import FOLDER, NUMERICS, perplexity
from conformance.run.asked import EPOCH_LIMIT, Run
from conformance.run.child import Child
from conformance.run.ladder import CASE_LIMIT, Request, make_child, record
from conformance.run.main_job import go_on_to_train, trainings, where
from conformance.run.plan import IMPLEMENTATIONS, PREFIX, check, runs
from conformance.run.team import Team, rank_of
from conformance.run.training import Stopped, follow, train


def add_record(parser: argparse.ArgumentParser) -> None:
    add_which(parser)
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    add("--device", choices=("cpu", "gpu"), default="cpu", help="where it computes")
    add("--out", type=Path, default=Path("results"), metavar="FOLDER", help="the results folder")
    add("--limit", type=seconds, default=CASE_LIMIT, metavar="SECONDS", help="per case")
    about = "more are seldom faster: cases are small, and backends slow one another down"
    add("--threads", type=positive, default=1, metavar="N", help=about)
    about = (
        "workers that share the cases: 2 are faster where no other backend runs beside "
        "(default: 2 with --quick, 1 otherwise, on a GPU, or on one core)"
    )
    add("--processes", type=positive, metavar="N", help=about)
    add_modes(parser)
    about = "and train what the main job does, in the same process"
    add("--training", action="store_true", help=about)
    add_recipes(parser)


def run_record(options: argparse.Namespace) -> int:
    given = gathered(options)
    names = chosen(options, given.weights is not None)
    for case in (find_case(name, given) for name in names):
        if case.text:
            material(case, given.corpus)  # before anything is written: the text may be too short
    at_once = options.quick and options.device == "cpu" and cores() > 1
    request = Request(
        backend=options.backend,
        device=options.device,
        dtypes=[dtype for dtype in PRECISIONS if dtype in options.dtype],
        cases=names,
        given=given,
        out=options.out,
        limit=options.limit,
        threads=options.threads,
        modes=options.modes,
        processes=options.processes or (2 if at_once else 1),
    )
    check_modes(options.modes)
    options.recipes = recipes_of(options)
    progress = Progress(options.quiet)
    child = make_child(request, {*request.dtypes, *(DTYPES if options.training else ())})
    try:
        made = record(request, progress, child)
        code = say_crashed(request, made, progress)
        if options.training and "part" in made:
            rung = made["part"]["rung"]
            progress.say(f"{request.backend}: answers up to the {rung}, and trains nothing")
        elif options.training:
            code = max(code, train_after(request, made, child, options))
        return code
    finally:
        child.stop()


def say_crashed(request: Request, made: dict[str, Any], progress: Progress) -> int:
    """What a record came to, and the exit code."""
    crashed = [
        f"{request.backend}:{name} {dtype} {case}: crashed: {entry['reason']}"
        for name, dtypes in made["entries"].items()
        for dtype, cases in dtypes.items()
        for case, entry in cases.items()
        if entry["status"] == "crashed"
    ]
    for line in crashed:  # a result, which --quiet does not hide
        complain(line)
    took = f"{made['seconds']} s, peak {made['peak MiB']} MiB"
    progress.say(f"{request.folder}: {len(request.cases)} cases in {took}")
    return EXIT_FAIL if crashed else EXIT_PASS


def train_after(
    request: Request, made: dict[str, Any], child: Child, options: argparse.Namespace
) -> int:
    """What the main job trains, in the worker that has recorded."""
    what = made["implementations"], options.quick, options.recipes
    asked = runs_of_main_job(request, *what)
    go_on_to_train(child, asked[0].folder.parent)
    progress = Progress(options.quiet)
    return max(_train(run, child, progress) for run in asked)


def runs_of_main_job(request: Request, *what: Any) -> list[Run]:
    """What the main job trains beside a record; what: as of ``trainings``."""
    parser = argparse.ArgumentParser()
    add_train(parser)
    asked = [parser.parse_args([*where(request), *words]) for words in trainings(*what)]
    return [run for options in asked for run in runs(options)]


def add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    about = f"{', '.join(IMPLEMENTATIONS)}, or modes of the backend (default: layers if it has any)"
    add("--implementation", nargs="+", metavar="NAME", help=about)
    recipe = "default: the recipe's"
    add("--recipe", choices=NAMED, default="quick", help="D2L's, or one of a few seconds")
    add(
        "--numerics",
        nargs="+",
        choices=NUMERICS,
        default=["float32"],
        help="lattice: bit for bit; tf32 and mixed on a GPU only",
    )
    about = "of every layer (default: lstm, or those of a wider recipe)"
    add("--cell", nargs="+", choices=CELLS, help=about)
    add("--reset", nargs="+", choices=RESETS, default=["after"], help="of the GRU")
    add("--layers", type=int, metavar="L", help=f"how many ({recipe})")
    add("--hidden", type=int, metavar="h", help=f"units in every layer ({recipe})")
    add("--epochs", type=int, metavar="N", help=recipe)
    add("--learning-rate", type=float, metavar="ETA", help=recipe)
    add("--clip", type=float, metavar="THETA", help=f"of the gradients' global norm ({recipe})")
    add("--batch", type=int, metavar="n", help=f"examples in a minibatch ({recipe})")
    add("--steps", type=int, metavar="T", help=f"time steps in a minibatch ({recipe})")
    add("--order", choices=ORDERS, help=f"of the minibatches ({recipe})")
    add("--initialiser", choices=INITIALISERS, help=f"of the weights ({recipe})")
    add("--seed", type=int, metavar="S", help=f"of the weights, offsets and orders ({recipe})")
    about = "seed of a move of all initial weights by one unit in the last place (default: no move)"
    add("--perturbation", type=int, metavar="S", help=about)
    add(
        "--text",
        nargs="+",
        metavar="TEXT",
        help="files, 'timemachine' (downloaded; the default of d2l) or 'sample' (embedded; the "
        "default of quick)",
    )
    add("--max-tokens", type=int, default=MAX_TOKENS, metavar="N", help="of every text; 0: all")
    add("--held-out", type=float, default=0.0, metavar="SHARE", help="of every text, from its end")
    add("--prefix", default=PREFIX, help="what the predicted text begins with")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="where it computes")
    add("--threads", type=int, metavar="N", help="default: 1 for quick, all cores otherwise")
    about = "processes that share every minibatch, here or where the framework's launcher says"
    add("--workers", type=int, default=1, metavar="N", help=about)
    add(
        "--digests",
        choices=("epoch", "step"),
        default="epoch",
        help="how often, with --numerics lattice",
    )
    add("--limit", type=float, default=EPOCH_LIMIT, metavar="SECONDS", help="per epoch")
    add("--out", type=Path, default=Path("results"), metavar="FOLDER", help="the results folder")
    add("--against", type=Path, metavar="RUN", help="a run on the lattice to be held against")
    add("--fresh", action="store_true", help="do not go on from a checkpoint")


def run_train(options: argparse.Namespace) -> int:
    """Train every run that is asked for; one that crashes does not keep the others from running."""
    progress = Progress(options.quiet)
    asked = runs(options)
    for run in asked:
        check(run)
    with nothing_left_behind(asked[0]):
        child = make_worker(asked)
        try:
            codes = [_train(run, child, progress) for run in asked]
            child.leave()
            return max(codes)
        finally:
            child.stop()


def _train(run: Run, child: Child | Team, progress: Progress) -> int:
    """One run, and the exit code that it asks for."""
    title = f"{run.backend}:{run.name}"
    rank = rank_of(child, run.workers)
    try:
        if rank:
            title = f"{title}, worker {rank} of {run.workers}"
            made = follow(run, child)
        else:
            with progress.training(title, run.recipe.epochs) as seen:
                made = train(run, child, lambda row, number: seen(number, **view(row)))
    except Stopped as reason:
        complain(str(reason))
        return EXIT_BAD_INPUT
    if rank and made["status"] == "finished":
        progress.say(f"{title}: finished; worker 0 has written the run")
        return EXIT_PASS
    if made["status"] == "finished":
        progress.say(f"{title}: {made['prediction']['text']}")
        progress.say(f"{title}: {run.folder}, {made['seconds']} s")
        return EXIT_PASS
    # A result, which --quiet does not hide.
    complain(f"{title}: {made['status']}: {made['reason']}")
    return EXIT_FAIL if made["status"] == "crashed" else EXIT_PASS


def view(row: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an epoch."""
    shown = {"perplexity": perplexity(row), "rate": row["tokens"] / row["seconds"]}
    return shown | {"digest": row.get("digest", "")[:12]}


def make_worker(runs: list[Run]) -> Child | Team:
    """One worker for runs of one backend, on one device, with as many threads; or several."""
    first = runs[0]
    dtypes = list(dict.fromkeys(NUMERICS[run.numerics] for run in runs))
    folder = first.folder.parent
    make_folder(folder)
    check_inside(first.out / FOLDER)
    which = first.backend, first.device, dtypes, first.threads
    others = dict.fromkeys(run.implementation for run in runs)
    modes = [f"{first.backend}:{name}" for name in others if name not in IMPLEMENTATIONS]
    if first.workers > 1:
        return Team(*which, first.workers, folder, modes)
    return Child(*which, None, folder / "worker.log", modes)


@contextlib.contextmanager
def nothing_left_behind(run: Run) -> Iterator[None]:
    """Remove what was made for runs if BadInput keeps every one of them from being started."""
    folder = run.folder.parent
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BadInput:
        if absent and not any(path.is_dir() for path in folder.iterdir()):
            remove_folder(folder)
            for path in absent[1:]:
                path.rmdir()
        raise


COMMANDS = (
    Command(
        "record",
        "run one backend",
        "Asks one backend every case, in a process of its own, and writes what it computed to "
        "results/<backend>-<device>, a record, which judge compares with the others.",
        add_record,
        run_record,
        (
            "record --backend pytorch --out results",
            "record --backend pytorch --cases 'lstm-*' --dtype float64",
            "record --backend mxnet --text timemachine",
            "record --backend pytorch --weights mine.safetensors",
            "record --backend tensorflow --quick --modes 'tensorflow:*'",
            "record --backend jax --training --recipes 'wider-*'",
        ),
    ),
    Command(
        "train",
        "train with one backend",
        "Trains the stack with one backend, resumes a run that was interrupted, and writes the "
        "curve and the weights to results/training, where judge finds them.",
        add_train,
        run_train,
        (
            "train --backend pytorch --cell lstm --numerics lattice",
            "train --backend mxnet --recipe d2l --text timemachine",
            "train --backend jax --recipe wider-both-ways --numerics lattice",
            "train --backend pytorch --numerics lattice --workers 2",
        ),
    ),
)
