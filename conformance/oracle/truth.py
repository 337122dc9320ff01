"""The right answer to a case, and how far rounding alone moves it: the noise floor.

One evaluation is a lottery: in a scalar, or in a tensor of seven elements, the rounding errors may
cancel by luck, and every honest implementation then looks many times worse. So NumPy evaluates the
equations in float32 on the case's numbers, and again with every number moved by one unit in the
last place, up, down or not at all. Nothing that computes in float32 can be held to telling these
apart. Measured over 300 generated cases, 24,000 tensors of PyTorch's: with one evaluation honest
ratios reach 7.9, with these six 2.8.
"""

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from common.parameters import Arrays
from conformance.cases.given import Given
from conformance.cases.table import Case, Material, find_case, material
from conformance.closeness.compare import (
    FLOAT64_SCALE,
    load_bounds,
    multiple_of_bound,
    noise_floor,
    rung_of,
)
from conformance.oracle.equations import expected

BOUNDS = load_bounds()["cpu"]

MARGIN = 100
"""How many bounds away a mutant must be to count as killed."""


EVALUATIONS = 6
EVALUATIONS_AT_SIZE = 2
"""Of cases on text: the largest error among hundreds of thousands of elements hardly varies."""

UNIT_IN_THE_LAST_PLACE = 2.0**-23


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


def evaluations(case: Case, given: Material) -> list[Arrays]:
    """NumPy's float32 answers to a case and to its neighbours."""
    count = EVALUATIONS_AT_SIZE if case.text else EVALUATIONS
    neighbours = [neighbour(given, seed) for seed in range(1, count)]
    return [expected(case, numbers, "float32") for numbers in (given, *neighbours)]


def neighbour(given: Material, seed: int) -> Material:
    """The same material with every number moved by one unit in the last place, or not."""
    rng = np.random.RandomState(seed)

    def moved(array: np.ndarray) -> np.ndarray:
        return array * (1 + UNIT_IN_THE_LAST_PLACE * rng.randint(-1, 2, array.shape))

    return Material(
        {name: moved(array) for name, array in given.params.items()},
        moved(given.X),
        given.Y,
        {part: moved(array) for part, array in given.state.items()},
    )
