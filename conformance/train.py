"""``python -m conformance train``: what to train, from the options, and what is seen of it."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from backends.registry import MODULES
from common.corpus import MAX_TOKENS, load_texts
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput, printable
from common.parameters import INITIALISERS
from common.recipe import ORDERS, RECIPES
from common.spec import CELLS, RESETS, ModelSpec
from conformance.child import Child, cores
from conformance.given import Given
from conformance.progress import Progress
from conformance.training import (
    EPOCH_LIMIT,
    NUMERICS,
    Run,
    Stopped,
    check,
    make_child,
    perplexity,
    train,
)

PREFIX = "time traveller"
IMPLEMENTATIONS = ("equations", "layers")


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
    add("--digests", choices=("epoch", "step"), default="epoch", help="with --numerics lattice")
    add("--limit", type=float, default=EPOCH_LIMIT, metavar="SECONDS", help="per epoch")
    add("--out", type=Path, default=Path("results"), metavar="FOLDER")
    add("--fresh", action="store_true", help="do not go on from a checkpoint")


def runs(options: argparse.Namespace) -> list[Run]:
    """Every combination of what was asked for, as one run each."""
    named = RECIPES[options.recipe]
    text = options.text or [{"quick": "sample", "d2l": "timemachine"}[options.recipe]]
    corpus, held_out = load_texts(text, options.max_tokens or None, options.held_out)
    given = Given(corpus, held_out=held_out)
    threads = options.threads or (1 if options.recipe == "quick" else cores())
    for field in ("threads", "limit"):
        value = getattr(options, field)
        if value is not None and not value > 0:
            raise BadInput(f"--{field}", "", "a number above 0", value)
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
                            digests=options.digests if lattice else "epoch",
                            limit=options.limit,
                            fresh=options.fresh,
                        )
                    )
    return found


def default(backend: str) -> str:
    """The framework's own layers, where there are any."""
    return "equations" if backend == "numpy" else "layers"


def run_train(options: argparse.Namespace) -> int:
    """Train every run that is asked for; one that crashes does not keep the others from running."""
    progress = Progress(options.quiet)
    asked = runs(options)
    for run in asked:
        check(run)
    child = make_child(asked)
    try:
        return max([_train(run, child, progress) for run in asked])
    finally:
        child.stop()


def _train(run: Run, child: Child, progress: Progress) -> int:
    """One run, and the exit code that it asks for."""
    title = f"{run.backend}:{run.name}"
    with progress.training(title, run.recipe.epochs) as seen:
        try:
            made = train(run, child, lambda row, number: seen(number, **view(row)))
        except Stopped as reason:
            print(printable(str(reason)), file=sys.stderr)
            return EXIT_BAD_INPUT
    if made["status"] == "finished":
        progress.say(f"{title}: {made['prediction']['text']}")
        progress.say(f"{title}: {run.folder}, {made['seconds']} s")
        return EXIT_PASS
    # A result, which --quiet does not hide.
    print(printable(f"{title}: {made['status']}: {made['reason']}"), file=sys.stderr)
    return EXIT_FAIL if made["status"] == "crashed" else EXIT_PASS


def view(row: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an epoch."""
    shown = {"perplexity": perplexity(row), "rate": row["tokens"] / row["seconds"]}
    return shown | {"digest": row.get("digest", "")[:12]}
