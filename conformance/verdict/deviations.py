"""deviations.toml: what frameworks are known to get wrong.

Every entry has a reproduction that a test runs, and that fails once the framework is mended. Its
``versions`` are those in which ``atlas`` found it, of the framework or of the package that is named
first: "2.17.1 to 2.21.0", "Keras 3.12.0 to 3.15.1, not 3.11.3". What shows on a GPU alone says so
by ``device = "gpu"``, here or below. An entry with a ``[deviation.ladder]`` also excuses failures
on the ladder, within its margin:

    implementation, dtype   whose: "mxnet:layers", "float64", or patterns
    cases, tensors          patterns of the cases and of the recorded tensors; of all of these
                            several, with blanks between
    activation              only cases in which a layer has this one (may be left out)
    cell                    only cases of this one (may be left out)
    device                  only there, on the "cpu" or the "gpu" (may be left out)
    margin                  the largest error it excuses, as measured; 1.0 where a number stands in
                            the place of a NaN
    floors                  and the largest multiple of the noise floor (may be left out)
    judged_as               in the place of a margin: the dtype that it is really computed in. It
                            excuses what that dtype's bounds let pass, case by case
    drawn                   the largest error it excuses, as measured, in any tensor of cases that
                            are drawn in regimes (``--random --regimes``; may be left out)

and it must find something to excuse wherever it applies: otherwise it is stale. Drawn cases are not
among these, since few of them come upon it. One of float64
also excuses a run on the lattice, if nothing else is wrong in the first step that differs. An entry
with a ``[deviation.training]`` excuses training runs that the early envelope rejects, and nothing
else does; a run may well stay inside of it, so this is never stale:

    implementation, device, numerics   whose
    ensembles                          a pattern of their names
    strain                             the largest, as measured; the envelope ends at 1
"""

import fnmatch
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.storage.reading import LARGEST_JSON, parse_toml, read_text
from common.storage.shape import check_shape
from conformance.cases.points import is_drawn
from conformance.cases.table import DTYPES, Case
from conformance.closeness.compare import Comparison
from conformance.verdict.outcome import Row

PATH = Path(__file__).with_name("deviations.toml")
FIELDS = (
    "id",
    "framework",
    "versions",
    "title",
    "what",
    "where",
    "worked_around",
    "since",
    "evidence",
)
LADDER_FIELDS = ("implementation", "dtype", "cases", "tensors")
MARGINS = ("margin", "judged_as")
"""One of them says how much is excused."""

LADDER_SHAPE = {
    **dict.fromkeys((*LADDER_FIELDS, "activation?", "cell?", "device?", "judged_as?"), str),
    "margin?": float,
    "floors?": float,
    "drawn?": float,
}
TRAINING_FIELDS = ("implementation", "device", "numerics", "ensembles", "strain")
TRAINING_SHAPE = dict.fromkeys(TRAINING_FIELDS, str) | {"strain": float}


JudgedAs = Callable[[str], dict[str, Comparison]]
"""By dtype: every tensor by that dtype's bounds."""


@dataclass
class Deviation:
    """One entry; ``applied`` and ``excused`` count what the judge did with it."""

    fields: dict[str, Any]
    applied: int = field(default=0)
    excused: int = field(default=0)

    @property
    def id(self) -> str:
        return self.fields["id"]

    @property
    def ladder(self) -> dict[str, Any] | None:
        return self.fields.get("ladder")

    @property
    def needs_a_gpu(self) -> bool:
        """Whether it shows on a GPU alone, and its reproduction reads what was recorded on one."""
        return "gpu" in (self.fields.get("device"), (self.ladder or {}).get("device"))

    def applies_to(self, implementation: str, device: str, dtype: str, case: Case) -> bool:
        """Whether this entry speaks of a case."""
        ladder = self.ladder
        return (
            ladder is not None
            and ladder.get("device") in (None, device)
            and _one_of(implementation, ladder["implementation"])
            and _one_of(dtype, ladder["dtype"])
            and (self.drawn(case) or _one_of(case.name, ladder["cases"]))
            and ladder.get("activation") in (None, *case.spec.activations)
            and ladder.get("cell") in (None, case.spec.cell)
        )

    def drawn(self, case: Case) -> bool:
        """Whether a case is drawn, and this entry speaks of such."""
        return self.ladder is not None and "drawn" in self.ladder and is_drawn(case.name)

    def covers(self, tensor: str, case: Case) -> bool:
        """Whether it speaks of this tensor of such a case."""
        return self.ladder is not None and (
            self.drawn(case) or _one_of(tensor, self.ladder["tensors"])
        )

    @property
    def judged_as(self) -> str:
        """The dtype whose bounds say what it excuses; empty if a margin does."""
        return "" if self.ladder is None else self.ladder.get("judged_as", "")

    def excuses(self, comparison: Comparison, case: Case, judged: Comparison | None = None) -> bool:
        """Whether a comparison fails within the margin. NaN and missing tensors never do, nor does
        an option that is ignored: it fails because its error is too small.

        judged: the same tensor in the dtype ``judged_as``; without it nothing is excused there"""
        ladder = self.ladder
        if ladder is None or not comparison.bound < comparison.error < math.inf:
            return False
        if self.judged_as:
            return judged is not None and judged.passed and judged.tensor == comparison.tensor
        margin = ladder["drawn" if self.drawn(case) else "margin"]
        return comparison.error <= margin and not (
            comparison.ratio > ladder.get("floors", math.inf)  # NaN: it has no floor
        )

    def excuses_run(
        self, implementation: str, device: str, numerics: str, ensemble: str, strain: float
    ) -> bool:
        """Whether a training run may leave the early envelope of an ensemble so far."""
        training = self.fields.get("training")
        return (
            training is not None
            and _one_of(implementation, training["implementation"])
            and (device, numerics) == (training["device"], training["numerics"])
            and fnmatch.fnmatchcase(ensemble, training["ensembles"])
            and strain <= training["strain"]
        )

    @property
    def stale(self) -> bool:
        """It applies to what was judged, and nothing deviates there any more."""
        return self.applied > 0 and self.excused == 0


def _one_of(name: str, patterns: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split())


def unexcused(
    row: Row,
    case: Case,
    comparisons: list[Comparison],
    deviations: Sequence[Deviation],
    judged_as: JudgedAs,
) -> tuple[list[Comparison], list[str]]:
    """The failures that no declared deviation covers, and the ids of those that cover the rest.

    judged_as: the comparisons by tensor, in another dtype's bounds"""

    def excuses(deviation: Deviation, comparison: Comparison) -> bool:
        named = deviation.judged_as
        judged = judged_as(named).get(comparison.tensor) if named else None
        return deviation.excuses(comparison, case, judged)

    ours = [d for d in deviations if d.applies_to(*row, case)]
    left: list[Comparison] = []
    used: list[str] = []
    for comparison in comparisons:
        covering = [d for d in ours if d.covers(comparison.tensor, case)]
        for deviation in covering:
            deviation.applied += not deviation.drawn(case)
        excusing = [d for d in covering if not comparison.passed and excuses(d, comparison)]
        for deviation in excusing:
            deviation.excused += not deviation.drawn(case)
            used.append(deviation.id)
        if not comparison.passed and not excusing:
            left.append(comparison)
    return left, list(dict.fromkeys(used))


def load_deviations(path: Path = PATH) -> list[Deviation]:
    """Read and check the file."""
    text = read_text(path, "a TOML file", LARGEST_JSON)
    return [Deviation(dict(entry)) for entry in _entries(text, path)]


@functools.lru_cache(4)
def _entries(text: str, path: Path) -> list[dict[str, Any]]:
    """Of a text, which many ask for and nobody changes."""
    tables = parse_toml(text, path)
    entries = tables.get("deviation", [])
    check_shape(entries, [dict], path, "deviation")
    for entry in entries:
        name = entry.get("id", "an entry without id")
        if missing := [key for key in FIELDS if not entry.get(key)]:
            raise BadInput(path, name, f"the fields {', '.join(missing)}", "none of that name")
        if missing := [
            key for key in LADDER_FIELDS if key not in entry.get("ladder", LADDER_FIELDS)
        ]:
            raise BadInput(path, f"{name}: ladder", f"the fields {', '.join(missing)}", "none")
        check_shape(entry, dict.fromkeys((*FIELDS, "device?"), str), path, name)
        if "ladder" in entry:
            check_shape(entry["ladder"], LADDER_SHAPE, path, f"{name}: ladder", exactly=True)
            _check_margin(entry["ladder"], path, f"{name}: ladder")
        if "training" in entry:
            check_shape(entry["training"], TRAINING_SHAPE, path, f"{name}: training", exactly=True)
    return entries


def _check_margin(ladder: dict[str, Any], path: Path, where: str) -> None:
    """One thing says how much is excused."""
    if len(found := [field for field in MARGINS if field in ladder]) != 1:
        both = " and ".join(found) or "none"
        raise BadInput(path, where, f"one of {', '.join(MARGINS)}", both)
    if "judged_as" in ladder and (
        ladder["judged_as"] not in DTYPES or "floors" in ladder or "drawn" in ladder
    ):
        expected = f"judged_as one of {', '.join(DTYPES)}, and neither floors nor drawn"
        raise BadInput(path, where, expected, ladder["judged_as"])
