"""backends/numpy in float32 stays in float32, and near what it computes in float64."""

import numpy as np
import pytest

from backends.numpy import Model
from common.recipe import Recipe
from tests.reference.cases import CASES, disagreement

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def models(case):
    return [Model(case.spec, case.parameters(), dtype) for dtype in ("float32", "float64")]


def are_float32(arrays):
    return {array.dtype for array in arrays.values()} == {np.dtype("float32")}


@every_case
def test_outputs_and_states_are_near_float64(case):
    X, _, state = case.data()
    single, double = (model.forward(X, state) for model in models(case))
    assert are_float32({"O": single.outputs} | single.state)
    assert disagreement({"O": single.outputs}, {"O": double.outputs}) <= 1e-5
    assert disagreement(single.state, double.state) <= 1e-5
    assert disagreement(single.trace, double.trace) <= 1e-5


@every_case
def test_the_loss_and_gradients_are_near_float64(case):
    X, Y, state = case.data()
    single, double = (model.loss_and_gradients(X, Y, state) for model in models(case))
    assert are_float32(single.gradients)
    assert abs(single.loss - double.loss) <= 1e-5 * double.loss
    assert disagreement(single.gradients, double.gradients) <= 1e-4


@pytest.mark.parametrize("name", ["rnn-tanh-relu", "gru-before-L2", "gru-after-L2", "lstm-L2"])
def test_training_stays_in_float32_and_near_float64(name):
    case = CASES[name]
    X, Y, state = case.data()
    single, double = (model.trainer(Recipe(0.3, 0.05), state) for model in models(case))
    for _ in range(3):
        step, true_step = single.step(X, Y), double.step(X, Y)
        assert abs(step.norm - true_step.norm) <= 1e-5 * true_step.norm
    assert are_float32(single.parameters()) and are_float32(single.gradients())
    assert disagreement(single.parameters(), double.parameters()) <= 1e-5


def test_float32_and_float64_really_differ():
    """Otherwise nothing above compares two precisions."""
    case = CASES["lstm-L2"]
    X, _, state = case.data()
    single, double = (model.forward(X, state) for model in models(case))
    assert disagreement({"O": single.outputs}, {"O": double.outputs}) > 1e-9
