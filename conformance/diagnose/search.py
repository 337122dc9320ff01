"""Which conventions reproduce somebody's outputs: none that is wrong, one, or two.

A search sees the first steps and examples only, in float32, which is cheap; what survives is
computed in full, in float64. What is named reproduces all outputs within the bound of bounds.toml.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from common.parameters import Arrays
from conformance.closeness.compare import Bound
from conformance.faults.catalogue import (
    always,
    catalogue,
    normalisations,
    stored_state,
)
from conformance.faults.fault import Fault, Group
from conformance.faults.inferred import faults as inferred
from conformance.faults.lengths import faults as of_lengths
from conformance.faults.subject import FEW, Subject
from conformance.progress import Progress

WORK = 6e10
"""Multiplications that are spent on pairs, so that an answer comes in time; at d = h = 256 and two
layers these are all pairs of common faults."""

NO_EFFECT = 1e-6


@dataclass(frozen=True)
class Match:
    """What reproduces the outputs, and how closely. group: nothing if it is the framework itself"""

    subject: Subject
    group: Group
    error: float

    @property
    def options(self) -> tuple[str, ...]:
        """The framework's options that do it, if they do it alone."""
        found = tuple(fault.option for fault in self.group)
        return found if all(found) else ()

    @property
    def right(self) -> bool:
        """Whether the framework computes this, with the options that were stated."""
        return not self.group

    @property
    def another_option(self) -> bool:
        return bool(self.options)


@dataclass(frozen=True)
class Near:
    """How far from the outputs something is, on a window of the data. number: of the fault in the
    catalogue, 0 if there is none"""

    error: float
    number: int
    subject: Subject
    group: Group


@dataclass
class Found:
    """matches: the likeliest first        tried: of each subject, its single faults
    pairs, left: how many pairs were tried, and how many were not"""

    matches: list[Match] = field(default_factory=list)
    tried: list[tuple[Subject, Group, list[Fault]]] = field(default_factory=list)
    pairs: int = 0
    left: int = 0

    @functools.cached_property
    def near(self) -> list[Near]:
        """The framework itself and every single fault, measured once."""
        return [
            Near(s.near((*base, *group)), k, s, (*base, *group))
            for s, base, faults in self.tried
            for k, group in enumerate([(), *((fault,) for fault in faults)])
        ]


def search(
    subjects: list[Subject],
    layout: str,
    stated: Mapping[str, str],
    bound: Bound,
    progress: Progress,
    left: Arrays,
    normal=None,
) -> Found:
    """Readings alone and with one fault, all of them.

    left:   the tensors of the file that have no place in its layout
    normal: the network with the layer normalisation that these may be, and their names"""
    found = Found()
    for subject in subjects:
        base = always(subject)
        faults = [*of_lengths(subject, layout), *catalogue(subject, layout, stated)]
        faults = [*stored_state(subject, left), *faults]
        if normal:
            faults = [*normalisations(subject, layout, *normal), *faults]
        found.tried.append((subject, base, faults))
        found.matches += singles(subject, base, faults, bound, progress)
    if not found.matches:
        found.matches = list(numbers(found, layout, bound))
    found.matches.sort(key=rank)
    return found


def numbers(found: Found, layout: str, bound: Bound) -> Iterator[Match]:
    """Faults with a number that the data show, in the framework's own reading and on the other
    axis."""
    for subject, base, faults in found.tried[:1]:
        axes = [(*base, fault) for fault in faults if fault.name == "axis"]
        for group in [base, *axes]:
            for fault in inferred(subject, group, layout):
                if match := tried(subject, (*group, fault), bound):
                    yield match
                    return


def rank(match: Match) -> tuple:
    """The framework itself, then its options, then faults as the catalogue has them."""
    return len(match.group), not match.another_option, any(f.order for f in match.group)


def singles(
    subject: Subject, base: Group, faults: list[Fault], bound: Bound, progress: Progress
) -> Iterator[Match]:
    groups = [base, *((*base, fault) for fault in faults)]
    names = progress.over("diagnose", [f.name for g in groups for f in g[-1:]] or ["none"])
    for group, _ in itertools.zip_longest(groups, names):
        if group is not None and (match := tried(subject, group, bound)):
            yield match


def tried(subject: Subject, group: Group, bound: Bound) -> Match | None:
    if not subject.possible(group):
        return None
    error = subject.agrees(group, bound)
    return None if error is None else Match(subject, group, error)


def pairs(found: Found, bound: Bound) -> list[Match]:
    """The first two faults together that reproduce the outputs: an option with anything first."""
    for subject, base, faults in found.tried:
        measured = [near for near in found.near if near.subject is subject]
        plain, *others = [near.error for near in measured]
        showing = [f for f, e in zip(faults, others, strict=True) if shows(f, e, plain)]
        first = [f for f in showing if f.option or f.name == "axis" or f.name.startswith("lengths")]
        common = [f for f in showing if f.common]
        couples = itertools.chain(
            ((a, b) for a in first for b in showing if a is not b),
            ((a, b) for a, b in both_ways(common) if a not in first and b not in first),
        )
        room = int(WORK / cost(subject))
        for number, (a, b) in enumerate(couples):
            if number >= room:
                found.left += 1
                continue
            found.pairs += 1
            if match := tried(subject, (*base, a, b), bound):
                return [match]
    return []


def both_ways(faults: list[Fault]) -> Iterator[Group]:
    """Pairs; both orders of two that change the weights, where the order may matter."""
    for a, b in itertools.combinations(faults, 2):
        if a.order and b.order:
            continue
        yield (b, a) if b.order else (a, b)
        if a.weights and b.weights:
            yield (a, b) if b.order else (b, a)


def shows(fault: Fault, error: float, plain: float) -> bool:
    """Whether a fault changes anything that the data show. plain: the error without it"""
    if fault.data or fault.option or not error < np.inf or not plain < np.inf:
        return True
    return abs(error - plain) > NO_EFFECT * plain


def cost(subject: Subject) -> float:
    """Multiplications of one look at the first steps."""
    network = subject.network
    steps = FEW
    if network.directions > 1 or subject.kind != "steps":
        steps = max(subject.given.X.shape[:2])
    return 1e5 + 2.0 * FEW * steps * sum(half.W.size + half.U.size for half in network.halves)
