"""The scalar functions of a backend, at a cheap setting, against what is declared of them."""

import pytest

from conformance.limits.atlas import load_bounds, problems, survey

BITS = {"float32": 16, "float64": 13}
"""65,000 numbers, where the stored atlas has 4 million, and 8,000 of a million."""


@pytest.fixture(params=BITS)
def surveyed(request, backend):
    dtype = request.param
    functions = backend.scalars("cpu", dtype)
    return {name: survey(name, f, dtype, BITS[dtype]) for name, f in functions.items()}


def test_every_scalar_function_keeps_to_its_bounds(surveyed, backend_name):
    rows = [finding.to_json() for finding, _ in surveyed.values()]
    assert {row["function"] for row in rows} >= {"tanh", "sigmoid", "exp", "log_softmax"}
    assert problems(rows, backend_name, "cpu", load_bounds()) == []


def test_what_a_net_has_instead_needs_no_exception(surveyed, backend_name):
    own = [f.to_json() for name, (f, _) in surveyed.items() if name.startswith("net_")]
    bounds = load_bounds() | {"exception": []}
    assert problems(own, backend_name, "cpu", bounds) == []
