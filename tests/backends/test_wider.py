"""Layers of different sizes and a projection: every implementation against the oracle."""

import numpy as np
import pytest

from backends.registry import load
from common.parameters import only_own
from common.spec import ModelSpec
from conformance.oracle.equations import run
from tests.reference.cases import Case, disagreement

BOUND = 1e-13
SPECS = {
    "projected": ModelSpec("lstm", 3, 8, 7, 2, p=5),
    "projected-both": ModelSpec("lstm", 3, 8, 7, 2, directions=2, sizes=(5, 8), p=4),
    "uneven-lstm": ModelSpec("lstm", 3, 8, 7, 3, sizes=(5, 8, 4)),
    "uneven-gru-before": ModelSpec("gru", 3, 8, 7, 2, reset="before", sizes=(8, 5)),
    "uneven-gru-after": ModelSpec("gru", 3, 8, 7, 2, (), "after", 2, (5, 8)),
    "uneven-rnn": ModelSpec("rnn", 3, 8, 7, 2, ("tanh", "tanh"), sizes=(8, 5)),
}


@pytest.mark.parametrize("lengths", [None, (6, 2, 5)], ids=["whole", "lengths"])
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", ["equations", "layers"])
def test_outputs_states_and_gradients_are_the_oracles(kind, name, lengths, backend_name):
    backend = load(backend_name)
    if kind not in backend.IMPLEMENTATIONS:
        pytest.skip(f"{backend_name} has no {kind}")
    spec, made = SPECS[name], backend.implementation(kind, "cpu", "float64")
    given = () if lengths is None else (np.array(lengths),)
    if why := made.unsupported(spec, *(bool(g.size) for g in given)):
        pytest.skip(f"unsupported: {why}")
    case = Case(spec, n=3)
    params, (X, Y, state) = case.parameters(), case.data()
    model, right = made.model(spec, params), run(spec, params, X, Y, state, *given)
    for tensor, array in model.parameters().items():
        assert np.array_equal(array, params[tensor]), tensor
    found, gradients = (
        model.forward(X, state, *given),
        model.loss_and_gradients(X, Y, state, *given),
    )
    last = {"O": found.outputs, **found.state}
    assert disagreement(last, {"O": right.O, **right.state}) < BOUND
    assert disagreement(found.trace, right.trace) < BOUND
    assert disagreement(gradients.gradients, right.gradients) < BOUND
    assert abs(gradients.loss - right.loss) < BOUND


@pytest.mark.parametrize("name", ["projected", "uneven-lstm"])
def test_what_is_behind_a_smaller_layers_numbers_is_not_read_and_given_back_as_zeros(
    name, backend_name
):
    spec = SPECS[name]
    case = Case(spec, n=3)
    params, (X, Y, state) = case.parameters(), case.data()
    behind = {
        part: np.where(only_own(spec, {part: a})[part] == 0, 9.0, a) for part, a in state.items()
    }
    model = load(backend_name).implementation("equations", "cpu", "float64").model(spec, params)
    clean, other = model.forward(X, state), model.forward(X, behind)
    assert np.array_equal(clean.outputs, other.outputs)
    for part, array in other.state.items():
        assert np.array_equal(array, only_own(spec, {part: array})[part]), part
        assert np.array_equal(array, clean.state[part]), part
    gradients = model.loss_and_gradients(X, Y, behind).gradients
    for part in spec.states:
        assert np.array_equal(
            gradients[f"{part}0"], only_own(spec, {part: gradients[f"{part}0"]})[part]
        )
