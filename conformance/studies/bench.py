"""Speed, as ratios within one run: machines are noisy, and tokens per second travel badly.

The contestants take turns in short blocks, so that a slow moment hits both. All of it at the seed's
sizes: n = 32, T = 35, d = q = 28, h = 256, L = 2, float32.
"""

import dataclasses
import statistics
import time
from dataclasses import dataclass

import numpy as np

from backends import registry
from common.errors import BadInput
from common.parameters import initialise, zero_state
from common.recipe import Recipe
from common.spec import ModelSpec
from conformance.progress import Progress
from conformance.studies.bench_contestant import Contestant, Order, Work

T, N, Q, H, L = 35, 32, 28, 256, 2
SPECS = {
    "rnn": ModelSpec("rnn", Q, H, Q, L, activations=("tanh",) * L),
    "gru": ModelSpec("gru", Q, H, Q, L, reset="after"),
    "lstm": ModelSpec("lstm", Q, H, Q, L),
}
BOTH_WAYS = {cell: dataclasses.replace(SPECS[cell], directions=2) for cell in ("gru", "lstm")}
"""Wider stacks, of which a framework's own layers read in both directions, too."""

ROUNDS, ROUNDS_OF_EPOCHS, BLOCK, STEPS = 9, 5, 6, 8
RECIPE = Recipe(learning_rate=2.0, clip=1.0, epochs=2)
PEER = "pytorch"
"""Whom NumPy is measured against."""

WANTED_OF_D2L = {"pytorch": "≥ 1.2", "mxnet": "≥ 1.3", "tensorflow": "≥ 3.5"}
"""How much longer the loop takes that is written as D2L's chapter writes it."""


@dataclass(frozen=True)
class Race:
    """ratio: seconds of the first over seconds of the second, round by round
    cpu: the same of processor seconds, where both ran in this process"""

    first: str
    second: str
    ratios: list[float]
    rates: tuple[float, float]
    wanted: str
    cpu: list[float] = dataclasses.field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def seconds(work: Work, block: int) -> tuple[float, float]:
    """The time of one call, and the processor's, out of a block of them; one more before them is
    not counted, since the threads of whoever ran before may still be spinning."""
    work()
    began, before = time.perf_counter(), time.process_time()
    for _ in range(block):
        work()
    return (time.perf_counter() - began) / block, (time.process_time() - before) / block


def race(
    first: str, a: Work, second: str, b: Work, wanted: str, block: int = BLOCK, steps: int = 1
) -> Race:
    """Let two contestants take turns; a call is so many steps. Rates are tokens per second in the
    best block."""
    rounds = ROUNDS if steps == 1 else ROUNDS_OF_EPOCHS
    turns = [(seconds(a, block), seconds(b, block)) for _ in range(rounds)]
    walls, cpus = ([(a[k], b[k]) for a, b in turns] for k in (0, 1))
    best = tuple(steps * N * T / min(column) for column in zip(*walls, strict=True))
    cpu = [a / b for a, b in cpus if b] if steps == 1 else []
    return Race(first, second, [a / b for a, b in walls], best, wanted, cpu)


def gradients(backend: str, implementation: str, spec: ModelSpec) -> Work:
    """One call of the protocol's ``loss_and_gradients``, NumPy in and NumPy out."""
    maker = registry.load(backend).implementation(implementation, "cpu", "float32")
    model = maker.model(spec, initialise(spec, "uniform", seed=1))
    X, Y = minibatch()
    state = zero_state(spec, N, "float32")
    return lambda: model.loss_and_gradients(X, Y, state)


def bare(backend: str, spec: ModelSpec) -> Work:
    """The same by the framework alone."""
    work = registry.load(backend).bare(spec, "float32")
    X, Y = minibatch()
    return lambda: work(X, Y)


def order(backend: str, **what: str) -> Order:
    """The LSTM, to be trained for as many minibatches as D2L's epoch has."""
    return Order(backend, SPECS["lstm"], RECIPE, STEPS, **what)


def minibatch() -> tuple[np.ndarray, np.ndarray]:
    """X (T, n, d) one-hot, Y (T, n)"""
    rng = np.random.RandomState(1)
    return np.eye(Q, dtype="float32")[rng.randint(0, Q, (T, N))], rng.randint(0, Q, (T, N))


def races(backend: str, progress: Progress) -> list[Race]:
    """What there is to measure for one backend."""
    found = []
    if backend == "numpy":
        found.append(lattice_race("numpy", "equations"))
        found += [both_ways(L) for L in (1, 2)]
        # numpy's figure is set against torch; elsewhere there is nothing to set it against.
        try:
            contestant = bare(PEER, SPECS["lstm"])
        except BadInput as reason:
            progress.say(f"numpy: not measured: {reason}")
            return found
        reference = gradients("numpy", "equations", SPECS["lstm"])
        names = ("numpy:equations lstm gradients", "torch's nn.LSTM gradients")
        found.append(race(names[0], reference, names[1], contestant, "≤ 2.0"))
        ours, torch = order("numpy", implementation="equations"), order(PEER)
        found.append(training_race(ours, torch, "≤ 2.0"))
    elif "layers" in registry.load(backend).IMPLEMENTATIONS:
        specs = SPECS | {f"{cell} both ways": spec for cell, spec in BOTH_WAYS.items()}
        for name in progress.over(f"{backend}:layers", list(specs)):
            names = (f"{backend}:layers {name} gradients", f"bare {backend} {name} gradients")
            work, spec = gradients(backend, "layers", specs[name]), specs[name]
            found.append(race(names[0], work, names[1], bare(backend, spec), "≤ 1.10"))
        ours, chapter = order(backend), order(backend, loop="d2l_loop")
        found.append(training_race(ours, order(backend, loop="bare_loop"), "≤ 1.05"))
        found.append(training_race(chapter, ours, WANTED_OF_D2L.get(backend, "")))
        for name in getattr(registry.load(backend), "LOOPS", {}):
            ours = order(backend, implementation="equations")
            found.append(training_race(ours, order(backend, loop=name), "≤ 1.05"))
        found.append(lattice_race(backend, "layers"))
    return found


def both_ways(L: int) -> Race:
    """What a second direction costs NumPy, of L layers. Every layer but the first reads both halves
    of the one below it, so two layers have not twice as many products, but 2.6 times."""
    specs = (dataclasses.replace(of["lstm"], L=L) for of in (BOTH_WAYS, SPECS))
    two, one = (gradients("numpy", "equations", spec) for spec in specs)
    first = f"numpy:equations lstm both ways, L = {L}, gradients"
    return race(first, two, "in one direction", one, "≤ 2.1")


def lattice_race(backend: str, implementation: str) -> Race:
    """What rounding and digests cost."""
    lattice, plain = (
        order(backend, implementation=implementation, numerics=n) for n in ("lattice", "float64")
    )
    return training_race(lattice, plain, "≤ 1.15")


def training_race(first: Order, second: Order, wanted: str) -> Race:
    """Two training loops, each in its own process; they take turns, an epoch each."""
    contestants = []
    try:
        for each in (first, second):
            contestants.append(Contestant(each))
        a, b = contestants
        return race(name_of(first), a, name_of(second), b, wanted, 1, STEPS)
    finally:
        for each in contestants:
            each.stop()


def name_of(order: Order) -> str:
    """As the table names a contestant."""
    loops = {"bare_loop": f"bare {order.backend} loop", "d2l_loop": f"D2L's {order.backend} loop"}
    if order.loop:
        return loops.get(order.loop, order.loop)
    numerics = "" if order.numerics == "float32" else f"{order.numerics} "
    return f"{order.backend}:{order.implementation} lstm {numerics}training"
