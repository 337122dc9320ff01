"""What a mutant is: one wrong convention, where it can occur, and where it cannot be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from common.spec import ModelSpec
from conformance.cases.table import Case
from conformance.oracle.conventions import Conventions


@dataclass(frozen=True)
class Silence:
    """A situation in which a wrong convention may make no difference, why, and which rung tells it
    elsewhere."""

    when: Callable[[Case], bool]
    reason: str


@dataclass(frozen=True)
class Mutant:
    """name:        kind and choice, ``gates i,g,f,o``
    says:        completes "agrees if …"
    conventions: the wrong choice
    applies:     to which specs it can be applied
    silences:    where it need not be told apart
    forward:     whether it changes what the forward pass computes
    order:       of a wrong order of gates: whose block is read for each gate, in canonical order
    regimes:     in which it shows, in cases that are in one of them; in all cases, if there is none
    lengths:     whether it shows in examples of different length alone
    dropout:     whether it shows where numbers are dropped alone
    """

    name: str
    says: str
    conventions: Conventions
    applies: Callable[[ModelSpec], bool] = lambda spec: True
    silences: tuple[Silence, ...] = field(default=())
    forward: bool = True
    order: str = ""
    regimes: frozenset[str] = frozenset()
    lengths: bool = False
    dropout: bool = False

    def silent(self, case: Case) -> str | None:
        """Why the mutant need not be seen in a case; None if it must be."""
        return next((s.reason for s in self.silences if s.when(case)), None)


def of(*cells: str) -> Callable[[ModelSpec], bool]:
    return lambda spec: spec.cell in cells


def gated(spec: ModelSpec) -> bool:
    return spec.cell != "rnn"


def deep(L: int) -> Callable[[ModelSpec], bool]:
    return lambda spec: spec.L >= L


def one_way(spec: ModelSpec) -> bool:
    return spec.directions == 1


def two_ways(spec: ModelSpec) -> bool:
    return spec.directions == 2


def one_size(spec: ModelSpec) -> bool:
    """Whether what a layer hands up could as well be another layer's."""
    return spec.even or spec.p is not None


def as_wide(spec: ModelSpec) -> bool:
    """Whether H is as wide as C."""
    return spec.p is None


def uneven(spec: ModelSpec) -> bool:
    return not spec.even


def projected(spec: ModelSpec) -> bool:
    return spec.p is not None


def reset(where: str) -> Callable[[ModelSpec], bool]:
    return lambda spec: spec.reset == where


def both(*conditions: Callable[[ModelSpec], bool]) -> Callable[[ModelSpec], bool]:
    return lambda spec: all(condition(spec) for condition in conditions)


def has(activation: str) -> Callable[[ModelSpec], bool]:
    return lambda spec: activation in spec.activations


ONE_STEP = Silence(lambda case: case.T == 1, "one step has no order and no past")
ONE_UNIT = Silence(lambda case: case.spec.h == 1, "a 1 × 1 matrix commutes and is symmetric")
