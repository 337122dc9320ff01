"""Why an implementation fails: which wrong convention, or which two, reproduce what it recorded.

The recorded tensors are held against what each mutant of the catalogue answers to the same case, by
the bounds of the ladder. A convention is only named if every tensor that was recorded is within the
bound of its answer: near is not enough. The forward pass is tried first, since it is cheap and most
wrong conventions change it; what it leaves open is decided by all rungs.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from common.parameters import Arrays
from conformance.cases.table import Case, Material
from conformance.closeness.compare import FLOAT64_SCALE, Bound, multiple_of_bound
from conformance.closeness.elements import agreement_in_regime
from conformance.closeness.rungs import WHOLE, answered_by, rung_of
from conformance.mutants import Mutant, applicable, can_be_made, of_regimes
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.evaluation import Begun, begin, evaluate, forward

Suspects = tuple[Mutant, ...]

EARLY = 2
"""Steps that a search looks at first, which is cheap."""

OUT_OF_REACH = 100
"""What is so many bounds away in these is away from the whole as well: the bounds are relative to a
tensor's largest magnitude, which may be larger in later steps, but not that much."""


@dataclass(frozen=True)
class Evidence:
    """What was recorded for a case, and how close an explanation must come.

    noise: by tensor, as in truth.Answer     bounds: by rung
    memory: the answers of conventions, if there is something that remembers them
    allowed: by tensor, what rounding may do to each element, where the case is judged so
    top:    the highest rung that is answered, of who answers a part of the ladder
    """

    case: Case
    numbers: Material
    got: Arrays
    noise: dict[str, float]
    bounds: dict[str, Bound]
    dtype: str
    memory: Callable[[Conventions, int | None], Arrays] | None = None
    allowed: Arrays = field(default_factory=dict)
    top: str = WHOLE

    @property
    def scale(self) -> float:
        """From the noise floor, which is of float32, to that of the dtype."""
        return FLOAT64_SCALE if self.dtype == "float64" else 1.0

    @functools.cached_property
    def begun(self) -> Begun:
        return begin(self.case, self.numbers)

    @functools.cached_property
    def ways(self) -> "list[Evidence]":
        """This evidence, and the same by tensors where it is by element and what is wrong shows in
        the tensors, too. What rounding may do to an element was computed with the right equations;
        other conventions have other gates saturated, and round where these do not."""
        whole = replace(self, allowed={})
        return [self, whole] if self.allowed and whole.error(TRUTH) is None else [self]

    def answers(self, conventions: Conventions, K: int | None) -> Arrays:
        """What these conventions make of the case; K: how many minibatches, all if None"""
        with np.errstate(all="ignore"):
            if self.memory:
                return self.memory(conventions, K)
            begun = None if K == 0 else self.begun
            return evaluate(conventions, self.case, self.numbers, K=K, begun=begun)

    def early(self, conventions: Conventions) -> bool:
        """Whether the first steps leave room for these conventions."""
        if conventions.inputs or conventions.masks or self.case.T <= EARLY:
            return True  # what changes the order of the steps cannot be seen from the first ones
        numbers = self.numbers
        with np.errstate(all="ignore"):
            lengths, dropout = numbers.lengths_of(0), numbers.dropout_of(0)
            early = None if lengths is None else np.minimum(lengths, EARLY)
            if dropout is not None:
                dropout = replace(dropout, masks=dropout.masks[:, :EARLY])
            question = numbers.params, numbers.X[0, :EARLY], numbers.state, early, dropout
            made = forward(conventions, self.case.spec, *question)
        for tensor, wanted in made.items():
            got = self.got.get(tensor)
            if tensor != "forward/O" and not tensor.startswith("trace/"):
                continue  # the state after other steps
            if got is None or got.shape[0] != self.case.T or not np.any(wanted):
                continue
            bound, noise = self.bounds[rung_of(tensor)], self.noise[tensor] * self.scale
            if multiple_of_bound(got[:EARLY], wanted, bound, noise) > OUT_OF_REACH:
                return False
        return True

    def error(self, conventions: Conventions, K: int | None = None) -> float | None:
        """The largest relative error of all tensors if these conventions explain them, else None.
        K: how many minibatches, 0 for the forward pass alone"""
        return self.error_of(self.answers(conventions, K))

    def error_of(self, answers: Arrays) -> float | None:
        """The same of what somebody answers to the case."""
        worst, answered = 0.0, answered_by(self.top)
        for tensor, array in answers.items():
            if rung_of(tensor) not in answered:
                continue
            bound, noise = self.bounds[rung_of(tensor)], self.noise[tensor] * self.scale
            allowed = None if tensor.startswith("weights/") else self.allowed.get(tensor)
            got, undefined = self.got.get(tensor), self.case.undefined
            error = agreement_in_regime(got, array, bound, noise, allowed, undefined)
            if error is None:
                return None
            worst = max(worst, error)
        return worst

    def allows(self, group: Suspects) -> bool:
        """Whether these can be put into the case, and into what was answered of it."""
        here = self.case.spec, *self.case.needs
        return all(can_be_made(s, *here) and (s.forward or self.top == WHOLE) for s in group)

    def shows(self, group: Suspects, right: Arrays) -> bool:
        """Whether these would show in the case. right: its right answer"""
        conventions = combined(group) if self.allows(group) else None
        if conventions is None:
            return False
        instead = replace(self, got=right)
        return any(instead.error(conventions, K) is None for K in (0, None))


@dataclass(frozen=True)
class Explanation:
    """Conventions that reproduce all that was recorded, and how closely."""

    suspects: Suspects
    error: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(suspect.name for suspect in self.suspects)

    @property
    def says(self) -> str:
        return said(self.suspects)

    def sentence(self, implementation: str) -> str:
        return f"{implementation} agrees with the oracle to {self.error:.0e} if {self.says}"


def explain(
    evidence: Evidence, known: Iterable[Suspects] = (), search: bool = True
) -> list[Explanation] | None:
    """Single conventions that explain the evidence, or if none does, a pair; none if no pair does.

    known:  what explained other cases, tried first and accepted if it explains this one, which may
            be in none of its regimes
    search: whether to try the catalogue; without it, None if nothing known explains it
    """
    case = evidence.case
    with threadpool_limits(1):
        suspects = of_regimes(case) + applicable(case.spec, *case.needs)
        # What changes nothing that was answered explains nothing.
        suspects = [s for s in suspects if s.forward or evidence.top == WHOLE]
        for group, way in itertools.product(known, evidence.ways):
            if evidence.allows(group) and (found := _explanation(way, group)):
                return [found]
        if not search:
            return None
        if not case.conventions:  # in a regime there are too many pairs that come close
            found = (list(_singles(w, suspects, _innocent(w))) for w in evidence.ways)
            return next(filter(None, found), [])
        innocent = _innocent(evidence)
        single = list(_singles(evidence, suspects, innocent))
        return single or list(itertools.islice(_pairs(evidence, suspects, innocent), 1))


def _innocent(evidence: Evidence) -> bool:
    """Whether the forward pass is right."""
    return evidence.error(TRUTH, K=0) is not None


def _singles(evidence: Evidence, suspects: list[Mutant], innocent: bool) -> Iterator[Explanation]:
    for suspect in suspects:
        if _possible(evidence, (suspect,), innocent) and (
            found := _explanation(evidence, (suspect,))
        ):
            yield found


def _pairs(evidence: Evidence, suspects: list[Mutant], innocent: bool) -> Iterator[Explanation]:
    forward = [suspect for suspect in suspects if suspect.forward]
    later = [suspect for suspect in suspects if not suspect.forward]
    alone = [s for s in forward if _possible(evidence, (s,), innocent)]
    if innocent:
        # Some that change the forward pass do not show in this one: a state of zeros hides them.
        pairs = itertools.combinations([*alone, *later], 2)
    else:
        # One of the two may be of training: then the forward pass shows the other alone.
        pairs = itertools.chain(itertools.product(alone, later), itertools.permutations(forward, 2))
    for pair in pairs:
        if _possible(evidence, pair, innocent) and (found := _explanation(evidence, pair)):
            yield found


def _possible(evidence: Evidence, group: Suspects, innocent: bool) -> bool:
    """Whether the forward pass leaves room for these."""
    forward = [suspect for suspect in group if suspect.forward]
    if not forward:
        return innocent
    conventions = combined(group)
    if len(forward) < len(group):
        return conventions is not None
    if conventions is None or (len(group) > 1 and not evidence.early(conventions)):
        return False
    return evidence.error(conventions, K=0) is not None


def _explanation(evidence: Evidence, group: Suspects) -> Explanation | None:
    conventions = combined(group)
    # There are many pairs, and the first minibatch is enough to tell most of them.
    if conventions is None or (len(group) > 1 and evidence.error(conventions, K=1) is None):
        return None
    error = evidence.error(conventions)
    return None if error is None else Explanation(group, error)


def said(group: Suspects) -> str:
    return " and ".join(suspect.says for suspect in group)


def combined(group: Suspects) -> Conventions | None:
    """All of them together; None if they disagree about one choice."""
    conventions: Conventions | None = TRUTH
    for suspect in group:
        conventions = conventions and conventions.with_also(suspect.conventions)
    return conventions


def sentence(implementation: str, found: list[Explanation], place: str) -> str:
    """What came of it, in words."""
    if not found:
        return f"no known convention explains this; the first difference is at: {place}"
    return "; or ".join(
        explanation.sentence(implementation if k == 0 else "it")
        for k, explanation in enumerate(found)
    )
