"""Kill certificates: every case against every wrong convention that can be made with it.

``python -m conformance certify`` evaluates each mutant on each case in NumPy, and measures how far
its answer lies from the right one as a multiple of the bound. It is measured on the first rung that
tells by ``MARGIN`` times, from the bottom of the ladder up: gradients are only looked at if the
forward pass does not tell, and later minibatches if the first does not.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from common.corpus import load_corpus
from common.errors import printable
from common.parameters import Arrays
from conformance.calibrate.pool import spread
from conformance.cases.given import gather
from conformance.cases.table import LARGE, Case, find_case, suite_cases
from conformance.closeness.compare import RUNGS, rung_of
from conformance.mutants import CATALOGUE, EVERY, REGIMES, Mutant, held_to
from conformance.oracle.evaluation import Begun, begin, evaluate, stages
from conformance.oracle.truth import MARGIN, Answer, distances, right_answer
from conformance.progress import Progress

INTRODUCTION = """# Detecting power

Every row is a wrong convention, evaluated in NumPy on every case that it can be made with. A case
kills it if its answer lies at least 100 bounds from the right one, on the first rung of the ladder
that tells. *Multiple* is the smallest over the cases that kill it: of the float64 bound, and of the
float32 bound on the same rung. *Silent* counts the cases in which it makes no difference, or less,
with the reason. Wider stacks have some cases here that the main job leaves out, *large-…*.
Written by `python -m conformance certify --markdown docs/detecting-power.md`.
"""

OF_REGIMES = """
## Faults of a regime

These are wrong from some size or magnitude on, or swallow a NaN. They are put into the cases of
their regime alone, *large-…* among them, which the main job leaves out; the main job has the fewest
that kill each of them. Cases with saturated gates or large outputs are judged element by element.
"""

AT_LEAST, AT_LEAST_IN_REGIME = 5, 3
"""How many cases must kill a wrong convention; and a fault of a regime."""

WORTH = 10


@dataclass(frozen=True)
class Pair:
    """One mutant on one case. rung: the first that tells, None if none does; multiple: of the
    float64 bound there, single: of the float32 bound, the largest over that rung"""

    mutant: str
    case: str
    rung: str | None
    multiple: float
    single: float
    silence: str | None

    @property
    def killed(self) -> bool:
        return self.multiple >= MARGIN

    def to_json(self) -> dict:
        """JSON knows no infinity: null, where something differs that must be equal."""
        return {k: None if v == math.inf else v for k, v in vars(self).items()}


@dataclass
class Certificate:
    """Every pair, and what follows from them."""

    pairs: list[Pair] = field(default_factory=list)

    @functools.cached_property
    def by_mutant(self) -> dict[str, list[Pair]]:
        """Its pairs; of a certificate to which none is added any more."""
        found: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            found.setdefault(pair.mutant, []).append(pair)
        return found

    def kills(self, mutant: str) -> list[Pair]:
        return [pair for pair in self.by_mutant.get(mutant, []) if pair.killed]

    def survivors(self) -> list[Pair]:
        """Pairs that are not killed and for which no reason is declared."""
        return [pair for pair in self.pairs if not pair.killed and pair.silence is None]

    def weak(self) -> list[str]:
        """Mutants that too few cases kill."""
        return [
            mutant.name
            for mutant in EVERY
            if len(self.kills(mutant.name)) < (AT_LEAST_IN_REGIME if mutant.regimes else AT_LEAST)
        ]

    def redundant(self) -> dict[str, str]:
        """Cases that kill nothing which one other case does not, and that case. Of two that kill
        the same, the later one is redundant."""
        killed: dict[str, set[str]] = {}
        for pair in self.pairs:
            killed.setdefault(pair.case, set())
            if pair.killed:
                killed[pair.case].add(pair.mutant)
        order = list(killed)
        found = {}
        for k, case in enumerate(order):
            for j, other in enumerate(order):
                more = killed[case] < killed[other]
                if j != k and (more or (j < k and killed[case] == killed[other])):
                    found[case] = other
                    break
        return found

    def fewest(self) -> list[str]:
        """The fewest cases of the main job that kill every mutant. Of as many, those that ask
        least, where a mutant that is also killed in a further cell is worth ``WORTH`` steps of a
        layer."""
        killers = [
            {pair.case for pair in self.kills(mutant.name) if of_the_main_job(pair.case)}
            for mutant in EVERY
        ]
        told: dict[str, set[tuple]] = {}
        for pair in filter(lambda pair: of_the_main_job(pair.case), self.pairs):
            spec = named(pair.case).spec
            cell = (pair.mutant, spec.cell, spec.reset)
            told.setdefault(pair.case, set()).update({cell} if pair.killed else ())

        def dear(choice: frozenset[str]) -> tuple[int, list[str]]:
            worth = WORTH * len(set().union(*(told[case] for case in choice)))
            return sum(cost(named(case)) for case in choice) - worth, sorted(choice)

        for size in range(1, len(told) + 1):
            if found := covers(killers, size):
                best = min(found, key=dear)
                return [case for case in told if case in best]
        return []

    @property
    def holds(self) -> bool:
        return bool(self.pairs) and not self.survivors() and not self.weak()

    def to_json(self) -> dict:
        return {
            "margin": MARGIN,
            "at least": AT_LEAST,
            "holds": self.holds,
            "pairs": [pair.to_json() for pair in self.pairs],
            "survivors": [pair.to_json() for pair in self.survivors()],
            "weak": self.weak(),
            "redundant": self.redundant(),
        }


def of_the_main_job(name: str) -> bool:
    return not name.startswith("large-")


@functools.cache
def named(name: str) -> Case:
    return find_case(name, gather(load_corpus(), None))


def cost(case: Case) -> int:
    """What a case asks of a framework, roughly: steps of a layer, and of all its invariances."""
    return case.spec.L * case.T * (8 if case.invariances else 1) * (1000 if case.text else 1)


def covers(
    killers: list[set[str]], size: int, chosen: frozenset[str] = frozenset()
) -> set[frozenset[str]]:
    """Every choice of so many more cases of which one lies in every set.

    One of those in the smallest set that is left must be taken, so each of them is tried.
    """
    left = [cases for cases in killers if not cases & chosen]
    if not left:
        return {chosen}
    if size == 0:
        return set()
    each = (covers(left, size - 1, chosen | {case}) for case in min(left, key=len))
    return set().union(*each)


def looks(mutant: Mutant, answer: Answer, begun: Begun) -> Iterator[Arrays]:
    """What a mutant makes of a case, from the bottom of the ladder up: the forward pass, the first
    minibatch, all of them. begun: of the case, for all mutants"""
    given = mutant.conventions, answer.case, answer.numbers
    if mutant.forward:  # what begins at the loss cannot show there
        yield evaluate(*given, K=0)
    yield from stages(*given, begun=begun)


def examine(mutant: Mutant, answer: Answer, begun: Begun) -> Pair:
    """How far a mutant is from the right answer to a case."""
    got, far = Arrays(), dict[str, float]()
    with np.errstate(all="ignore"):  # a wrong function may overflow: that is far, too
        for made in looks(mutant, answer, begun):
            # What fewer minibatches make was measured with them.
            new = {tensor: array for tensor, array in made.items() if tensor not in got}
            for rung, multiple in distances(new, answer, "float64").items():
                far[rung] = max(far.get(rung, 0.0), multiple)
            got |= made
            if max(far.values()) >= MARGIN:
                break
    rung = next((r for r in RUNGS if far.get(r, 0.0) >= MARGIN), None)
    asked = {t: array for t, array in got.items() if rung in (None, rung_of(t))}
    with np.errstate(all="ignore"):
        single = distances(asked, answer, "float32")
    best = far[rung] if rung else max(far.values())
    told = single[rung] if rung else max(single.values())
    return Pair(mutant.name, answer.case.name, rung, best, told, mutant.silent(answer.case))


def certify(
    names: Iterable[str], progress: Progress, text: str | None = None, workers: int = 1
) -> Certificate:
    """Every case against every mutant that can be made with it."""
    work = functools.partial(examine_all, text=text)
    found = spread(work, list(names), "certify", progress, workers)
    return Certificate([pair for pairs in found for pair in pairs])


def examine_all(name: str, text: str | None) -> list[Pair]:
    """One case against every mutant that can be made with it."""
    answer = right_answer(name, gather(load_corpus(text), None))
    begun = begin(answer.case, answer.numbers)
    return [examine(mutant, answer, begun) for mutant in held_to(answer.case)]


def all_cases() -> list[str]:
    """Those of the main job, and the large ones that must tell something."""
    return suite_cases() + [case.name for case in LARGE if held_to(case)]


def cases_of_conventions() -> list[str]:
    """Those that must tell wrong conventions."""
    return [name for name in suite_cases() if named(name).conventions]


def markdown(certificate: Certificate) -> str:
    """The page: the sums, a row per mutant, the faults of regimes, and the redundant cases."""
    lines = [INTRODUCTION, *rows(certificate, CATALOGUE, "wrong conventions"), OF_REGIMES]
    lines += rows(certificate, REGIMES, "faults of regimes")
    lines.append("\n## Redundant cases\n")
    lines.append("These kill nothing that the case beside them does not; they stay for what they")
    lines.append("show beside conventions: batch 1, one step, zero state, depth.\n")
    lines.append("| case | kills no more than |")
    lines.append("|---|---|")
    lines += [f"| {case} | {other} |" for case, other in certificate.redundant().items()]
    return "\n".join(lines) + "\n"


def rows(certificate: Certificate, mutants: list[Mutant], what: str) -> list[str]:
    """The sums of these mutants, and a table of them."""
    names = {mutant.name for mutant in mutants}
    pairs = [pair for pair in certificate.pairs if pair.mutant in names]
    killed = sum(pair.killed for pair in pairs)
    cases = len({pair.case for pair in pairs})
    left = sum(pair.mutant in names for pair in certificate.survivors())
    lines = [
        f"{len(mutants)} {what}, {cases} cases, {len(pairs)} pairs: {killed} killed, "
        f"{len(pairs) - killed - left} silent for a declared reason, {left} unexplained.\n"
    ]
    head = "agrees if … | killed by | rung | multiple | float32 | silent |"
    lines.append(f"| {what.replace('conventions', 'convention')} | {head}")
    lines.append("|---|---|---|---|---|---|---|")
    for mutant in mutants:
        mine = certificate.by_mutant.get(mutant.name, [])
        kills = [pair for pair in mine if pair.killed]
        rungs = Counter(pair.rung for pair in kills)
        silences = Counter(pair.silence for pair in mine if not pair.killed)
        cells = (
            mutant.name,
            mutant.says,
            f"{len(kills)} of {len(mine)}",
            ", ".join(rung for rung, _ in rungs.most_common() if rung),
            number(min((pair.multiple for pair in kills), default=math.nan)),
            number(min((pair.single for pair in kills), default=math.nan)),
            "; ".join(f"{count}: {why}" for why, count in silences.items()),
        )
        lines.append("| " + " | ".join(printable(c).replace("|", "\\|") for c in cells) + " |")
    return lines


def number(value: float) -> str:
    return "differs where it must be equal" if math.isinf(value) else f"{value:.1e}"
