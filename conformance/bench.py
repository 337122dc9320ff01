"""Speed, as ratios within one run: machines are noisy, and tokens per second travel badly.

The contestants take turns in short blocks, so that a slow moment hits both. All of it at the seed's
sizes: n = 32, T = 35, d = q = 28, h = 256, L = 2, float32.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from backends import registry
from backends.protocol import Step
from common.errors import EXIT_PASS, BadInput
from common.lattice import digest
from common.parameters import initialise, zero_state
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.bench_workers import bench_workers
from conformance.progress import Progress, results_console
from conformance.report.bench import bench_report
from conformance.trainee import LOOKAHEAD

T, N, Q, H, L = 35, 32, 28, 256, 2
SPECS = {
    "rnn": ModelSpec("rnn", Q, H, Q, L, activations=("tanh",) * L),
    "gru": ModelSpec("gru", Q, H, Q, L, reset="after"),
    "lstm": ModelSpec("lstm", Q, H, Q, L),
}
ROUNDS, ROUNDS_OF_EPOCHS, BLOCK, STEPS = 9, 5, 6, 8
RECIPE = Recipe(learning_rate=2.0, clip=1.0, epochs=2)
PEER = "pytorch"
"""Whom NumPy is measured against."""

WANTED_OF_D2L = {"pytorch": "≥ 1.2", "mxnet": "≥ 1.3", "tensorflow": "≥ 3.5"}
"""How much longer the loop takes that is written as D2L's chapter writes it."""

Work = Callable[[], object]


@dataclass(frozen=True)
class Race:
    """ratio: seconds of the first over seconds of the second, round by round"""

    first: str
    second: str
    ratios: list[float]
    rates: tuple[float, float]
    wanted: str

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def seconds(work: Work, block: int) -> float:
    """The time of one call, out of a block of them; one more before them is not counted, since
    the threads of whoever ran before may still be spinning."""
    work()
    began = time.perf_counter()
    for _ in range(block):
        work()
    return (time.perf_counter() - began) / block


def race(
    first: str, a: Work, second: str, b: Work, wanted: str, block: int = BLOCK, steps: int = 1
) -> Race:
    """Let two contestants take turns; a call is so many steps. Rates are tokens per second in the
    best block."""
    rounds = ROUNDS if steps == 1 else ROUNDS_OF_EPOCHS
    times = [(seconds(a, block), seconds(b, block)) for _ in range(rounds)]
    best = tuple(steps * N * T / min(column) for column in zip(*times, strict=True))
    return Race(first, second, [a / b for a, b in times], best, wanted)


def gradients(backend: str, implementation: str, cell: str) -> Work:
    """One call of the protocol's ``loss_and_gradients``, NumPy in and NumPy out."""
    spec = SPECS[cell]
    maker = registry.load(backend).implementation(implementation, "cpu", "float32")
    model = maker.model(spec, initialise(spec, "uniform", seed=1))
    X, Y = minibatch()
    state = zero_state(spec, N, "float32")
    return lambda: model.loss_and_gradients(X, Y, state)


def bare(backend: str, cell: str) -> Work:
    """The same by the framework alone."""
    work = registry.load(backend).bare(SPECS[cell], "float32")
    X, Y = minibatch()
    return lambda: work(X, Y)


def training(backend: str, implementation: str, numerics: str) -> Work:
    """An epoch of our training of the LSTM, as trainee.py has it: losses are read a step late; on
    the lattice the epoch ends with its digest."""
    dtype = "float32" if numerics == "float32" else "float64"
    recipe = dataclasses.replace(RECIPE, lattice=numerics == "lattice")
    spec = SPECS["lstm"]
    maker = registry.load(backend).implementation(implementation, "cpu", dtype)
    state = zero_state(spec, N, dtype)
    model = maker.model(spec, initial_parameters(spec, recipe))
    trainer, batches = model.trainer(recipe, state), epoch_of_minibatches()

    def work() -> None:
        trainer.start(state)
        under_way = []
        for X, Y in batches:
            under_way.append(trainer.step(X, Y))
            if len(under_way) == LOOKAHEAD:
                read(under_way.pop(0))
        for step in under_way:
            read(step)
        if recipe.lattice:
            digest(trainer.parameters())

    return work


def loop(backend: str, name: str) -> Work:
    """An epoch of a loop without this suite, ``bare_loop`` or ``d2l_loop`` of the backend."""
    return work_of(getattr(registry.load(backend), name)(SPECS["lstm"], RECIPE, "float32"))


def work_of(step: Callable[[np.ndarray, np.ndarray], object]) -> Work:
    """An epoch of such a loop; its last loss is read."""
    batches = epoch_of_minibatches()

    def work() -> None:
        for X, Y in batches:
            loss = step(X, Y)
        float(loss)

    return work


def read(step: Step) -> tuple[float, float]:
    """Wait for a step's numbers."""
    return float(step.loss), float(step.norm)


def epoch_of_minibatches() -> list[tuple[np.ndarray, np.ndarray]]:
    """As many minibatches, in class numbers, as D2L's epoch has."""
    rng = np.random.RandomState(2)
    text = rng.randint(0, Q, (STEPS, 2, T, N))
    return [(X, Y) for X, Y in text]


def minibatch() -> tuple[np.ndarray, np.ndarray]:
    """X (T, n, d) one-hot, Y (T, n)"""
    rng = np.random.RandomState(1)
    return np.eye(Q, dtype="float32")[rng.randint(0, Q, (T, N))], rng.randint(0, Q, (T, N))


def races(backend: str, progress: Progress) -> list[Race]:
    """What there is to measure for one backend."""
    found = []
    if backend == "numpy":
        found.append(lattice_race("numpy", "equations"))
        # numpy's figure is set against torch; elsewhere there is nothing to set it against.
        try:
            contestant = bare("pytorch", "lstm")
        except BadInput as reason:
            progress.say(f"numpy: not measured: {reason}")
            return found
        reference = gradients("numpy", "equations", "lstm")
        names = ("numpy:equations lstm gradients", "torch's nn.LSTM gradients")
        found.append(race(names[0], reference, names[1], contestant, "≤ 2.0"))
        ours, torch = training("numpy", "equations", "float32"), training(PEER, "layers", "float32")
        names = ("numpy:equations lstm training", f"{PEER}:layers lstm training")
        found.append(race(names[0], ours, names[1], torch, "≤ 2.0", 1, STEPS))
    elif "layers" in registry.load(backend).IMPLEMENTATIONS:
        for cell in progress.over(f"{backend}:layers", list(SPECS)):
            names = (f"{backend}:layers {cell} gradients", f"bare {backend} {cell} gradients")
            work = gradients(backend, "layers", cell)
            found.append(race(names[0], work, names[1], bare(backend, cell), "≤ 1.10"))
        ours, name = training(backend, "layers", "float32"), f"{backend}:layers lstm training"
        plain = loop(backend, "bare_loop")
        found.append(race(name, ours, f"bare {backend} loop", plain, "≤ 1.05", 1, STEPS))
        chapter, wanted = loop(backend, "d2l_loop"), WANTED_OF_D2L.get(backend, "")
        found.append(race(f"D2L's {backend} loop", chapter, name, ours, wanted, 1, STEPS))
        for what, make in getattr(registry.load(backend), "LOOPS", {}).items():
            ours, name = training(backend, "equations", "float32"), f"{backend}:equations training"
            plain = work_of(make(SPECS["lstm"], RECIPE, "float32"))
            found.append(race(name, ours, what, plain, "≤ 1.05", 1, STEPS))
        found.append(lattice_race(backend, "layers"))
    return found


def lattice_race(backend: str, implementation: str) -> Race:
    """What rounding and digests cost."""
    lattice, plain = (training(backend, implementation, n) for n in ("lattice", "float64"))
    names = [f"{backend}:{implementation} lstm {n} training" for n in ("lattice", "float64")]
    return race(names[0], lattice, names[1], plain, "≤ 1.15", 1, STEPS)


def bench(options: argparse.Namespace) -> int:
    """Measure one backend, or all that this environment has, and print the ratios."""
    progress = Progress(options.quiet)
    if options.report:
        results_console().print(bench_report(progress))
        return EXIT_PASS
    if options.workers:
        results_console().print(bench_workers(options, progress))
        return EXIT_PASS
    names = [registry.check_name(options.backend)] if options.backend else list(registry.modules())
    rows = Table(title="Time as a ratio within one run, at the seed's sizes, float32")
    for column in ("measured", "against", "ratio", "range", "wanted", "tokens/s"):
        rows.add_column(column)
    for name in names:
        try:
            registry.load(name)
        except BadInput as reason:
            if options.backend:
                raise
            progress.say(f"{name}: not measured: {reason}")
            continue
        for found in races(name, progress):
            spread = f"{min(found.ratios):.2f} to {max(found.ratios):.2f}"
            rates = " and ".join(f"{rate:,.0f}" for rate in found.rates)
            ratio = f"{found.ratio:.2f}"
            rows.add_row(found.first, found.second, ratio, spread, found.wanted, rates)
    results_console().print(rows)
    return EXIT_PASS
