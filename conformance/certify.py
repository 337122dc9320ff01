"""Kill certificates: every case against every wrong convention that can be made with it.

``python -m conformance certify`` evaluates each mutant on each case in NumPy, and measures how far
its answer lies from the right one as a multiple of the bound. It is measured on the first rung that
tells by ``MARGIN`` times, from the bottom of the ladder up: gradients are only looked at if the
forward pass does not tell, and later minibatches if the first does not.
"""

import argparse
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table

from common.corpus import load_corpus
from common.errors import EXIT_FAIL, EXIT_PASS
from common.files import write_json, write_text
from conformance.cases import CURATED, TEXT_CASES
from conformance.certificate import markdown
from conformance.child import cores
from conformance.compare import RUNGS
from conformance.conventions import Begun, begin, evaluate
from conformance.given import gather
from conformance.mutants import CATALOGUE, Mutant, applicable
from conformance.pool import spread
from conformance.progress import Progress, results_console
from conformance.score import measure, page
from conformance.truth import MARGIN, Answer, distances, right_answer

AT_LEAST = 5
"""How many cases must kill a mutant."""


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

    def kills(self, mutant: str) -> list[Pair]:
        return [pair for pair in self.pairs if pair.mutant == mutant and pair.killed]

    def survivors(self) -> list[Pair]:
        """Pairs that are not killed and for which no reason is declared."""
        return [pair for pair in self.pairs if not pair.killed and pair.silence is None]

    def weak(self) -> list[str]:
        """Mutants that too few cases kill."""
        return [m.name for m in CATALOGUE if len(self.kills(m.name)) < AT_LEAST]

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


def examine(mutant: Mutant, answer: Answer, begun: Begun) -> Pair:
    """How far a mutant is from the right answer to a case. begun: of the case, for all mutants"""
    # What begins at the loss cannot show in the forward pass.
    for K in dict.fromkeys((0, 1, answer.case.K) if mutant.forward else (1, answer.case.K)):
        with np.errstate(all="ignore"):  # a wrong function may overflow: that is far, too
            got = evaluate(mutant.conventions, answer.case, answer.numbers, K=K, begun=begun)
            far = distances(got, answer, "float64")
        if max(far.values()) >= MARGIN:
            break
    with np.errstate(all="ignore"):
        single = distances(got, answer, "float32")
    rung = next((r for r in RUNGS if far.get(r, 0.0) >= MARGIN), None)
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
    return [examine(mutant, answer, begun) for mutant in applicable(answer.case.spec)]


def all_cases() -> list[str]:
    return [case.name for case in CURATED] + [f"text-{family}" for family in TEXT_CASES]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the table, as in docs/"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every pair")
    parser.add_argument(
        "--diagnosis",
        type=Path,
        metavar="FILE",
        help="also measure how often the diagnosis is right, and write the page",
    )


def run_certify(options: argparse.Namespace) -> int:
    progress = Progress(options.quiet)
    certificate = certify(all_cases(), progress, workers=cores())
    for pair in certificate.survivors():
        progress.say(f"{pair.case}: {pair.mutant}: only {pair.multiple:.3g} times the bound")
    for name in certificate.weak():
        progress.say(f"{name}: killed by {len(certificate.kills(name))} cases, not {AT_LEAST}")
    if options.markdown:
        write_text(options.markdown, markdown(certificate))
    if options.json:
        write_json(options.json, certificate.to_json())
    killed = sum(pair.killed for pair in certificate.pairs)
    rows = Table(title="Wrong conventions against cases")
    for column in ("mutants", "cases", "pairs", "killed", "declared silent", "unexplained"):
        rows.add_column(column)
    silent = sum(not p.killed and p.silence is not None for p in certificate.pairs)
    counts = (len(CATALOGUE), len(all_cases()), len(certificate.pairs), killed, silent)
    rows.add_row(*map(str, counts), str(len(certificate.survivors())))
    results_console().print(rows)
    holds = certificate.holds
    if options.diagnosis:
        score = measure(all_cases(), progress, workers=cores())
        write_text(options.diagnosis, page(score, all_cases()))
        results_console().print(*score.lines(), sep="\n")
        holds = holds and score.holds
    return EXIT_PASS if holds else EXIT_FAIL
