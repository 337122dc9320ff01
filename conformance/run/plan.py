"""What ``python -m conformance train`` is to train, from its options."""

import argparse
import dataclasses
from pathlib import Path

from backends.protocol import cores
from backends.registry import check_name
from common.corpus import load_texts
from common.errors import BadInput
from common.parameters import check_size
from common.questions import check_task
from common.recipe import NAMED, RECIPES, Recipe
from common.spec import MOST_LAYERS, Cell, ModelSpec
from conformance.cases.given import Given
from conformance.options import MOST
from conformance.records.schema import is_name
from conformance.records.training import load_run
from conformance.records.witness import find_witness, load_witnesses
from conformance.run.asked import Run

PREFIX = "time traveller"
IMPLEMENTATIONS = ("equations", "layers")
GPU_ONLY = ("tf32", "mixed")
LONGEST_LIMIT = 7 * 86_400.0


def runs(options: argparse.Namespace) -> list[Run]:
    """Every combination of what was asked for, as one run each."""
    named = NAMED[options.recipe]
    text = options.text or ["timemachine" if options.recipe == "d2l" else "sample"]
    corpus, held_out = load_texts(text, options.max_tokens or None, options.held_out)
    given = Given(corpus, held_out=held_out)
    for option in ("workers", "threads"):
        number = getattr(options, option)
        if number is not None and not 1 <= number <= MOST:
            expected = "at least 1" if number < 1 else f"at most {MOST}"
            raise BadInput(f"--{option}", "", expected, number)
    threads = max(1, cores() // options.workers) if options.recipe == "d2l" else 1
    threads = options.threads or threads
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
    own: list[Cell] = ["lstm"] if options.recipe in RECIPES else [*named.recipes]
    for cell in options.cell or own:
        if cell not in named.recipes:
            expected = f"one of {', '.join(named.recipes)} with --recipe {options.recipe}"
            raise BadInput("--cell", "", expected, cell)
        for reset in options.reset if cell == "gru" else [None]:
            L = named.L if options.layers is None else options.layers
            h = named.h if options.hidden is None else options.hidden
            if L < 1:
                raise BadInput("--layers", "", "at least 1", L)
            if L > MOST_LAYERS:  # before they are listed
                raise BadInput("--layers", "", f"at most {MOST_LAYERS}", L)
            activations = ("tanh",) * L if cell == "rnn" else ()
            spec = ModelSpec(cell, corpus.q, h, corpus.q, L, activations, reset)
            spec = dataclasses.replace(spec, **named.model)
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
    if not is_name(run.implementation):
        raise BadInput("--implementation", "", "a name", repr(run.implementation))
    check_size(run.spec)
    if run.numerics in GPU_ONLY and run.device != "gpu":
        raise BadInput("--numerics", run.numerics, "--device gpu", run.device)
    if run.recipe.n % run.workers:
        expected = f"a divisor of the {run.recipe.n} examples of a minibatch"
        raise BadInput("--workers", "", expected, run.workers)
    if run.recipe.words and run.workers > 1:
        expected = "1 of examples that differ in length: a mean of means is another loss"
        raise BadInput("--workers", "", expected, run.workers)
    check_task(run.spec, run.recipe, run.given.corpus)
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
    if run.given.held_out and run.recipe.task != "next":
        expected = f"0 with --recipe {run.recipe_name}, which does not read on"
        raise BadInput("--held-out", "", expected, "texts held out")
    for name, tokens in run.given.held_out.items():
        if len(tokens) <= run.recipe.T:
            expected = f"more than {run.recipe.T} characters held out"
            raise BadInput(name, "--held-out", expected, len(tokens))


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
