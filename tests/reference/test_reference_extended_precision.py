"""How far float64 is from the truth: the same computation with 64 or more bits of mantissa."""

import functools

import numpy as np
import pytest

from backends.numpy import Model
from common.spec import ModelSpec
from tests.reference import twin
from tests.reference.cases import CASES, Case, disagreement

pytestmark = [
    pytest.mark.once,  # longdouble is the machine's
    pytest.mark.skipif(
        np.finfo(np.longdouble).eps > 2e-19,
        reason="NumPy's longdouble is no more precise than float64 on this machine",
    ),
]

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def run(case, dtype):
    """O, the trace and every gradient by the NumPy reference, and the loss."""
    params, (X, Y, state) = case.parameters(), case.data()
    model = Model(case.spec, params, dtype)
    forward, backward = model.forward(X, state), model.loss_and_gradients(X, Y, state)
    trace = {f"{part} trace": array for part, array in forward.trace.items()}
    return {"O": forward.outputs} | trace, backward.gradients, backward.loss


@functools.cache
def run_twin(case):
    """The same by the slow twin, in longdouble."""
    params = {name: array.astype("longdouble") for name, array in case.parameters().items()}
    X, Y, state = case.data()
    X, state = X.astype("longdouble"), {p: a.astype("longdouble") for p, a in state.items()}
    O, _, trace = twin.forward(case.spec, params, X, state)
    loss, gradients = twin.loss_and_gradients(case.spec, params, X, Y, state)
    return {"O": O} | {f"{part} trace": array for part, array in trace.items()}, gradients, loss


@every_case
def test_float64_is_a_few_roundings_from_the_twin_in_extended_precision(case):
    outputs, gradients, loss = run(case, "float64")
    true_outputs, true_gradients, true_loss = run_twin(case)
    assert {array.dtype for array in true_gradients.values()} == {np.dtype("longdouble")}
    assert disagreement(outputs, true_outputs) <= 2e-15
    assert disagreement(gradients, true_gradients) <= 5e-15
    assert abs(loss - true_loss) <= 2e-15 * true_loss


@every_case
def test_the_reference_and_the_twin_agree_far_more_closely_when_both_are_extended(case):
    outputs, gradients, _ = run(case, "longdouble")
    true_outputs, true_gradients, _ = run_twin(case)
    assert {array.dtype for array in gradients.values()} == {np.dtype("longdouble")}
    assert disagreement(outputs, true_outputs) <= 2e-18
    assert disagreement(gradients, true_gradients) <= 1e-17


LONG = {
    "rnn": ModelSpec("rnn", 28, 48, 27, 2, ("tanh", "sigmoid")),
    "gru-before": ModelSpec("gru", 28, 48, 27, 2, reset="before"),
    "gru-after": ModelSpec("gru", 28, 48, 27, 2, reset="after"),
    "lstm": ModelSpec("lstm", 28, 48, 27, 2),
}


@pytest.mark.parametrize("spec", LONG.values(), ids=LONG.keys())
def test_float64_stays_accurate_over_35_steps(spec):
    case = Case(spec, T=35, n=4)
    outputs, gradients, loss = run(case, "float64")
    true_outputs, true_gradients, true_loss = run(case, "longdouble")
    assert disagreement(outputs, true_outputs) <= 5e-15
    assert disagreement(gradients, true_gradients) <= 5e-15
    assert abs(loss - true_loss) <= 2e-15 * true_loss
