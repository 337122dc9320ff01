"""Speed, as ratios within one run: machines are noisy, and tokens per second travel badly.

The contestants take turns in short blocks, so that a slow moment hits both. All of it at the seed's
sizes: n = 32, T = 35, d = q = 28, h = 256, L = 2, float32.
"""

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from backends import registry
from common.errors import BadInput
from common.parameters import initialise, parameter_shapes, zero_state
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
BOTH_WAYS = {cell: dataclasses.replace(spec, directions=2) for cell, spec in SPECS.items()}
"""Wider stacks, of which a framework's own layers read in both directions, too."""

ROUNDS, ROUNDS_OF_EPOCHS, BLOCK, STEPS = 11, 5, 2, 8
RECIPE = Recipe(learning_rate=2.0, clip=1.0, epochs=2)
PEER = "pytorch"
"""Whom NumPy is measured against."""

TRAINING, D2L_LOOP, LATTICE = "training", "D2L's loop", "lattice"

WANTED_OF_D2L = {"pytorch": "≥ 1.2", "mxnet": "≥ 1.3", "tensorflow": "≥ 3.5"}
"""How much longer the loop takes that is written as D2L's chapter writes it."""


@dataclass(frozen=True)
class Race:
    """ratios: seconds of the first over seconds of the second, round by round
    cpu: the same of processor seconds, which are what they are on a busy machine, too
    about: what is compared, for whom the page has a column"""

    first: str
    second: str
    ratios: list[float]
    rates: tuple[float, float]
    wanted: str
    cpu: list[float]
    about: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def seconds(work: Work, block: int) -> tuple[float, float]:
    """The time of one call, and the processor's, out of a block of them; one more before them is
    not counted, since the threads of whoever ran before may still be spinning."""
    work()
    spent = work.spent if isinstance(work, Contestant) else time.process_time
    began, before = time.perf_counter(), spent()
    for _ in range(block):
        work()
    return (time.perf_counter() - began) / block, (spent() - before) / block


def race(
    first: str,
    a: Work,
    second: str,
    b: Work,
    wanted: str,
    block: int = BLOCK,
    steps: int = 1,
    about: str = "",
) -> Race:
    """Let two contestants take turns; a call is so many steps. Rates are tokens per second in the
    best block."""
    rounds = ROUNDS if steps == 1 else ROUNDS_OF_EPOCHS
    turns = [(seconds(a, block), seconds(b, block)) for _ in range(rounds)]
    walls, cpus = ([(a[k], b[k]) for a, b in turns] for k in (0, 1))
    best = tuple(steps * N * T / min(column) for column in zip(*walls, strict=True))
    wall, cpu = ([a / b for a, b in turns] for turns in (walls, cpus))
    return Race(first, second, wall, best, wanted, cpu, about)


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
    if backend == "numpy":
        return of_numpy(progress)
    if "layers" not in registry.load(backend).IMPLEMENTATIONS:
        return []
    found = []
    specs = SPECS | {f"{cell} both ways": spec for cell, spec in BOTH_WAYS.items()}
    for name in progress.over(f"{backend}:layers", list(specs)):
        names = (f"{backend}:layers {name} gradients", f"bare {backend} {name} gradients")
        work, rival = gradients(backend, "layers", specs[name]), bare(backend, specs[name])
        found.append(race(names[0], work, names[1], rival, "≤ 1.10", about=name))
    ours, chapter = order(backend), order(backend, loop="d2l_loop")
    found.append(training_race(ours, order(backend, loop="bare_loop"), "≤ 1.05", TRAINING))
    found.append(training_race(chapter, ours, WANTED_OF_D2L.get(backend, ""), D2L_LOOP))
    for name in getattr(registry.load(backend), "LOOPS", {}):
        ours = order(backend, implementation="equations")
        found.append(training_race(ours, order(backend, loop=name), "≤ 1.05"))
    return [*found, lattice_race(backend, "layers")]


def of_numpy(progress: Progress) -> list[Race]:
    """Its figure is set against torch; where there is none there is nothing to set it against."""
    found = [lattice_race("numpy", "equations"), *(both_ways(L) for L in (1, 2))]
    try:
        contestant = bare(PEER, SPECS["lstm"])
    except BadInput as reason:
        progress.say(f"numpy: not measured: {reason}")
        return found
    reference = gradients("numpy", "equations", SPECS["lstm"])
    names = ("numpy:equations lstm gradients", "torch's nn.LSTM gradients")
    found.append(race(names[0], reference, names[1], contestant, "≤ 2.0"))
    ours, torch = order("numpy", implementation="equations"), order(PEER)
    return [*found, training_race(ours, torch, "≤ 2.0")]


def both_ways(L: int) -> Race:
    """What a second direction costs NumPy, of L layers. Every layer but the first reads both halves
    of the one below it, so two layers have not twice as many products, but 2.6 times. By the clock
    it takes less, if BLAS has one thread: each direction is computed in a thread of its own."""
    specs = [dataclasses.replace(of["lstm"], L=L) for of in (BOTH_WAYS, SPECS)]
    two, one = (gradients("numpy", "equations", spec) for spec in specs)
    first = f"numpy:equations lstm both ways, L = {L}, gradients"
    with threadpool_limits(1):  # as a worker of the suite has it
        return race(first, two, "in one direction", one, "≤ 2.1", about=f"both ways, L = {L}")


def products(spec: ModelSpec) -> int:
    """Multiplications of one time step of one example, in matrix products of the forward pass."""
    return sum(math.prod(s) for s in parameter_shapes(spec).values() if len(s) == 2)


def lattice_race(backend: str, implementation: str) -> Race:
    """What rounding and digests cost."""
    lattice, plain = (
        order(backend, implementation=implementation, numerics=n) for n in ("lattice", "float64")
    )
    return training_race(lattice, plain, "≤ 1.15", LATTICE)


def training_race(first: Order, second: Order, wanted: str, about: str = "") -> Race:
    """Two training loops, each in its own process; they take turns, an epoch each."""
    contestants = []
    try:
        for each in (first, second):
            contestants.append(Contestant(each))
        a, b = contestants
        return race(name_of(first), a, name_of(second), b, wanted, 1, STEPS, about)
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
