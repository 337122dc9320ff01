"""The score of the diagnosis over all cases, and its page: which faults it names, and which not."""

import functools
from collections import Counter
from dataclasses import dataclass

from common.corpus import load_corpus
from common.errors import printable
from conformance.calibrate.pool import spread
from conformance.calibrate.trials import PAIRS, SEED, Trial, trials
from conformance.cases.given import gather
from conformance.oracle.truth import right_answer
from conformance.progress import Progress

ENOUGH = {1: 0.95, 2: 0.80}
"""By how many faults were put in, the share of trials in which they must be named first."""

INTRODUCTION = f"""# Naming the fault

When an implementation fails, the diagnosis looks for the wrong conventions that make exactly what
it recorded. Here it is put to the test: every wrong convention of
[the catalogue](detecting-power.md) is put into the equations on every case that kills it, and on
every case {PAIRS} pairs of them, drawn with the seed {SEED}. What comes out is moved by up to one
unit in the last place, and the diagnosis is asked. *Named first* is strict: the first answer must
be what was put in, all of it and nothing else. *Another that comes to the same* is an answer that
reproduces every recorded number of the case within the bound, as the fault does: the case cannot
tell the two. A *false* answer would be one that does not; each that is not what was put
in is computed anew to see.
Written by `python -m conformance certify --diagnosis docs/naming-faults.md`.
"""


@dataclass(frozen=True)
class Score:
    """All trials, and what follows from them."""

    trials: list[Trial]

    def of(self, faults: int) -> list[Trial]:
        return [trial for trial in self.trials if len(trial.faults) == faults]

    def share(self, faults: int) -> float:
        """The share of the trials with so many faults that names them first; 0 of none."""
        asked = self.of(faults)
        return sum(trial.first for trial in asked) / len(asked) if asked else 0.0

    @property
    def false(self) -> int:
        return sum(trial.false for trial in self.trials)

    @property
    def holds(self) -> bool:
        enough = all(self.share(faults) >= least for faults, least in ENOUGH.items())
        return enough and self.false == 0

    def lines(self) -> list[str]:
        said = [
            f"{'one fault' if faults == 1 else 'two faults'}: named first in "
            f"{sum(t.first for t in self.of(faults))} of {len(self.of(faults))} trials "
            f"({self.share(faults):.1%}; at least {least:.0%})"
            for faults, least in ENOUGH.items()
        ]
        return [*said, f"false answers: {self.false}"]


def measure(
    names: list[str], progress: Progress, workers: int = 1, pairs: int = PAIRS, singles: float = 1
) -> Score:
    """All trials of these cases. singles: which share of the single faults is put in"""
    work = functools.partial(trials_of, pairs=pairs, singles=singles)
    found = spread(work, list(names), "diagnosis", progress, workers)
    return Score([trial for some in found for trial in some])


def trials_of(name: str, pairs: int, singles: float) -> list[Trial]:
    answer = right_answer(name, gather(load_corpus(None), None))
    return list(trials(answer, pairs, singles))


def page(score: Score, names: list[str]) -> str:
    """The sums, then every trial in which the first answer was not what had been put in.
    names: of all cases; those that were not asked are told"""
    asked = {trial.case for trial in score.trials}
    left = [name for name in names if name not in asked]
    lines = [INTRODUCTION, f"{len(names) - len(left)} of {len(names)} cases.\n"]
    lines += [f"Not asked: {', '.join(left)}.\n"] if left else []
    outcomes = sorted({trial.outcome for trial in score.trials if not trial.first})
    lines.append(f"| faults | trials | named first | {' | '.join(outcomes)} | false answers |")
    lines.append("|---" * (4 + len(outcomes)) + "|")
    for faults in ENOUGH:
        asked = score.of(faults)
        counts = Counter(trial.outcome for trial in asked)
        cells = [str(faults), str(len(asked))]
        cells += [f"{sum(t.first for t in asked)} ({score.share(faults):.1%})"]
        cells += [str(counts[outcome]) for outcome in outcomes]
        cells += [str(sum(trial.false for trial in asked))]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("\n## Where another answer came first, or none\n")
    lines.append("| put in | named | cases |")
    lines.append("|---|---|---|")
    missed: dict[tuple[str, str], list[str]] = {}
    for trial in score.trials:
        if not trial.first:
            key = together(trial.faults), "; or ".join(map(together, trial.named)) or "nothing"
            missed.setdefault(key, []).append(trial.case)
    for (faults, named), where in sorted(missed.items(), key=lambda item: -len(item[1])):
        cells = (faults, named, ", ".join(where))
        lines.append("| " + " | ".join(printable(c).replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"


def together(names: tuple[str, ...]) -> str:
    return " and ".join(f"*{name}*" for name in names)
