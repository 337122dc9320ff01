"""``python -m conformance train``: what to train, from the options, and what is seen of it."""

import argparse
import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backends.registry import MODULES, check_name
from common.corpus import MAX_TOKENS, load_texts
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.parameters import INITIALISERS
from common.recipe import ORDERS, RECIPES, Recipe
from common.spec import CELLS, RESETS, ModelSpec
from conformance.child import Child, Died, cores
from conformance.given import Given
from conformance.progress import Progress
from conformance.run import EPOCH_LIMIT, NUMERICS, Run
from conformance.runs import load_run
from conformance.team import Team
from conformance.training import Stopped, follow, perplexity, train
from conformance.witness import find_witness, load_witnesses

PREFIX = "time traveller"
IMPLEMENTATIONS = ("equations", "layers")
GPU_ONLY = ("tf32", "mixed")
LONGEST_LIMIT = 7 * 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", required=True, metavar="NAME", help=", ".join(MODULES))
    add(
        "--implementation", nargs="+", choices=IMPLEMENTATIONS, help="default: layers if it has any"
    )
    add("--recipe", choices=RECIPES, default="quick")
    add("--numerics", nargs="+", choices=NUMERICS, default=["float32"])
    add("--cell", nargs="+", choices=CELLS, default=["lstm"])
    add("--reset", nargs="+", choices=RESETS, default=["after"], help="of the GRU")
    add("--layers", type=int, metavar="L")
    add("--hidden", type=int, metavar="h")
    add("--epochs", type=int, metavar="N")
    add("--learning-rate", type=float, metavar="ETA")
    add("--clip", type=float, metavar="THETA")
    add("--batch", type=int, metavar="n", help="examples in a minibatch")
    add("--steps", type=int, metavar="T", help="time steps in a minibatch")
    add("--order", choices=ORDERS)
    add("--initialiser", choices=INITIALISERS)
    add("--seed", type=int, metavar="S", help="of the weights, offsets and orders")
    add(
        "--perturbation", type=int, metavar="S", help="seed of a move by one unit in the last place"
    )
    add(
        "--text",
        nargs="+",
        metavar="TEXT",
        help="files, 'timemachine' (downloaded) or 'sample' (the default of quick, embedded)",
    )
    add("--max-tokens", type=int, default=MAX_TOKENS, metavar="N", help="of every text; 0: all")
    add("--held-out", type=float, default=0.0, metavar="SHARE", help="of every text, from its end")
    add("--prefix", default=PREFIX, help="what the predicted text begins with")
    add("--device", choices=("cpu", "gpu"), default="cpu")
    add("--threads", type=int, metavar="N", help="default: 1 for quick, all cores otherwise")
    add(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that share every minibatch, here or where the framework's launcher says",
    )
    add("--digests", choices=("epoch", "step"), default="epoch", help="with --numerics lattice")
    add("--limit", type=float, default=EPOCH_LIMIT, metavar="SECONDS", help="per epoch")
    add("--out", type=Path, default=Path("results"), metavar="FOLDER")
    add("--against", type=Path, metavar="RUN", help="a run on the lattice to be held against")
    add("--fresh", action="store_true", help="do not go on from a checkpoint")


def runs(options: argparse.Namespace) -> list[Run]:
    """Every combination of what was asked for, as one run each."""
    named = RECIPES[options.recipe]
    text = options.text or [{"quick": "sample", "d2l": "timemachine"}[options.recipe]]
    corpus, held_out = load_texts(text, options.max_tokens or None, options.held_out)
    given = Given(corpus, held_out=held_out)
    if options.workers < 1:
        raise BadInput("--workers", "", "at least 1", options.workers)
    threads = 1 if options.recipe == "quick" else max(1, cores() // options.workers)
    threads = options.threads or threads
    if options.threads is not None and options.threads < 1:
        raise BadInput("--threads", "", "at least 1", options.threads)
    if not 0 < options.limit <= LONGEST_LIMIT:
        expected = f"a number above 0 and up to {LONGEST_LIMIT:g}"
        raise BadInput("--limit", "", expected, options.limit)
    changes = {
        "learning_rate": options.learning_rate,
        "clip": options.clip,
        "epochs": options.epochs,
        "n": options.batch,
        "T": options.steps,
        "order": options.order,
        "initialiser": options.initialiser,
        "seed": options.seed,
        "perturbation": options.perturbation,
    }
    changes = {field: value for field, value in changes.items() if value is not None}
    found = []
    for cell in options.cell:
        for reset in options.reset if cell == "gru" else [None]:
            L = named.L if options.layers is None else options.layers
            h = named.h if options.hidden is None else options.hidden
            if L < 1:
                raise BadInput("--layers", "", "at least 1", L)
            activations = ("tanh",) * L if cell == "rnn" else ()
            spec = ModelSpec(cell, corpus.q, h, corpus.q, L, activations, reset)
            for implementation in options.implementation or [default(options.backend)]:
                for numerics in options.numerics:
                    lattice = numerics == "lattice"
                    recipe = dataclasses.replace(named.recipes[cell], lattice=lattice, **changes)
                    expected = _expected(options.against, spec, recipe, given)
                    found.append(
                        Run(
                            backend=options.backend,
                            device=options.device,
                            implementation=implementation,
                            numerics=numerics,
                            spec=spec,
                            recipe_name=options.recipe,
                            recipe=recipe,
                            given=given,
                            out=options.out,
                            prefix=options.prefix,
                            threads=threads,
                            workers=options.workers,
                            digests=options.digests if lattice else "epoch",
                            limit=options.limit,
                            fresh=options.fresh,
                            expected=expected,
                        )
                    )
    return found


def check(run: Run) -> None:
    """BadInput for what can be known before a framework is loaded."""
    check_name(run.backend)
    if run.numerics in GPU_ONLY and run.device != "gpu":
        raise BadInput("--numerics", run.numerics, "--device gpu", run.device)
    if run.recipe.n % run.workers:
        expected = f"a divisor of the {run.recipe.n} examples of a minibatch"
        raise BadInput("--workers", "", expected, run.workers)
    vocabulary = run.given.corpus.vocabulary
    if not run.prefix:
        raise BadInput("--prefix", "", "at least one character", "none")
    for character in run.prefix:
        if character not in vocabulary.tokens:
            text = f"a character of {run.given.corpus.name}"
            raise BadInput("--prefix", "", text, repr(character))
    needed = run.recipe.T * (run.recipe.n + 1) + 1
    if len(run.given.corpus.tokens) < needed:
        expected = (
            f"at least {needed} characters for minibatches of {run.recipe.n} x {run.recipe.T}"
        )
        raise BadInput(run.given.corpus.name, "", expected, len(run.given.corpus.tokens))
    for name, tokens in run.given.held_out.items():
        if len(tokens) <= run.recipe.T:
            expected = f"more than {run.recipe.T} characters held out"
            raise BadInput(name, "--held-out", expected, len(tokens))


def make_child(runs: list[Run]) -> Child | Team:
    """One worker for runs of one backend, on one device, with as many threads; or several."""
    first = runs[0]
    dtypes = list(dict.fromkeys(NUMERICS[run.numerics] for run in runs))
    folder = first.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    which = first.backend, first.device, dtypes, first.threads
    if first.workers > 1:
        return Team(*which, first.workers, folder)
    return Child(*which, None, folder / "worker.log")


@contextlib.contextmanager
def nothing_left_behind(run: Run) -> Iterator[None]:
    """Remove what was made for runs if BadInput keeps every one of them from being started."""
    folder = run.folder.parent
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BadInput:
        if absent and not any(path.is_dir() for path in folder.iterdir()):
            shutil.rmtree(folder)
            for path in absent[1:]:
                path.rmdir()
        raise


def _expected(against: Path | None, spec: ModelSpec, recipe: Recipe, given: Given) -> tuple:
    """The digests of the run that is named, or else of the stored witness, if there is one."""
    if not recipe.lattice:
        return ()
    if against:
        return tuple(load_run(against.parent if against.is_file() else against).digests)
    text = given.text() | {"characters": len(given.corpus.tokens)}
    witness = find_witness(spec, recipe, text, load_witnesses())
    return tuple(witness.digests) if witness else ()


def default(backend: str) -> str:
    """The framework's own layers, where there are any."""
    return "equations" if backend == "numpy" else "layers"


def run_train(options: argparse.Namespace) -> int:
    """Train every run that is asked for; one that crashes does not keep the others from running."""
    progress = Progress(options.quiet)
    asked = runs(options)
    for run in asked:
        check(run)
    with nothing_left_behind(asked[0]):
        child = make_child(asked)
        try:
            codes = [_train(run, child, progress) for run in asked]
            child.leave()
            return max(codes)
        finally:
            child.stop()


def _train(run: Run, child: Child | Team, progress: Progress) -> int:
    """One run, and the exit code that it asks for."""
    title = f"{run.backend}:{run.name}"
    rank = rank_of(child, run)
    try:
        if rank:
            title = f"{title}, worker {rank} of {run.workers}"
            made = follow(run, child)
        else:
            with progress.training(title, run.recipe.epochs) as seen:
                made = train(run, child, lambda row, number: seen(number, **view(row)))
    except Stopped as reason:
        print(printable(str(reason)), file=sys.stderr)
        return EXIT_BAD_INPUT
    if rank and made["status"] == "finished":
        progress.say(f"{title}: finished; worker 0 has written the run")
        return EXIT_PASS
    if made["status"] == "finished":
        progress.say(f"{title}: {made['prediction']['text']}")
        progress.say(f"{title}: {run.folder}, {made['seconds']} s")
        return EXIT_PASS
    # A result, which --quiet does not hide.
    print(printable(f"{title}: {made['status']}: {made['reason']}"), file=sys.stderr)
    return EXIT_FAIL if made["status"] == "crashed" else EXIT_PASS


def rank_of(child: Child | Team, run: Run) -> int:
    """Which one of several workers the child is, where a launcher has started them."""
    if run.workers == 1:
        return 0
    try:
        return child.greet()["rank"]
    except Died:  # train says so of the run
        return 0


def view(row: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an epoch."""
    shown = {"perplexity": perplexity(row), "rate": row["tokens"] / row["seconds"]}
    return shown | {"digest": row.get("digest", "")[:12]}
