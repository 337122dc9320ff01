"""The matrix says of this backend what it says itself (conformance/judge/required)."""

import random

from backends.registry import Backend
from common.spec import ACTIVATIONS, ModelSpec
from common.storage.files import read_json
from conformance.cases.given import Given
from conformance.cases.invariances import invariances
from conformance.cases.table import CURATED, TEXT_CASES, material, random_case, text_case
from conformance.check_backend import claims
from conformance.judge.required import load_matrix


def test_the_matrix_is_what_the_backend_says_of_itself(backend_name: str) -> None:
    required = load_matrix()[backend_name]
    assert claims(backend_name) == read_json(required.path)


def test_cell_reset_and_activations_decide_whether_it_can(
    backend: Backend, backend_name: str, implementation: str, dtype: str, sample: Given
) -> None:
    """Of every case, of their changed questions, and of many generated specs."""
    made = backend.implementation(implementation, "cpu", dtype)
    required = load_matrix()[backend_name]
    draw = random.Random(1)
    specs = [case.spec for case in CURATED]
    specs += [text_case(family, sample.corpus.q).spec for family in TEXT_CASES]
    specs += [random_case(5, index).spec for index in range(200)]
    for case in (case for case in CURATED if case.invariances):
        changed = invariances(case, material(case, sample.corpus))
        specs += [i.spec for i in changed if i.spec is not None]
    for L in (1, 2, 3, 5):
        mixed = [tuple(draw.choices(ACTIVATIONS, k=L)) for _ in range(20)]
        specs += [ModelSpec("rnn", 3, 4, 2, L, activations) for activations in mixed]
    assert len(specs) > 400
    for spec in specs:
        assert (made.unsupported(spec) is None) == required.can(implementation, spec), spec
