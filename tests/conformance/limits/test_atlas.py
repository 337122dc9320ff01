"""The atlas of scalar functions: it finds what is wrong, and what is stored is in bounds."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from flint import arb, ctx

from common.errors import BadInput
from conformance.limits.atlas import FINE, IN_BALLS, load_bounds, numbers, problems, right, survey
from conformance.verdict.deviations import load_deviations

ROOT = Path(__file__).parents[3]
SOUND = {"tanh": np.tanh, "exp": np.exp}


def found(function, computed, dtype="float32", bits=14):
    with np.errstate(all="ignore"):
        return survey(function, computed, dtype, bits)[0].to_json()


def wrong(row) -> list[str]:
    return problems([row], "somebody", "cpu", load_bounds())


@pytest.mark.parametrize("dtype", FINE)
def test_numbers_are_spaced_evenly_among_bit_patterns(dtype):
    x = numbers(dtype, 12)
    assert np.all(np.diff(x) >= 0) and np.all(np.isfinite(x))
    assert (x > 0).sum() == (x < 0).sum()
    tiny, one = float(np.finfo(dtype).tiny), 1.0
    assert abs(((x > tiny) & (x < one)).sum() - (x > one).sum()) < 0.02 * (x > 0).sum()


@pytest.mark.parametrize("function", IN_BALLS)
@pytest.mark.parametrize("dtype", FINE)
def test_right_answers_are_right_to_a_thousandth_of_a_unit(function, dtype):
    """Against 2,000 bits, where nothing is a series or a limit."""
    x = np.array([-700.3, -40.5, -3.25, -0.7, -(2.0**-61), 2.0**-70, 1e-5, 0.3, 5.5, 30.0, 88.0])
    high, low = right(function, x.astype(dtype))
    with ctx.workprec(2000):
        for place, value in enumerate(x.astype(dtype)):
            exact = IN_BALLS[function](arb(float(value)))
            off = float(abs(exact - arb(float(high[place])) - arb(float(low[place]))).mid())
            least = float(np.finfo(dtype).smallest_subnormal)
            unit = max(float(abs(exact).mid()) * float(np.finfo(dtype).eps), least)
            if math.isfinite(unit):
                assert off < 1e-3 * unit, (function, value)


@pytest.mark.parametrize("function", SOUND)
@pytest.mark.parametrize("dtype", FINE)
def test_numpys_functions_are_in_bounds(function, dtype):
    assert wrong(found(function, SOUND[function], dtype, 12)) == []


@pytest.mark.parametrize(
    ("function", "fault", "field"),
    [
        ("tanh", lambda x: np.tanh(x) * np.float32(1 - 1e-7), "bias"),
        ("tanh", lambda x: np.where(abs(x) > 4, np.sign(x), np.tanh(x)), "largest"),
        ("tanh", lambda x: np.tanh(x) * np.float32(1 + 2e-7), "beyond"),
        ("tanh", lambda x: np.nan_to_num(np.tanh(x)), "wrong"),
        ("exp", lambda x: np.where(x < -80, 0, np.exp(x)), "largest"),
        ("sigmoid", lambda x: (1 + np.tanh(x / 2)) / 2, "largest"),
    ],
)
def test_a_fault_is_told_by_its_field(function, fault, field):
    def computed(x: np.ndarray) -> np.ndarray:
        return fault(x).astype(x.dtype)

    assert any(f": {field} is " in said for said in wrong(found(function, computed)))


def test_where_a_function_goes_flat_and_where_it_vanishes():
    row = found("sigmoid", lambda x: 1 / (1 + np.exp(-x)), bits=20)
    assert 16.6 < row["flat"] < 16.7 and -88.8 < row["vanishes"] < -88.7
    exact = found("tanh", lambda x: np.tanh(x.astype("float64")).astype(x.dtype), bits=20)
    assert 9 < exact["flat"] < 9.1
    assert found("exp", np.exp, bits=20)["flat"] is None


def test_an_exception_that_is_not_needed_fails():
    bounds = load_bounds()
    here = dict.fromkeys(("backend", "device"), "x") | {"function": "tanh", "dtype": "float32"}
    bounds["exception"] = [{**here, "field": "bias", "bound": 1.0, "deviation": "none"}]
    assert "needs no exception" in problems([found("tanh", np.tanh)], "x", "x", bounds)[0]


def test_bounds_that_are_not_whole_are_bad_input(tmp_path):
    path = tmp_path / "atlas.toml"
    path.write_text("[bounds]\nlargest = 8.0\n", encoding="utf-8")
    with pytest.raises(BadInput):
        load_bounds(path)


@pytest.mark.once
def test_every_exception_is_a_declared_deviation():
    known = {d.id: d.fields["framework"] for d in load_deviations()}
    for one in load_bounds()["exception"]:
        assert known[one["deviation"]] == one["backend"]


@pytest.mark.once
def test_what_is_stored_is_whole_and_in_bounds():
    path = ROOT / "docs" / "results" / "what-tanh-costs.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert set(stored) == {"numpy", "pytorch", "mxnet", "tensorflow", "jax"}
    for backend, run in stored.items():
        rows = run["tables"]["atlas"]
        for device in {row["device"] for row in rows}:
            mine = [row for row in rows if row["device"] == device]
            assert problems(mine, backend, device, load_bounds()) == []
        there = {(row["function"], row["dtype"]) for row in rows if row["device"] == "cpu"}
        assert there >= {(f, dtype) for f in IN_BALLS for dtype in FINE}
