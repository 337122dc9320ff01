"""Which wrong conventions half precision still tells.

A tier is held to four noise floors of its format, far above those of float32, so that what is wrong
by little passes there. Every convention of the catalogue is evaluated in float64 on the numbers of
the tier, and told by a case if it is two bounds off: honest rounding may hide one of them.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.corpus import load_corpus
from common.errors import printable
from conformance.calibrate.certify import looks, named
from conformance.calibrate.pool import spread
from conformance.cases.given import gather
from conformance.cases.halves import HALVES, left_out
from conformance.cases.table import suite_cases
from conformance.cases.wider import LARGE_WIDER
from conformance.mutants import CATALOGUE, Mutant, applicable
from conformance.oracle.evaluation import begin
from conformance.oracle.truth import distances, right_answer
from conformance.progress import Progress

TOLD = 2.0
"""Bounds."""

Told = dict[str, float]
"""By mutant, how many bounds off a case finds it."""


@dataclass(frozen=True)
class Power:
    """Of one tier: by case, what it makes of every mutant."""

    tier: str
    cases: dict[str, Told]

    def kills(self, mutant: Mutant) -> int:
        return sum(found.get(mutant.name, 0.0) >= TOLD for found in self.cases.values())

    def farthest(self, mutant: Mutant) -> float:
        return max((found.get(mutant.name, 0.0) for found in self.cases.values()), default=0.0)

    def known(self) -> list[Mutant]:
        """Those that can be made with some case."""
        names = set[str]().union(*self.cases.values())
        return [mutant for mutant in CATALOGUE if mutant.name in names]

    def untold(self) -> list[Mutant]:
        """Those of them that no case tells."""
        return [mutant for mutant in self.known() if not self.kills(mutant)]


def asked(tier: str) -> list[str]:
    """Cases of the main job that a tier is asked, and those of peepholes without a clip. Those on
    text have too many numbers to be tried with every mutant."""
    cases = [named(name) for name in suite_cases()]
    cases += [case for case in LARGE_WIDER if case.spec.peepholes]
    return [c.name for c in cases if c.conventions and not c.text and not left_out(c, tier)]


def measure(progress: Progress, workers: int, tiers: tuple[str, ...] = HALVES) -> Iterator[Power]:
    """Every tier against every mutant, over all cases."""
    for tier in tiers:
        names = asked(tier)
        work = functools.partial(examine, tier=tier)
        found = spread(work, names, f"certify {tier}", progress, workers)
        yield Power(tier, dict(zip(names, found, strict=True)))


def examine(name: str, tier: str) -> Told:
    """How many bounds off a case finds each mutant that can be made with it."""
    answer = right_answer(name, gather(load_corpus(None), None), tier)
    case = answer.case
    begun = begin(case, answer.numbers)
    found: Told = {}
    for mutant in applicable(case.spec, *case.needs):
        far = 0.0
        with np.errstate(all="ignore"):  # a wrong function may overflow: that is far, too
            for made in looks(mutant, answer, begun):
                far = max(far, *distances(made, answer, tier).values())
                if far >= TOLD:
                    break
        found[mutant.name] = far
    return found


def table(powers: list[Power]) -> str:
    """How many are told, by tier, and a row for each that some tier does not tell."""
    lines = ["| tier | cases | wrong conventions | told |", "|---|---|---|---|"]
    for power in powers:
        known = len(power.known())
        told = known - len(power.untold())
        lines.append(f"| {power.tier} | {len(power.cases)} | {known} | {told} |")
    gone = len(CATALOGUE) - len(powers[0].known())
    lines += ["", f"The other {gone} of {len(CATALOGUE)} are about gates that are clipped.", ""]
    lines += ["Not told by every tier, with the largest error in bounds (2 is told):", ""]
    lines.append(f"| wrong convention | agrees if … | {' | '.join(p.tier for p in powers)} |")
    lines.append("|---|---|" + "---|" * len(powers))
    hidden = {mutant.name for power in powers for mutant in power.untold()}
    for mutant in CATALOGUE:
        if mutant.name in hidden:
            far = [power.farthest(mutant) for power in powers]
            cells = [mutant.name, mutant.says, *(f"{f:.2g}" if f < 100 else "> 100" for f in far)]
            lines.append("| " + " | ".join(printable(c).replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"
