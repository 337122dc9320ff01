"""Layers of different sizes, a projection, dropout, peepholes, clipped gates: every implementation
against the oracle."""

import numpy as np
import pytest

from backends.registry import load
from common.dropout import Dropout, mask_shape
from common.errors import BadInput
from common.parameters import only_own
from common.spec import ModelSpec
from conformance.cases.case import CLIPPED
from conformance.oracle.equations import run
from tests.backends.made import made_by
from tests.reference.cases import Case, disagreement

BOUND = 1e-13
SPECS = {
    "projected": ModelSpec("lstm", 3, 8, 7, 2, p=5),
    "projected-both": ModelSpec("lstm", 3, 8, 7, 2, directions=2, sizes=(5, 8), p=4),
    "uneven-lstm": ModelSpec("lstm", 3, 8, 7, 3, sizes=(5, 8, 4)),
    "uneven-gru-before": ModelSpec("gru", 3, 8, 7, 2, reset="before", sizes=(8, 5)),
    "uneven-gru-after": ModelSpec("gru", 3, 8, 7, 2, (), "after", 2, (5, 8)),
    "peepholes": ModelSpec("lstm", 3, 5, 7, 2, peepholes=True),
    "clipped": ModelSpec("lstm", 3, 5, 7, 2, directions=2, gate_clip=0.3),
    "peepholes-clipped": ModelSpec("lstm", 3, 8, 7, 2, p=4, peepholes=True, gate_clip=0.3),
    "uneven-rnn": ModelSpec("rnn", 3, 8, 7, 2, ("tanh", "tanh"), sizes=(8, 5)),
}


WHOLE, LENGTHS, RATE = None, np.array((6, 2, 5)), 0.3
GIVEN = {"whole": (), "lengths": (LENGTHS,), "dropout": (WHOLE, RATE), "both": (LENGTHS, RATE)}


def dropout_of(spec: ModelSpec, *more) -> tuple:
    """Lengths, and what is dropped at the rate that is said."""
    if len(more) < 2:
        return more
    return more[0], Case(spec, n=3, rate=more[1]).dropout()


@pytest.mark.parametrize("what", GIVEN)
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", ["equations", "layers"])
def test_outputs_states_and_gradients_are_the_oracles(kind, name, what, backend_name):
    backend = load(backend_name)
    if kind not in backend.IMPLEMENTATIONS:
        pytest.skip(f"{backend_name} has no {kind}")
    spec, made = SPECS[name], made_by(backend_name, kind)
    given = dropout_of(spec, *GIVEN[what])
    if why := made.unsupported(spec, *(one is not None for one in given)):
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


@pytest.mark.parametrize("name", ["projected-both", "uneven-gru-after"])
@pytest.mark.parametrize("kind", ["equations", "layers"])
def test_a_rate_of_zero_is_no_dropout_bit_for_bit_and_a_mask_of_zeros_hides_x(
    kind, name, backend_name
):
    backend = load(backend_name)
    if kind not in backend.IMPLEMENTATIONS:
        pytest.skip(f"{backend_name} has no {kind}")
    spec, made = SPECS[name], made_by(backend_name, kind)
    if why := made.unsupported(spec, False, True):
        pytest.skip(f"unsupported: {why}")
    case = Case(spec, n=3)
    params, (X, _, state) = case.parameters(), case.data()
    model, shape = made.model(spec, params), mask_shape(spec, 3, case.T)
    evaluated, _ = model.outputs(X, state)
    nothing, _ = model.outputs(X, state, None, Dropout(0.0, np.ones(shape)))
    assert np.array_equal(nothing, evaluated)
    all_of_it = None, Dropout(0.5, np.zeros(shape))
    hidden, other = model.outputs(X, state, *all_of_it)[0], model.outputs(-X, state, *all_of_it)[0]
    assert np.array_equal(hidden, other) and not np.array_equal(hidden, evaluated)


@pytest.mark.parametrize(
    "rate, masks, said",
    [
        (1.0, np.ones((1, 6, 3, 8)), "dropout: rate: expected a number from 0 to less than 1"),
        (-0.1, np.ones((1, 6, 3, 8)), "dropout: rate: expected a number from 0 to less than 1"),
        (float("nan"), np.ones((1, 6, 3, 8)), "dropout: rate: expected a number from 0 to less"),
        ("0.5", np.ones((1, 6, 3, 8)), "dropout: rate: expected a number from 0 to less than 1"),
        (0.5, np.ones((2, 6, 3, 8)), r"expected shape \(1, 6, 3, 8\), found shape \(2, 6, 3, 8\)"),
        (0.5, np.ones((1, 3, 6, 8)), r"expected shape \(1, 6, 3, 8\), found shape \(1, 3, 6, 8\)"),
        (0.5, np.full((1, 6, 3, 8), 2.0), "dropout: masks: expected 0 and 1 alone, found 2.0"),
        (0.5, np.full((1, 6, 3, 8), np.nan), "dropout: masks: expected 0 and 1 alone, found nan"),
        (0.5, np.full((1, 6, 3, 8), "1"), "dropout: masks: expected 0 and 1 alone"),
    ],
)
def test_a_dropout_that_does_not_fit_is_bad_input(rate, masks, said, backend_name):
    spec = SPECS["uneven-gru-before"]
    case = Case(spec, n=3)
    X, Y, state = case.data()
    model = made_by(backend_name, "equations")
    model = model.model(spec, case.parameters())
    for ask in (
        lambda dropout: model.outputs(X, state, None, dropout),
        lambda dropout: model.forward(X, state, None, dropout),
        lambda dropout: model.loss_and_gradients(X, Y, state, None, dropout),
        lambda dropout: model.trainer(CLIPPED, state).step(X, Y, None, dropout),
    ):
        with pytest.raises(BadInput, match=said):
            ask(Dropout(rate, masks))


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
    model = made_by(backend_name, "equations").model(spec, params)
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
