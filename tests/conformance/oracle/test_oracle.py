"""The oracle against two things that share no code with it: the reference, and differences."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import backends.numpy
import conformance.oracle.equations
import conformance.oracle.tape
from common.parameters import parameter_shapes
from common.recipe import Recipe
from common.spec import ACTIVATIONS, ModelSpec
from conformance.cases.table import Case, Material, random_case
from conformance.closeness.compare import relative_error
from conformance.oracle.equations import expected, run
from conformance.worker.ladder import answer
from tests.conformance.helpers import curated, numbers

CASES = (
    "rnn-tanh-relu-sigmoid-identity",
    "rnn-relu-L4",
    "gru-before-L4",
    "gru-after-L4",
    "lstm-L4",
    "gru-after-zero-state",
    "gru-before-one-step-zero-state",
    "lstm-batch-1",
    "lstm-long",
    "lstm-unclipped",
    "gru-before-one-unit",
    "text-gru-after",
)
DIFFERENTIATED = {
    "rnn": ModelSpec("rnn", 3, 2, 4, 4, activations=ACTIVATIONS),
    "gru before": ModelSpec("gru", 3, 2, 4, 2, reset="before"),
    "gru after": ModelSpec("gru", 3, 2, 4, 2, reset="after"),
    "lstm": ModelSpec("lstm", 3, 2, 4, 2),
}


def assert_reference_agrees(case: Case) -> None:
    given = numbers(case)
    reference = backends.numpy.implementation("equations", "cpu", "float64")
    with threadpool_limits(1):  # as the judge does
        wanted, got = expected(case, given), answer(reference, case, given)
    assert set(got) == set(wanted)
    for tensor, array in wanted.items():
        assert got[tensor].shape == array.shape, tensor
        assert got[tensor].dtype == array.dtype == np.float64, tensor
        if not array.any():
            assert not got[tensor].any(), tensor
            continue
        error = relative_error(got[tensor], array)
        assert error <= 1e-13, f"{case.name} {tensor}: {error:g}"


@pytest.mark.parametrize("name", CASES)
def test_the_reference_agrees_with_the_oracle(name):
    assert_reference_agrees(curated(name))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), index=st.integers(0, 10**6))
def test_the_reference_agrees_with_the_oracle_on_generated_cases(seed, index):
    assert_reference_agrees(random_case(seed, index))


def small(name: str) -> tuple[ModelSpec, Material]:
    case = Case(f"differences-{name}", DIFFERENTIATED[name], n=2, T=3, K=1)
    return case.spec, numbers(case)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_every_gradient_is_what_central_differences_give(name):
    spec, given = small(name)
    arrays = dict(given.params) | {"X": given.X[0]}
    arrays |= {f"{part}0": array for part, array in given.state.items()}

    def loss() -> float:
        state = {part: arrays[f"{part}0"] for part in given.state}
        params = {parameter: arrays[parameter] for parameter in given.params}
        return float(run(spec, params, arrays["X"], given.Y[0], state).loss)

    gradients = run(spec, given.params, given.X[0], given.Y[0], given.state).gradients
    assert set(gradients) == set(arrays)
    for tensor, array in arrays.items():
        assert gradients[tensor].shape == array.shape
        for index in np.ndindex(array.shape):
            middle, h = array[index], 1e-5
            array[index] = middle + h
            above = loss()
            array[index] = middle - h
            below = loss()
            array[index] = middle
            difference = (above - below) / (2 * h)
            assert gradients[tensor][index] == pytest.approx(difference, abs=2e-10), tensor


def test_the_loss_is_the_mean_over_steps_and_examples():
    spec, given = small("lstm")
    found = run(spec, given.params, given.X[0], given.Y[0], given.state)
    logits = found.O.reshape(-1, spec.q)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chosen = probabilities[np.arange(len(logits)), given.Y[0].ravel()]
    assert found.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-14)


def test_large_logits_overflow_neither_the_loss_nor_its_gradients():
    spec, given = small("lstm")
    given.params["output.b_q"][0] = 1e4
    found = run(spec, given.params, given.X[0], given.Y[0], given.state)
    assert np.isfinite(found.loss) and found.loss > 1e3
    assert all(np.isfinite(array).all() for array in found.gradients.values())


@pytest.mark.parametrize("clip", [0.01, 1e3])
def test_gradients_are_clipped_to_the_norm_only_if_theirs_is_larger(clip):
    case = Case("clip", DIFFERENTIATED["lstm"], recipe=Recipe(learning_rate=0.5, clip=clip))
    answers = expected(case, numbers(case))
    raw = {name: answers[f"gradients/{name}"] for name in parameter_shapes(case.spec)}
    norm = np.sqrt(sum(np.sum(array**2) for array in raw.values()))
    assert answers["clip/norm"] == pytest.approx(norm, rel=1e-14)
    factor = min(1.0, clip / norm)
    assert (factor < 1) == (clip < 1)
    for name, array in raw.items():
        assert relative_error(answers[f"clip/{name}"], array * factor) < 1e-14
        moved = answers[f"weights/{name}"] - 0.5 * factor * array
        assert relative_error(answers[f"step-1/{name}"], moved) < 1e-14


@pytest.mark.parametrize("name", ["rnn-tanh-relu-sigmoid-identity", "gru-before-L2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tensor_stays_in_the_dtype_that_was_asked_for(name, dtype):
    case = curated(name)
    answers = expected(case, numbers(case), dtype)
    assert {tensor: array.dtype for tensor, array in answers.items()} == dict.fromkeys(
        answers, np.dtype(dtype)
    )


@pytest.mark.parametrize("name", ["gru-after-L3", "lstm-L3"])
def test_the_oracle_in_float32_is_not_the_oracle_in_float64(name):
    case = curated(name)
    single, double = expected(case, numbers(case), "float32"), expected(case, numbers(case))
    errors = [relative_error(single[tensor], double[tensor]) for tensor in double]
    assert 1e-8 < max(errors) < 1e-5


def test_the_oracle_does_not_change_what_it_is_given():
    case = curated("lstm-L2")
    given = numbers(case)
    before = given.digest()
    expected(case, given)
    assert given.digest() == before


def test_the_oracle_imports_nothing_of_what_it_judges():
    files = (conformance.oracle.equations, conformance.oracle.tape)
    tree = ast.parse("".join(Path(f.__file__).read_text(encoding="utf-8") for f in files))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module)
    allowed = {"__future__", "collections.abc", "contextlib", "dataclasses", "typing", "numpy"}
    allowed |= {"conformance.cases.table", "conformance.oracle.tape"}
    given = {"common.dropout", "common.parameters", "common.recipe", "common.spec"}
    assert imported <= allowed | given
