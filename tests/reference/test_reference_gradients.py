"""Every element of every gradient of the reference, against derivatives of its forward equations.

The complex step has no cancellation: f'(x) = Im f(x + i·h) / h is exact to rounding for h = 1e-30.
The forward equations run on complex arrays as they are. Maxima of complex numbers are taken by the
real part first, so relu passes the imaginary part on where its argument is positive, as it should.
"""

import functools

import numpy as np
import pytest

from backends.numpy import backward
from backends.numpy.equations import forward
from common.spec import ModelSpec
from tests.reference.cases import Case, disagreement

SPECS = {
    "rnn-tanh": ModelSpec("rnn", 3, 4, 5, 1, ("tanh",)),
    "rnn-relu": ModelSpec("rnn", 3, 4, 5, 1, ("relu",)),
    "rnn-sigmoid": ModelSpec("rnn", 3, 4, 5, 1, ("sigmoid",)),
    "rnn-identity": ModelSpec("rnn", 3, 4, 5, 1, ("identity",)),
    "rnn-of-four": ModelSpec("rnn", 3, 4, 5, 4, ("relu", "identity", "sigmoid", "tanh")),
    "gru-before-L1": ModelSpec("gru", 3, 4, 5, 1, reset="before"),
    "gru-before-L3": ModelSpec("gru", 3, 4, 5, 3, reset="before"),
    "gru-after-L1": ModelSpec("gru", 3, 4, 5, 1, reset="after"),
    "gru-after-L3": ModelSpec("gru", 3, 4, 5, 3, reset="after"),
    "lstm-L1": ModelSpec("lstm", 3, 4, 5, 1),
    "lstm-L3": ModelSpec("lstm", 3, 4, 5, 3),
    "rnn-bidirectional": ModelSpec("rnn", 3, 4, 5, 2, ("sigmoid", "tanh"), directions=2),
    "gru-before-bidirectional": ModelSpec("gru", 3, 4, 5, 2, reset="before", directions=2),
    "gru-after-bidirectional": ModelSpec("gru", 3, 4, 5, 2, reset="after", directions=2),
    "lstm-bidirectional": ModelSpec("lstm", 3, 4, 5, 2, directions=2),
    "rnn-uneven": ModelSpec("rnn", 3, 6, 5, 2, ("sigmoid", "tanh"), sizes=(6, 4)),
    "gru-before-uneven": ModelSpec("gru", 3, 6, 5, 2, reset="before", sizes=(4, 6)),
    "gru-after-uneven": ModelSpec("gru", 3, 6, 5, 2, (), "after", 2, (6, 2)),
    "lstm-uneven": ModelSpec("lstm", 3, 6, 5, 3, sizes=(2, 6, 4)),
    "lstm-projected": ModelSpec("lstm", 3, 4, 5, 2, p=2),
    "lstm-projected-bidirectional": ModelSpec("lstm", 3, 4, 5, 2, directions=2, p=3),
    "lstm-projected-uneven": ModelSpec("lstm", 3, 6, 5, 2, sizes=(4, 6), p=2),
}
every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())

ROUGH = {
    name: spec
    for name, spec in SPECS.items()
    if spec.L == 1 or name in ("rnn-of-four", "rnn-bidirectional")
}
"""Every cell, reset and activation, several layers and two directions. Differences take four passes
for every element, and say less of it than the complex step, which is taken of all: they say that
this step may be trusted."""


COMPLEX_STEP, COMPLEX_BOUND = 1e-30, 2e-14
CENTRAL_STEP, CENTRAL_BOUND = 3e-4, 1e-6


def places(spec, dtype="float64"):
    """Everything that a gradient is taken by, under the gradient's name, and Y."""
    case = Case(spec, T=6, n=2)
    params, (X, Y, state) = case.parameters(), case.data()
    everything = params | {"X": X} | {f"{part}0": array for part, array in state.items()}
    return {name: array.astype(dtype) for name, array in everything.items()}, Y


def loss(spec, everything, Y):
    """LOSS-1 of the reference's outputs, also of complex ones."""
    state = {part: everything[f"{part}0"] for part in spec.states}
    O, _ = forward(spec, everything, everything["X"], state)
    chosen = np.take_along_axis(O, Y[..., None], -1)[..., 0]
    return (np.log(np.exp(O).sum(-1)) - chosen).mean()


@functools.cache
def by_complex_step(spec):
    everything, Y = places(spec, "complex128")
    gradients = {name: np.zeros(array.shape) for name, array in everything.items()}
    for name, array in everything.items():
        for index in np.ndindex(array.shape):
            array[index] += 1j * COMPLEX_STEP
            gradients[name][index] = loss(spec, everything, Y).imag / COMPLEX_STEP
            array[index] = array[index].real
    return gradients


@functools.cache
def by_central_differences(spec):
    """Of fourth order: (8 (f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h."""
    everything, Y = places(spec)
    gradients = {name: np.zeros(array.shape) for name, array in everything.items()}
    for name, array in everything.items():
        for index in np.ndindex(array.shape):
            here, total = array[index], 0.0
            for steps, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                array[index] = here + steps * CENTRAL_STEP
                total += weight * loss(spec, everything, Y)
            array[index] = here
            gradients[name][index] = total / (12 * CENTRAL_STEP)
    return gradients


def by_reference(spec):
    everything, Y = places(spec)
    state = {part: everything[f"{part}0"] for part in spec.states}
    return backward.loss_and_gradients(spec, everything, everything["X"], Y, state)[1]


@every_spec
def test_every_gradient_equals_the_complex_step(spec):
    assert disagreement(by_reference(spec), by_complex_step(spec)) <= COMPLEX_BOUND


@pytest.mark.parametrize("spec", ROUGH.values(), ids=ROUGH.keys())
def test_every_gradient_is_near_central_differences(spec):
    assert disagreement(by_reference(spec), by_central_differences(spec)) <= CENTRAL_BOUND


@every_spec
def test_a_gradient_that_is_wrong_in_the_third_place_is_noticed(spec):
    right = by_reference(spec)
    exact = by_complex_step(spec)
    rough = by_central_differences(spec) if spec in ROUGH.values() else None
    for name in right:
        wrong = right | {name: 1.001 * right[name]}
        assert disagreement(wrong, exact) > COMPLEX_BOUND
        assert rough is None or disagreement(wrong, rough) > CENTRAL_BOUND


@every_spec
@pytest.mark.parametrize("part", ["input_side", "recurrent_side"])
def test_a_fault_in_the_backward_code_is_noticed(spec, part, monkeypatch):
    """One gate's gradient, the last that the function returns, is scaled by 1.001."""
    exact, right = by_complex_step(spec), getattr(backward, part)

    def wrong(*arguments):
        result = right(*arguments)
        grads = result[0] if part == "input_side" else result
        grads[list(grads)[-1]] = 1.001 * grads[list(grads)[-1]]
        return result

    monkeypatch.setattr(backward, part, wrong)
    assert disagreement(by_reference(spec), exact) > COMPLEX_BOUND


@pytest.mark.parametrize("phi", ["tanh", "relu", "sigmoid", "identity"])
def test_a_wrong_slope_of_an_activation_is_noticed(phi, monkeypatch):
    exact = by_complex_step(SPECS["rnn-of-four"])
    right = backward.DERIVATIVES[phi]
    monkeypatch.setitem(backward.DERIVATIVES, phi, lambda H: 1.001 * right(H))
    assert disagreement(by_reference(SPECS["rnn-of-four"]), exact) > COMPLEX_BOUND
