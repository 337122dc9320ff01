"""The noise floor of half precision: the equations with every result rounded to the format."""

import numpy as np
import pytest

from common.corpus import load_corpus
from conformance.cases.given import Given
from conformance.cases.halves import HALVES, in_precision, rounded, unit_of
from conformance.cases.table import find_case, material
from conformance.oracle.equations import expected
from conformance.oracle.formats import EVALUATIONS, Rounded, evaluations
from conformance.oracle.truth import right_answer

GIVEN = Given(load_corpus())
CASE = find_case("lstm-L1", GIVEN)
NUMBERS = material(CASE, GIVEN.corpus)


@pytest.mark.parametrize("form", ["bfloat16", "float16"])
def test_every_result_is_a_number_of_the_format(form):
    draw = np.random.RandomState(1)
    A, B = draw.standard_normal((2, 5, 5)).astype("float32")
    a, b = Rounded(A, form), Rounded(B, form)
    exact = {"a": rounded(A, form), "b": rounded(B, form)}
    x, y = exact["a"], exact["b"]
    made = {
        "+": (a + b, x + y),
        "@": (a @ b, x @ y),
        "tanh": (np.tanh(a), np.tanh(x)),
        "sum": (a.sum(axis=0), x.sum(axis=0)),
        "1 -": (1 - a, 1 - x),
        "float": (0.3 * a, rounded(np.float32(0.3), form) * x),
        "max": (a.max(axis=1, keepdims=True), x.max(axis=1, keepdims=True)),
    }
    for name, (got, wanted) in made.items():
        assert isinstance(got, Rounded), name
        assert np.array_equal(got.data, rounded(wanted, form)), name
    stacked = np.stack([a, b])
    assert isinstance(stacked, Rounded) and np.array_equal(stacked.data, np.stack([x, y]))
    assert np.array_equal(np.asarray(np.where(A > 0, a, b)), np.where(A > 0, x, y))
    assert (a > b).dtype == bool


def test_tf32_rounds_the_factors_of_products_alone():
    A = np.random.RandomState(2).standard_normal((2, 4, 4)).astype("float32")
    a, b = Rounded(A[0], "tf32"), Rounded(A[1], "tf32")
    assert np.array_equal((a + b).data, A[0] + A[1])
    assert np.array_equal((a @ b).data, rounded(A[0], "tf32") @ rounded(A[1], "tf32"))
    draw = np.random.RandomState(3)
    either = Rounded(A[0], "tf32", draw).factor(A[0])
    assert np.array_equal(rounded(either, "tf32"), either)
    share = np.mean(either != rounded(A[0], "tf32"))
    assert 0 < share < 1 and np.abs(either / A[0] - 1).max() < 2.0**-10


@pytest.mark.parametrize("tier", HALVES)
def test_a_floor_is_at_least_one_rounding_and_far_above_float32_s(tier):
    answer, float32 = right_answer("lstm-L1", GIVEN, tier), right_answer("lstm-L1", GIVEN)
    assert answer.digest == float32.digest  # of what was asked
    assert set(answer.noise) == set(float32.noise)
    outputs = [name for name in answer.noise if name.startswith(("forward", "gradients"))]
    for name in outputs:
        assert answer.noise[name] >= unit_of(tier)
        assert answer.noise[name] > 100 * float32.noise[name]
    wanted = expected(CASE, in_precision(NUMBERS, tier))
    assert all(np.array_equal(wanted[name], answer.wanted[name]) for name in wanted)


def test_an_evaluation_is_no_more_than_its_neighbours_are():
    """One evaluation alone would be a lottery: some tensor of it is right by luck."""
    found = evaluations(CASE, NUMBERS, "float16")
    assert len(found) == EVALUATIONS
    wanted = expected(CASE, in_precision(NUMBERS, "float16"))
    errors = {
        name: [float(np.abs(each[name] - a).max() / np.abs(a).max()) for each in found]
        for name, a in wanted.items()
        if name.startswith("gradients")
    }
    assert max(max(e) / max(min(e), 1e-9) for e in errors.values()) > 4
    assert evaluations(CASE, NUMBERS, "float16") is found
    assert evaluations(CASE, NUMBERS, "bfloat16") is evaluations(CASE, NUMBERS, "mixed")
