"""Cases that are named by their sizes and magnitudes, and drawn in regimes."""

import dataclasses

import numpy as np
import pytest

from common.errors import BadInput
from conformance.cases.case import FAMILIES
from conformance.cases.points import LEAST, MOST, Point, draw_point, edges_of, nearest_point
from conformance.cases.regimes import LARGE, REGIMES
from conformance.cases.table import CURATED, find_case, select
from conformance.oracle.equations import expected
from tests.conformance.helpers import curated, numbers, sample

NAME = "size-lstm-T41-n3-d5-h7-q4-L1"


def test_a_name_is_all_that_makes_a_point_again():
    case = curated(NAME)
    assert (case.T, case.n, case.K, case.spec.h) == (41, 3, 1, 7)
    assert nearest_point(case).name == case.name == NAME
    for index in range(200):
        point = draw_point(5, index)
        assert nearest_point(curated(point.name)) == point
        drawn = curated(f"regime-5-{index}")
        assert drawn == dataclasses.replace(curated(point.name), name=drawn.name)


@pytest.mark.parametrize(
    "name",
    [
        f"{NAME}-K1",
        f"{NAME}-b0",
        NAME.replace("q4", "q1"),
        NAME.replace("h7", "h5000"),
        NAME.replace("T41", "T9999").replace("n3", "n9999"),
        NAME.replace("T41", "T041"),
        NAME.replace("lstm", "rnn"),
        f"{NAME}-x141",
        f"{NAME}-z1",
    ],
)
def test_a_case_has_one_name_and_sizes_within_reach(name):
    with pytest.raises(BadInput):
        find_case(name, sample())


def test_a_point_is_chosen_by_its_whole_name_and_drawn_ones_by_their_number():
    assert select([NAME, "lstm-L1"], 0, 0) == ["lstm-L1", NAME]
    assert select(["lstm-L1"], 2, 7, kind="regime") == ["lstm-L1", "regime-7-0", "regime-7-1"]
    assert select(["lstm-L1"], 2, 7) == ["lstm-L1", "random-7-0", "random-7-1"]
    assert select(["regime-7-1"], 0, 0) == ["regime-7-1"]


@pytest.mark.parametrize("family", FAMILIES)
def test_magnitudes_are_where_they_claim_to_be(family):
    point = Point(family, b=30, s=300, o=1000, x=40, w=20)
    case = point.case()
    given, answers = numbers(case), expected(case, numbers(case))
    biases = [a for name, a in given.params.items() if ".b_" in name and name[0] == "l"]
    weights = [a for name, a in given.params.items() if ".W_" in name and name[0] == "l"]
    assert 29 < max(abs(a).max() for a in biases) < 31
    assert 0 < max(abs(a).max() for a in weights) < 2.0**-20
    assert 0 < abs(given.X).max() <= 2.0**-40
    assert {300.0, -300.0} <= set(np.unique(given.state["C" if family == "lstm" else "H"]))
    assert abs(answers["forward/O"]).max() > 100
    if not family.startswith("rnn"):  # which keeps no state
        assert abs(answers["trace/C" if family == "lstm" else "trace/H"]).max() > 200


def test_drawn_points_meet_every_regime_and_every_family():
    points = [draw_point(0, index) for index in range(300)]
    assert {point.family for point in points} == set(FAMILIES)
    assert len(set(points)) == len(points)
    for size, most in {"T": 64, "n": 64, "d": 128, "h": 256, "q": 128, "L": 2, "K": 1}.items():
        assert max(point[size] for point in points) > most, size
    for magnitude in "bsoxw":
        assert len({point[magnitude] for point in points}) >= 3, magnitude
    assert all(LEAST[size] <= point[size] <= MOST[size] for point in points for size in LEAST)


def test_a_curated_case_has_a_point_if_all_its_layers_are_alike_and_nothing_is_planted():
    for case in (*CURATED, *REGIMES, *LARGE):
        mixed = len(set(case.spec.activations)) > 1 or "sigmoid" in case.spec.activations
        mixed |= case.spec.directions > 1 or not case.spec.even or case.spec.p is not None
        mixed |= case.spec.peepholes or case.spec.gate_clip is not None or any(case.needs)
        point = nearest_point(case)
        assert (point is None) == (mixed or bool(case.planted) or case.name == "rnn-identity")
        if point:
            made = point.case()
            assert (made.spec, made.n, made.T, made.K) == (case.spec, case.n, case.T, case.K)


def test_edges_are_what_is_more_than_the_least():
    assert edges_of(Point("lstm", **LEAST)) == {}
    assert edges_of(Point("lstm", **LEAST | {"T": 41})) == {"T": 41}
