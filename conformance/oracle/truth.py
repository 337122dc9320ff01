"""The right answer to a case, and how far rounding alone moves it: the noise floor.

One evaluation is a lottery: in a scalar, or in a tensor of seven elements, the rounding errors may
cancel by luck, and every honest implementation then looks many times worse. So NumPy evaluates the
equations in float32 on the case's numbers, and again with every number moved by one unit in the
last place, up, down or not at all. Nothing that computes in float32 can be held to telling these
apart. Measured over 300 generated cases, 24,000 tensors of PyTorch's: with one evaluation honest
ratios reach 7.9, with these six 2.8. Half precision has floors of its own (formats.py).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from common.parameters import Arrays
from conformance.cases.given import Given
from conformance.cases.halves import in_precision, unit_of
from conformance.cases.table import DTYPES, Case, Material, find_case, material
from conformance.closeness.compare import (
    FLOAT64_SCALE,
    Bound,
    load_bounds,
    noise_floor,
    rung_of,
)
from conformance.closeness.elements import multiple_in_regime
from conformance.oracle import formats
from conformance.oracle.equations import expected
from conformance.oracle.precise import precisely
from conformance.oracle.rounding import allowances

_BOUNDS = load_bounds()
BOUNDS = _BOUNDS["gpu"] | _BOUNDS["cpu"]
"""Of a CPU; TF32 is a GPU's alone."""

MARGIN = 100
"""How many bounds away a mutant must be to count as killed."""


EVALUATIONS, LARGE = 6, 10**5
EVALUATIONS_AT_SIZE = 2
"""Of cases on text, and of their size: the largest error among hundreds of thousands of elements
hardly varies."""

UNIT_IN_THE_LAST_PLACE = 2.0**-23

UNCHECKED: dict[str, Any] = {"all": "ignore"}
"""Of NumPy's warnings: cases in a regime underflow, overflow and hold NaN on purpose."""


@dataclass(frozen=True)
class Answer:
    """What is right for a case, and how far rounding alone moves each tensor in float32, or in the
    tier of half precision that it was asked for.

    allowed: by dtype, how far it may move each element, where the case is judged by element
    """

    case: Case
    numbers: Material
    digest: str
    wanted: Arrays
    noise: dict[str, float]
    allowed: dict[str, Arrays] = field(default_factory=dict)

    def multiple(self, tensor: str, got: np.ndarray, bound: Bound, dtype: str) -> float:
        """How many times its bound an error is, by the rules of this case."""
        noise = self.noise[tensor] * (FLOAT64_SCALE if dtype == "float64" else 1.0)
        allowed = self.allowance(tensor, dtype)
        return multiple_in_regime(
            got, self.wanted[tensor], bound, noise, allowed, self.case.undefined
        )

    def allowance(self, tensor: str, dtype: str) -> np.ndarray | None:
        """What rounding may do to each element, where a case is judged so."""
        return None if tensor.startswith("weights/") else self.allowed.get(dtype, {}).get(tensor)


def right_answer(name: str, given: Given, tier: str = "") -> Answer:
    """The right answer to a case, out of its name and what was given beside it.

    tier: of half precision, whose numbers and whose noise floor it is to have"""
    case = find_case(name, given)
    return answer_to(case, material(case, given.corpus), tier)


def answer_to(case: Case, numbers: Material, tier: str = "") -> Answer:
    """The right answer to a case with these numbers."""
    digest = numbers.digest()  # of what is asked, whatever a tier makes of it
    # The matrix products are small: threads gain nothing, and lose tenfold when another program
    # holds one of the cores.
    with threadpool_limits(1), np.errstate(**UNCHECKED if case.regimes else {}):
        if tier:
            return _in_tier(case, numbers, digest, tier)
        wanted = precisely(case, numbers) if case.elementwise else expected(case, numbers)
        found = evaluations(case, numbers)
    noise = {t: noise_floor(a, [answers[t] for answers in found]) for t, a in wanted.items()}
    each = DTYPES if case.elementwise else ()
    allowed = {dtype: allowances(case, numbers, dtype) for dtype in each}
    return Answer(case, numbers, digest, wanted, noise, allowed)


def _in_tier(case: Case, given: Material, digest: str, tier: str) -> Answer:
    numbers = in_precision(given, tier)
    wanted, found = expected(case, numbers), formats.evaluations(case, given, tier)
    least = unit_of(tier)
    noise = {t: noise_floor(a, [answers[t] for answers in found], least) for t, a in wanted.items()}
    return Answer(case, numbers, digest, wanted, noise)


def distances(got: Arrays, answer: Answer, dtype: str) -> dict[str, float]:
    """By rung, the largest error of its tensors as a multiple of their bound."""
    found: dict[str, float] = {}
    for tensor in answer.wanted:
        if tensor not in got:
            continue
        rung = rung_of(tensor)
        multiple = answer.multiple(tensor, got[tensor], BOUNDS[dtype][rung], dtype)
        found[rung] = max(found.get(rung, 0.0), multiple)
    return found


def evaluations(case: Case, given: Material) -> list[Arrays]:
    """NumPy's float32 answers to a case and to its neighbours."""
    count = EVALUATIONS_AT_SIZE if case.text or case.size >= LARGE else EVALUATIONS
    moved = [formats.neighbour(given, UNIT_IN_THE_LAST_PLACE, seed) for seed in range(1, count)]
    return [expected(case, numbers, "float32") for numbers in (given, *moved)]
