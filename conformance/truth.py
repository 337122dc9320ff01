"""The right answer to a case, and how far rounding alone moves it."""

from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from common.parameters import Arrays
from conformance.cases import Case, Material, find_case, material
from conformance.compare import (
    FLOAT64_SCALE,
    load_bounds,
    multiple_of_bound,
    noise_floor,
    rung_of,
)
from conformance.given import Given
from conformance.noise import evaluations
from conformance.oracle import expected

BOUNDS = load_bounds()["cpu"]

MARGIN = 100
"""How many bounds away a mutant must be to count as killed."""


@dataclass(frozen=True)
class Answer:
    """What is right for a case, and how far rounding alone moves each tensor in float32."""

    case: Case
    numbers: Material
    digest: str
    wanted: Arrays
    noise: dict[str, float]


def right_answer(name: str, given: Given) -> Answer:
    """The right answer to a case, out of its name and what was given beside it."""
    case = find_case(name, given)
    return answer_to(case, material(case, given.corpus))


def answer_to(case: Case, numbers: Material) -> Answer:
    """The right answer to a case with these numbers."""
    # The matrix products are small: threads gain nothing, and lose tenfold when another program
    # holds one of the cores.
    with threadpool_limits(1):
        wanted = expected(case, numbers)
        found = evaluations(case, numbers)
    noise = {t: noise_floor(a, [answers[t] for answers in found]) for t, a in wanted.items()}
    return Answer(case, numbers, numbers.digest(), wanted, noise)


def distances(got: Arrays, answer: Answer, dtype: str) -> dict[str, float]:
    """By rung, the largest error of its tensors as a multiple of their bound."""
    found: dict[str, float] = {}
    for tensor, wanted in answer.wanted.items():
        if tensor not in got:
            continue
        rung = rung_of(tensor)
        noise = answer.noise[tensor] * (FLOAT64_SCALE if dtype == "float64" else 1.0)
        multiple = multiple_of_bound(got[tensor], wanted, BOUNDS[dtype][rung], noise)
        found[rung] = max(found.get(rung, 0.0), multiple)
    return found
