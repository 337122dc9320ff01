"""Training on the lattice by the oracle: what the digests, losses and norms of a run must be.

It is slow, so it is done where it is cheap: the first epoch of every question, once for all who
answer it, and a whole run where a straddle is claimed. Everything here follows from the spec, the
recipe and the text; nothing is taken from the run but what it claims.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from common.corpus import Corpus, one_hot
from common.lattice import digest, to_lattice
from common.parameters import Arrays, parameter_shapes, zero_state
from common.questions import Question, questions
from common.recipe import Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.closeness.compare import identical
from conformance.oracle.equations import clip, descend, run
from conformance.records.difference import arrays_of, part

CHEAP = 1e9
"""Multiplications, as ``work`` counts them: a second or two. An epoch of the quick recipe has
10⁸."""

DEAR = 1e10
"""The most that a claimed straddle is followed through."""


@dataclass(frozen=True)
class Epoch:
    losses: list[float]
    norms: list[float]
    digest: str


@dataclass
class Step:
    """What a step begins with, what it is asked, and what it leaves."""

    number: int
    before: tuple[Arrays, Arrays]
    question: Question
    after: tuple[Arrays, Arrays]


class Replay:
    """A training run on the lattice, epoch after epoch."""

    def __init__(self, spec: ModelSpec, recipe: Recipe, corpus: Corpus) -> None:
        self.spec, self.recipe = spec, recipe
        self.params = initial_parameters(spec, recipe)
        self.epochs = questions(spec, recipe, corpus)

    def epoch(self, change: Callable[[Step], None] | None = None) -> Epoch:
        """One epoch. ``change`` sees every step and may change what it leaves."""
        zero = zero_state(self.spec, self.recipe.n, "float64")
        state = zero
        losses: list[float] = []
        norms: list[float] = []
        for number, question in enumerate(next(self.epochs), start=1):
            X, Y, *more = question
            state = zero if self.recipe.order == "random" else state
            inputs = one_hot(X, self.spec.d, "float64")
            found = run(self.spec, self.params, inputs, Y, state, *more)
            gradients = {name: found.gradients[name] for name in self.params}
            norm, clipped = clip(gradients, self.recipe.clip)
            params = to_lattice(descend(self.params, clipped, self.recipe))
            after = params, to_lattice(found.state)
            step = Step(number, (self.params, state), question, after)
            if change:
                change(step)
            self.params, state = step.after
            losses.append(float(found.loss))
            norms.append(float(norm))
        return Epoch(losses, norms, digest(self.params))


def work(spec: ModelSpec, recipe: Recipe, corpus: Corpus, count: int) -> float:
    """Roughly how many multiplications so many epochs take, in one direction."""
    weights = sum(float(np.prod(shape)) for shape in parameter_shapes(spec).values())
    return count * len(corpus.tokens) * weights


class FirstEpochs:
    """The first epoch of every question, each trained once."""

    def __init__(self) -> None:
        self.known: dict[str, Epoch | None] = {}

    def of(self, spec: ModelSpec, recipe: Recipe, corpus: Corpus) -> Epoch | None:
        """What it must be; None if it would take too long."""
        question = [spec.to_json(), recipe.to_json() | {"epochs": 1}, corpus.sha256]
        key = json.dumps([*question, len(corpus.tokens)])
        if key not in self.known:
            cheap = work(spec, recipe, corpus, 1) <= CHEAP
            with threadpool_limits(1):
                self.known[key] = Replay(spec, recipe, corpus).epoch() if cheap else None
        return self.known[key]


def follow_straddle(
    spec: ModelSpec,
    recipe: Recipe,
    corpus: Corpus,
    digests: list[str],
    evidence: Arrays,
    place: tuple[int, int],
) -> str | None:
    """Whether a run goes through a straddle: the oracle trains from the beginning, takes over what
    the evidence says that one step left, and must meet every digest of the run, before and after.

    place: the epoch and the step     Returns what is wrong, "" if nothing is, None if it would
    take too long to find out.
    """
    if work(spec, recipe, corpus, recipe.epochs) > DEAR:
        return None
    replay = Replay(spec, recipe, corpus)
    wrong: list[str] = []

    def take_over(step: Step) -> None:
        if step.number != place[1]:
            return
        wrong.extend(_unlike(step, evidence))
        params, state = part(evidence, "after"), part(evidence, "state after")
        # In the canonical order, which a digest is over.
        params = {name: params[name] for name in step.before[0]}
        step.after = params, {name: state[name] for name in step.before[1]}

    with threadpool_limits(1):
        for number, claimed in enumerate(digests, start=1):
            found = replay.epoch(take_over if number == place[0] else None)
            if wrong:
                return f"its evidence is not of that step: another {wrong[0]}"
            if found.digest != claimed:
                return f"epoch {number} does not follow from it"
    return ""


def _unlike(step: Step, evidence: Arrays) -> list[str]:
    """The parts of a step's beginning that the evidence has otherwise."""
    parts = arrays_of(step.question)
    parts |= {f"before/{name}": array for name, array in step.before[0].items()}
    parts |= {f"state before/{name}": array for name, array in step.before[1].items()}
    return [
        n for n, right in parts.items() if n not in evidence or not identical(evidence[n], right)
    ]


GATES = {"i": "input", "f": "forget", "o": "output", "c": "candidate", "z": "update", "r": "reset"}


def describe(spec: ModelSpec, tensor: str, index: tuple[int, ...]) -> str:
    """A tensor's element in words: ``layer 2, forget gate, W_hf [3, 7]``."""
    kind, _, name = tensor.rpartition("/")
    if kind == "trace" and len(index) == 4:  # (T, L, n, h)
        t, row, *element = index
        layer, backward = spec.passes[row]
        way = ", backward direction" if backward else ""
        return f"layer {layer}{way}, time step {t + 1}, {name} {element}"
    place = f" [{', '.join(map(str, index))}]" if index else ""
    if not (found := re.fullmatch(r"layer(\d+)\.(backward\.)?(\w+)", name)):
        return f"{tensor}{place}"
    layer, backward, short = found.groups()
    gate = GATES.get(short[-1], "candidate" if spec.cell == "gru" else "")
    way = ["backward direction"] if backward else []
    parts = [f"layer {layer}", *way, *([f"{gate} gate"] if gate else []), f"{short}{place}"]
    return ", ".join(parts)
