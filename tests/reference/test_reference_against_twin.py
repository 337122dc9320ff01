"""backends/numpy in float64 computes what the slow twin computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.numpy import Model
from common.parameters import layer_parameters
from common.recipe import Recipe
from common.spec import ACTIVATIONS, ModelSpec
from tests.reference import twin
from tests.reference.cases import CASES, DROPOUT, LENGTHS, Case, disagreement

BOUND = 1e-13

ALL = CASES | LENGTHS | DROPOUT
every_case = pytest.mark.parametrize("case", ALL.values(), ids=ALL.keys())


def outputs_and_states(result):
    """O, the last state and the trace under one roof."""
    outputs, last, trace = result
    states = {f"{part} last": array for part, array in last.items()}
    return {"O": outputs} | states | {f"{part} trace": array for part, array in trace.items()}


def assert_forward_agrees(case, may_vanish=False):
    params, (X, _, state) = case.parameters(), case.data()
    more = list(case.lengths) or None, case.dropout()
    found = Model(case.spec, params, "float64").forward(X, state, *more)
    found = outputs_and_states((found.outputs, found.state, found.trace))
    expected = outputs_and_states(twin.forward(case.spec, params, X, state, *more))
    assert disagreement(found, expected, may_vanish) <= BOUND


def assert_gradients_agree(case, may_vanish=False):
    params, (X, Y, state) = case.parameters(), case.data()
    more = list(case.lengths) or None, case.dropout()
    found = Model(case.spec, params, "float64").loss_and_gradients(X, Y, state, *more)
    loss, expected = twin.loss_and_gradients(case.spec, params, X, Y, state, *more)
    assert abs(found.loss - loss) <= BOUND * loss
    assert disagreement(found.gradients, expected, may_vanish) <= BOUND


@every_case
def test_outputs_and_all_states_agree(case):
    assert_forward_agrees(case)


@pytest.mark.once
@every_case
def test_the_loss_and_every_gradient_agree(case):
    assert_gradients_agree(case)


@pytest.mark.parametrize("theta, clips", [(0.05, True), (100.0, False)], ids=["clipped", "free"])
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.spec.L in (1, 3)])
def test_three_training_steps_with_carried_state_agree(name, theta, clips):
    case, rate = CASES[name], 0.3
    params, (_, _, state) = case.parameters(), case.data()
    minibatches = [case.data(seed)[:2] for seed in (3, 4, 5)]
    trainer = Model(case.spec, params, "float64").trainer(Recipe(rate, theta), state)
    expected = twin.train(case.spec, params, minibatches, state, rate, theta)
    for (X, Y), (loss, norm, gradients, moved) in zip(minibatches, expected, strict=True):
        step = trainer.step(X, Y)
        assert (norm > theta) == clips
        assert abs(step.loss - loss) <= BOUND * loss
        assert abs(step.norm - norm) <= BOUND * norm
        assert disagreement(trainer.gradients(), gradients) <= BOUND
        assert disagreement(trainer.parameters(), moved) <= BOUND
    assert disagreement(moved, params) > 1e-4  # the steps did go somewhere


@pytest.mark.parametrize("name", ["rnn-tanh-relu", "gru-before-L2", "gru-after-L2", "lstm-L2"])
def test_the_second_step_depends_on_the_carried_state(name):
    """Otherwise the test above would not notice a state that is dropped."""
    case = CASES[name]
    params, (_, _, state) = case.parameters(), case.data()
    minibatches = [case.data(seed)[:2] for seed in (3, 4)]
    carried = [loss for loss, *_ in twin.train(case.spec, params, minibatches, state, 0.7, 0.05)]
    first, (X, Y) = (
        next(twin.train(case.spec, params, minibatches, state, 0.7, 0.05)),
        minibatches[1],
    )
    dropped, _ = twin.loss_and_gradients(case.spec, first[3], X, Y, state)
    assert abs(carried[1] - dropped) > 1e-4


def test_the_slope_of_relu_at_zero_is_zero():
    case = Case(ModelSpec("rnn", 3, 5, 7, 1, ("relu",)), zero=True)
    params, (X, Y, state) = case.parameters(), case.data()
    # With neither weights nor a bias every pre-activation is exactly 0.
    for name in layer_parameters(params, 1):
        params[f"layer1.{name}"] = np.zeros_like(params[f"layer1.{name}"])
    found = Model(case.spec, params, "float64").loss_and_gradients(X, Y, state).gradients
    _, expected = twin.loss_and_gradients(case.spec, params, X, Y, state)
    for gradients in (found, expected):
        assert not gradients["layer1.W_xh"].any() and not gradients["layer1.b_h"].any()
        assert gradients["output.b_q"].any()
    params["layer1.b_h"] += 1e-9
    above = Model(case.spec, params, "float64").loss_and_gradients(X, Y, state).gradients
    assert above["layer1.b_h"].any()


@st.composite
def small_cases(draw):
    sizes = {name: draw(st.integers(1, 4)) for name in "dhq"}
    L = draw(st.integers(1, 3))
    cell = draw(st.sampled_from(["rnn", "gru", "lstm"]))
    phis = st.lists(st.sampled_from(ACTIVATIONS), min_size=L, max_size=L)
    spec = ModelSpec(
        cell,
        **sizes,
        L=L,
        activations=tuple(draw(phis)) if cell == "rnn" else (),
        reset=draw(st.sampled_from(["before", "after"])) if cell == "gru" else None,
    )
    return Case(
        spec, T=draw(st.integers(1, 4)), n=draw(st.integers(1, 3)), zero=draw(st.booleans())
    )


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(small_cases())
def test_any_small_model_agrees(case):
    assert_forward_agrees(case, may_vanish=True)
    if case.spec.q > 1:  # the loss of a single class is 0 whatever the model
        assert_gradients_agree(case, may_vanish=True)


@pytest.mark.parametrize("name", ["rnn-tanh-relu", "gru-before-L2", "gru-after-L2", "lstm-L2"])
def test_the_comparison_notices_a_wrong_number_in_any_tensor(name):
    case = CASES[name]
    params, (X, Y, state) = case.parameters(), case.data()
    _, right = twin.loss_and_gradients(case.spec, params, X, Y, state)
    for tensor, array in right.items():
        for wrong in (1.001 * array, array + 1e-9 * np.abs(array).max(), array * np.nan):
            assert not disagreement(right | {tensor: wrong}, right) <= BOUND


def test_the_two_kinds_of_gru_are_different_functions():
    """A twin that ignored ``reset`` would still have to fail somewhere."""
    before, after = CASES["gru-before-L2"], CASES["gru-after-L2"]
    params, (X, _, state) = before.parameters(), before.data()
    O, _, _ = twin.forward(before.spec, params, X, state)
    for layer in ("layer1", "layer2"):
        params[f"{layer}.b_xh"] = params.pop(f"{layer}.b_h")
        params[f"{layer}.b_hh"] = np.zeros_like(params[f"{layer}.b_xh"])
    O_after, _, _ = twin.forward(after.spec, params, X, state)
    assert np.abs(O - O_after).max() > 1e-3
