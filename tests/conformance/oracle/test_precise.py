"""The oracle of higher precision, and how far it says that rounding may move an answer."""

import math

import numpy as np
import pytest
from flint import arb, ctx

from common.spec import ModelSpec
from conformance.cases.table import Case, Material
from conformance.closeness.elements import units_of
from conformance.oracle import precise
from conformance.oracle.equations import expected
from conformance.oracle.precise import precisely, rounded
from conformance.oracle.rounding import allowances
from tests.conformance.helpers import curated, numbers

ORDINARY = ["rnn-tanh-relu-sigmoid-identity", "gru-before-L2", "gru-after-wide", "lstm-L2"]
SATURATED = ["saturated-rnn-tanh", "saturated-gru-before", "saturated-gru-after", "saturated-lstm"]


@pytest.mark.parametrize("name", ORDINARY)
def test_where_float64_is_fine_enough_both_oracles_agree(name):
    case = curated(name)
    exact, double = precisely(case, numbers(case)), expected(case, numbers(case))
    assert set(exact) == set(double)
    for tensor, array in exact.items():
        assert array.shape == double[tensor].shape and array.dtype == np.float64
        scale = np.abs(array).max()
        assert np.abs(array - double[tensor]).max() <= 1e-13 * scale, tensor


def one_unit(bias: float) -> tuple[Case, Material]:
    """One step of one tanh: H = tanh(b), two outputs O = (H, 0), the target the first."""
    case = Case("one", ModelSpec("rnn", 1, 1, 2, 1, activations=("tanh",)), n=1, T=1, K=1)
    zero = np.zeros((1, 1))
    params = {"layer1.W_xh": zero, "layer1.W_hh": zero, "layer1.b_h": np.array([bias])}
    params |= {"output.W_hq": np.array([[1.0, 0.0]]), "output.b_q": np.zeros(2)}
    X, Y = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1), "int64")
    return case, Material(params, X, Y, {"H": np.zeros((1, 1, 1))})


@pytest.mark.parametrize("bias", [1.0, 10.0, 30.0, 100.0])
def test_a_saturated_gradient_is_right_where_float64_has_none(bias):
    """By b it is −σ(−H) · 4 σ(2b) σ(−2b), written without a difference of equal numbers."""
    case, given = one_unit(bias)
    e = math.exp(-2 * bias)
    slope = 4 * e / (1 + e) ** 2
    H = math.tanh(bias)
    right = -slope / (1 + math.exp(H))
    found = precisely(case, given)["gradients/layer1.b_h"]
    assert found[0] == pytest.approx(right, rel=1e-14)
    if bias >= 30:
        assert expected(case, given)["gradients/layer1.b_h"][0] == 0


def test_a_ball_that_is_too_wide_is_no_answer(monkeypatch):
    with ctx.workprec(64):
        assert rounded(np.array([arb(1, 1e-30)], object)) is not None
        assert rounded(np.array([arb(1, 1e-3)], object)) is None
    case = curated("saturated-rnn-tanh")
    monkeypatch.setattr(precise, "BITS", (53,))
    with pytest.raises(ArithmeticError, match="saturated-rnn-tanh: 53 bits are too few"):
        precisely(case, numbers(case))


@pytest.mark.parametrize("name", [*ORDINARY, *SATURATED, "logits-lstm", "logits-rnn-tanh"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpys_rounding_stays_within_what_is_allowed(name, dtype):
    case = curated(name)
    exact, allowed = precisely(case, numbers(case)), allowances(case, numbers(case), dtype)
    with np.errstate(all="ignore"):
        found = expected(case, numbers(case), dtype)
    worst = 0.0
    for tensor, array in exact.items():
        units = units_of(found[tensor], array, allowed[tensor])
        assert np.all(units <= 2), tensor
        worst = max(worst, float(units.max()))
    assert worst > 0.02  # it is a bound that is come near to, not one of thin air


@pytest.mark.parametrize("name", SATURATED)
def test_most_elements_are_told_to_some_digits(name):
    """What is allowed to each is far below it: a case would tell nothing otherwise."""
    case = curated(name)
    exact, allowed = precisely(case, numbers(case)), allowances(case, numbers(case), "float64")
    told = [np.abs(exact[t]) > 1e3 * allowed[t] for t in exact if not t.startswith("weights/")]
    assert np.concatenate([array.ravel() for array in told]).mean() > 0.6


def test_a_closed_gate_is_allowed_its_own_rounding_and_no_more():
    case = curated("saturated-lstm")
    exact, allowed = precisely(case, numbers(case)), allowances(case, numbers(case), "float64")
    H = np.abs(exact["trace/H"])
    small = (H > 1e-40) & (H < 1e-9)
    assert small.any() and np.all(allowed["trace/H"][small] < 1e-10 * H[small])


def test_one_minus_a_square_near_one_is_allowed_three_units():
    case, given = one_unit(30.0)
    allowed = allowances(case, given, "float64")["gradients/layer1.b_h"][0]
    g = 1 / (1 + math.e)
    assert 2 * 2.0**-53 * g < allowed < 5 * 2.0**-53 * g
