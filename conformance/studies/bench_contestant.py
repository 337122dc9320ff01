"""A contestant in the benchmark's races of training loops, each in a process of its own.

Two loops in one process are not alone: they share malloc's habits, pools of threads and caches of
compiled functions. The suite's own loops run with the environment that its workers have, a loop
that a user would write with the user's.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends import registry
from backends.protocol import Step
from common.lattice import digest
from common.parameters import zero_state
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.run.child import KEEP_MEMORY, pipes
from conformance.worker.training import LOOKAHEAD

Work = Callable[[], object]


@dataclass(frozen=True)
class Order:
    """What to train: an implementation's own training, or a loop of its backend.

    loop:  "bare_loop", "d2l_loop" or a name in LOOPS; None: the implementation's training
    steps: minibatches in an epoch
    """

    backend: str
    spec: ModelSpec
    recipe: Recipe
    steps: int
    implementation: str = "layers"
    numerics: str = "float32"
    loop: str | None = None

    def to_json(self) -> str:
        plain = {"spec": self.spec.to_json(), "recipe": self.recipe.to_json()}
        return json.dumps(vars(self) | plain)

    @classmethod
    def from_json(cls, text: str) -> "Order":
        values = json.loads(text)
        spec, recipe = ModelSpec.from_json(values["spec"]), Recipe.from_json(values["recipe"])
        return cls(**(values | {"spec": spec, "recipe": recipe}))


def training(order: Order) -> Work:
    """An epoch of our training, as worker/training.py has it: losses are read a step late; on the
    lattice the epoch ends with its digest."""
    dtype = "float32" if order.numerics == "float32" else "float64"
    recipe = dataclasses.replace(order.recipe, lattice=order.numerics == "lattice")
    backend = registry.load(order.backend)
    maker = backend.implementation(order.implementation, "cpu", dtype)
    state = zero_state(order.spec, recipe.n, dtype)
    model = maker.model(order.spec, initial_parameters(order.spec, recipe))
    trainer, batches = model.trainer(recipe, state), epoch_of_minibatches(order)

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


def loop(order: Order) -> Work:
    """An epoch of a loop without this suite; its last loss is read."""
    backend = registry.load(order.backend)
    name = order.loop or ""
    make = getattr(backend, name, None) or backend.LOOPS[name]
    step, batches = make(order.spec, order.recipe, order.numerics), epoch_of_minibatches(order)

    def work() -> None:
        loss = 0.0
        for X, Y in batches:
            loss = step(X, Y)
        float(loss)

    return work


def read(step: Step) -> tuple[float, float]:
    """Wait for a step's numbers."""
    return float(step.loss), float(step.norm)


def epoch_of_minibatches(order: Order) -> list[tuple[np.ndarray, np.ndarray]]:
    """Minibatches in class numbers, (T, n) each."""
    rng = np.random.RandomState(2)
    shape = (order.steps, 2, order.recipe.T, order.recipe.n)
    return [(X, Y) for X, Y in rng.randint(0, order.spec.d, shape)]


class Contestant:
    """A process that trains for an epoch whenever it is called."""

    def __init__(self, order: Order) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conformance.studies.bench_contestant", order.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ if order.loop else KEEP_MEMORY | os.environ,
        )
        self.order = order
        self.hear("ready")

    def __call__(self) -> None:
        orders, _ = pipes(self.process)
        orders.write("epoch\n")
        orders.flush()
        self.hear("done")

    def spent(self) -> float:
        """Seconds of the processor that it has had, all its threads together."""
        return self.seconds

    def hear(self, expected: str) -> None:
        found, _, spent = pipes(self.process)[1].readline().strip().partition(" ")
        if found != expected:
            self.stop()
            raise RuntimeError(f"{self.order}: {found!r}, exit code {self.process.returncode}")
        self.seconds = float(spent)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    order = Order.from_json(sys.argv[1])
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # frameworks print what they like
    work = loop(order) if order.loop else training(order)
    print("ready", time.process_time(), file=replies, flush=True)
    for _ in sys.stdin:
        work()
        print("done", time.process_time(), file=replies, flush=True)


if __name__ == "__main__":
    main()
