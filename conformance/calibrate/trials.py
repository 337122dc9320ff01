"""How often the diagnosis is right: wrong conventions are put in, and it is asked what they are.

``python -m conformance certify --diagnosis FILE`` puts every wrong convention that a case kills
into the equations, and two of them at once as often as ``PAIRS`` says, drawn with a seed. What they
make is moved by up to one unit in the last place, as another implementation's rounding would move
it, and handed to ``diagnosis.explain``.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from common.parameters import Arrays
from conformance.closeness.compare import identical, load_bounds, multiple_of_bound, rung_of
from conformance.diagnose.explain import Evidence, Explanation, Suspects, combined, explain
from conformance.mutants import Mutant, applicable
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.evaluation import begin, evaluate
from conformance.oracle.truth import MARGIN, Answer, distances

PAIRS = 4
"""How many pairs of wrong conventions are drawn for each case."""

SEED = 4
"""Of the pairs that are drawn, beside the case's name."""

BOUNDS = load_bounds()["cpu"]["float64"]
UNIT = 2.0**-52


@dataclass(frozen=True)
class Trial:
    """Faults that were put in, and the conventions that were named, the first answer first.

    false: how many of the answers are neither what was put in nor reproduce what it made
    """

    case: str
    faults: tuple[str, ...]
    named: tuple[tuple[str, ...], ...]
    false: int

    @property
    def first(self) -> bool:
        return bool(self.named) and set(self.named[0]) == set(self.faults)

    @property
    def outcome(self) -> str:
        if self.first:
            return "named first"
        if any(set(names) == set(self.faults) for names in self.named):
            return "named, after another that comes to the same here"
        return "another that comes to the same here" if self.named else "nothing named"


class Memory:
    """Evaluates conventions on one case, and remembers what single ones make of it.

    Of those that show in the forward pass, only that pass is kept: at D2L's sizes the answers
    to all of them would not fit. Arrays that are equal to the right ones are kept once.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer, self.begun = answer, begin(answer.case, answer.numbers)
        self.right = evaluate(TRUTH, answer.case, answer.numbers, begun=self.begun)
        self.known: dict[Conventions, Arrays] = {TRUTH: self.right}
        self.forward: dict[Conventions, Arrays] = {TRUTH: forward_part(self.right)}
        self.last: tuple[Conventions, Arrays] = TRUTH, self.right

    def learn(self, suspect: Mutant) -> bool:
        """Whether the case kills it; what it makes is remembered."""
        conventions, right = suspect.conventions, self.right
        K = 0 if suspect.forward else None
        made = {
            name: right[name] if identical(array, right[name]) else array
            for name, array in self(conventions, K).items()
        }
        self.forward[conventions] = forward_part(made)
        if K is None:
            self.known[conventions] = made
        return self.far(made) or (K == 0 and self.far(self(conventions, None)))

    def far(self, made: Arrays) -> bool:
        with np.errstate(all="ignore"):
            return max(distances(made, self.answer, "float64").values()) >= MARGIN

    def __call__(self, conventions: Conventions, K: int | None) -> Arrays:
        """All answers, or those of the first K minibatches; 0: of the forward pass alone."""
        if K == 0 and conventions in self.forward:
            return self.forward[conventions]
        if K is None and conventions in self.known:
            return self.known[conventions]
        if K is None and conventions == self.last[0]:
            return self.last[1]
        case, numbers = self.answer.case, self.answer.numbers
        with np.errstate(all="ignore"):
            made = evaluate(conventions, case, numbers, K=K, begun=self.begun)
        if K is None:
            self.last = conventions, made
        return made


def forward_part(answers: Arrays) -> Arrays:
    return {n: a for n, a in answers.items() if n.startswith(("weights/", "forward/", "trace/"))}


def moved(answers: Arrays, seed: int) -> Arrays:
    """Every number by one unit in the last place, up, down or not at all; the weights, which must
    come back bit for bit, and the gradients that a convention makes zero, stay."""
    rng = np.random.RandomState(seed)
    return {
        name: array
        if name.startswith("weights/")
        else array * (1 + UNIT * rng.randint(-1, 2, np.shape(array)))
        for name, array in answers.items()
    }


def trials(answer: Answer, pairs: int = PAIRS, singles: float = 1.0) -> Iterator[Trial]:
    """Every single fault that the case kills (or a share of them), then pairs of these."""
    some = random.Random(f"{SEED} {answer.case.name} singles")
    draw = random.Random(f"{SEED} {answer.case.name}")
    with threadpool_limits(1):
        memory = Memory(answer)
        killed = [
            suspect
            for suspect in applicable(answer.case.spec, *answer.case.needs)
            if memory.learn(suspect)
        ]
        for suspect in killed:
            if some.random() < singles:
                yield attempt(answer, memory, (suspect,))
        for pair in draw_pairs(draw, killed, pairs):
            yield attempt(answer, memory, pair)


def draw_pairs(draw: random.Random, killed: list[Mutant], count: int) -> list[Suspects]:
    """Different pairs that can be put in together."""
    found: list[Suspects] = []
    while len(found) < count:
        pair = tuple(draw.sample(killed, 2))
        if combined(pair) is not None and pair not in found and pair[::-1] not in found:
            found.append(pair)
    return found


def attempt(answer: Answer, memory: Memory, faults: Suspects) -> Trial:
    """Put the faults in, and ask."""
    case, names = answer.case, tuple(fault.name for fault in faults)
    put_in = together(faults)
    made = memory(put_in, None)
    got = moved(made, zlib.crc32(" ".join((case.name, *names)).encode()))
    evidence = Evidence(case, answer.numbers, got, answer.noise, BOUNDS, "float64", memory)
    if evidence.error(TRUTH) is not None:
        named: list[Explanation] = []  # together they undo one another
    else:
        named = explain(evidence) or []
    others = [e.suspects for e in named if combined(e.suspects) != put_in]
    false = sum(not reproduces(answer, suspects, got) for suspects in others)
    return Trial(case.name, names, tuple(e.names for e in named), false)


def together(suspects: Suspects) -> Conventions:
    """All of them; pairs that disagree about one choice were never drawn."""
    if (conventions := combined(suspects)) is None:
        raise ValueError(f"{suspects} disagree about one choice")
    return conventions


def reproduces(answer: Answer, suspects: Suspects, got: Arrays) -> bool:
    """Whether these conventions make every one of these numbers, computed anew, without a memory
    and by no code of the diagnosis."""
    with np.errstate(all="ignore"):
        made = evaluate(together(suspects), answer.case, answer.numbers)
    return set(made) == set(got) and all(
        multiple_of_bound(got[name], array, BOUNDS[rung_of(name)], np.inf) <= 1
        for name, array in made.items()
    )
