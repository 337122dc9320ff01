"""The tape's derivatives, each against the complex step: f'(x) = Im f(x + i·h) / h, h → 0."""

import numpy as np
import pytest

from tests.reference.tape import Value, differentiate, exp, log, relu, sigmoid, tanh

FUNCTIONS = {
    "tanh": tanh,
    "exp": exp,
    "log": lambda a: log(a * a),
    "relu": lambda a: relu(a) * 3,
    "sigmoid": sigmoid,
    "sum": lambda a: a + 2 + a,
    "sum from the right": lambda a: 2 + a,
    "difference": lambda a: (a - 2) * (3 - a) - a * a,
    "product": lambda a: a * a * 3 * a,
    "quotient": lambda a: (a + 1) / (a * a + 2) / 4,
    "quotient from the right": lambda a: 5 / a,
    "negation": lambda a: -a,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("x", [0.7, -1.3])
def test_a_derivative_equals_the_complex_step(name, x):
    a = Value(x)
    result = FUNCTIONS[name](a)
    differentiate(result)
    stepped = FUNCTIONS[name](complex(x, 1e-30))
    assert result.number == pytest.approx(stepped.real, rel=1e-15)
    assert a.gradient == pytest.approx(stepped.imag / 1e-30, rel=1e-14)


def test_a_value_that_is_used_twice_adds_up_its_gradients():
    a, b = Value(3.0), Value(4.0)
    c = a * b
    differentiate(c * c + c)
    assert (a.gradient, b.gradient) == (2 * 12 * 4 + 4, 2 * 12 * 3 + 3)


def test_the_slope_of_relu_at_zero_is_zero():
    a = Value(0.0)
    differentiate(relu(a))
    assert a.gradient == 0


def test_long_doubles_stay_long_doubles():
    a = Value(np.longdouble(2) / 3)
    result = sigmoid(tanh(a)) / log(exp(a))
    differentiate(result)
    assert type(result.number) is type(a.gradient) is np.longdouble
