"""The certificate as a page: which wrong convention is told by how many cases, and how clearly."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from common.errors import printable
from conformance.mutants import CATALOGUE

if TYPE_CHECKING:
    from conformance.certify import Certificate

INTRODUCTION = """# Detecting power

Every row is a wrong convention, evaluated in NumPy on every case that it can be made with. A case
kills it if its answer lies at least 100 bounds from the right one, on the first rung of the ladder
that tells. *Multiple* is the smallest over the cases that kill it: of the float64 bound, and of the
float32 bound on the same rung. *Silent* counts the cases in which it makes no difference, or less,
with the reason. Written by `python -m conformance certify --markdown docs/detecting-power.md`.
"""


def markdown(certificate: Certificate) -> str:
    """The page: the sums, a row per mutant, and the redundant cases."""
    pairs = certificate.pairs
    killed = sum(pair.killed for pair in pairs)
    cases = len({pair.case for pair in pairs})
    lines = [INTRODUCTION]
    lines.append(
        f"{len(CATALOGUE)} wrong conventions, {cases} cases, {len(pairs)} pairs: {killed} killed, "
        f"{len(pairs) - killed - len(certificate.survivors())} silent for a declared reason, "
        f"{len(certificate.survivors())} unexplained.\n"
    )
    lines.append(
        "| wrong convention | agrees if … | killed by | rung | multiple | float32 | silent |"
    )
    lines.append("|---|---|---|---|---|---|---|")
    for mutant in CATALOGUE:
        mine = [pair for pair in pairs if pair.mutant == mutant.name]
        kills = [pair for pair in mine if pair.killed]
        rungs = Counter(pair.rung for pair in kills)
        silences = Counter(pair.silence for pair in mine if not pair.killed)
        cells = (
            mutant.name,
            mutant.says,
            f"{len(kills)} of {len(mine)}",
            ", ".join(rung for rung, _ in rungs.most_common()),
            number(min((pair.multiple for pair in kills), default=math.nan)),
            number(min((pair.single for pair in kills), default=math.nan)),
            "; ".join(f"{count}: {why}" for why, count in silences.items()),
        )
        lines.append("| " + " | ".join(printable(c).replace("|", "\\|") for c in cells) + " |")
    lines.append("\n## Redundant cases\n")
    lines.append("These kill nothing that the case beside them does not; they stay for what they")
    lines.append("show beside conventions: batch 1, one step, zero state, depth.\n")
    lines.append("| case | kills no more than |")
    lines.append("|---|---|")
    lines += [f"| {case} | {other} |" for case, other in certificate.redundant().items()]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    return "differs where it must be equal" if math.isinf(value) else f"{value:.1e}"
