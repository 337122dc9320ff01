"""The walk to the smallest failing point, and what the command says of it."""

from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import main
from conformance.cases.points import LEAST, Point, edges_of
from conformance.limits.shrink import smallest
from tests.conformance.helpers import assert_one_line, worker_script

START = Point("lstm", T=66, n=67, d=131, h=259, q=137, L=3, K=2, b=100, s=300, o=1000, x=40)


@pytest.mark.parametrize(
    ("wrong", "edges"),
    [
        (lambda p: True, {}),
        (lambda p: p.T > 40, {"T": 41}),
        (lambda p: p.h > 256 and p.n > 8, {"n": 9, "h": 257}),
        (lambda p: p.s > 10 or p.b > 99, {"s": 11}),
        (lambda p: p.n * p.T >= 100, {"n": 2, "T": 50}),
        (lambda p: p.o == 1000, {"o": 1000}),
        (lambda p: p.L == 3 and p.K == 2, {"L": 3, "K": 2}),
    ],
)
def test_a_fault_from_some_size_on_is_walked_down_to(wrong, edges):
    assert edges_of(smallest(START, wrong)) == edges


def test_where_a_fault_comes_and_goes_every_neighbour_below_is_right():
    def wrong(point: Point) -> bool:
        return point.T % 7 == 3 and point.h % 5 == 4

    start = Point("lstm", **LEAST | {"T": 66, "h": 259})
    found = smallest(start, wrong)
    assert wrong(found) and edges_of(found).keys() <= {"T", "h"}
    for size in edges_of(found):
        below = Point("lstm", **LEAST | edges_of(found) | {size: found[size] - 1})
        assert not wrong(below)


@pytest.fixture
def sabotaged(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(__file__).parents[2] / "backends" / "regime_worker.py"
    worker_script(monkeypatch, script)


ASKED = ("shrink", "--backend", "numpy", "--dtype", "float64", "--quiet", "--cases")


@pytest.mark.once
def test_the_command_says_which_case_is_the_smallest_and_how_to_see_it_again(sabotaged, capsys):
    assert main([*ASKED, "steps-lstm", "nan-in-X-lstm"]) == EXIT_FAIL
    said = capsys.readouterr().out
    assert "numpy:equations-steps-beyond-40-lost float64 fails steps-lstm\n" in said
    assert "  the smallest case that it fails is size-lstm-T41-n1-d1-h1-q2-L1\n" in said
    assert "  it passes with any of these one less: T = 41\n" in said
    assert "record --backend numpy --cases size-lstm-T41-n1-d1-h1-q2-L1 --dtype float64\n" in said
    assert "numpy:equations float64" not in said


@pytest.mark.once
def test_a_sound_backend_fails_nothing(capsys):
    assert main([*ASKED, "lstm-L1", "size-rnn-relu-T2-n1-d1-h1-q2-L1"]) == EXIT_PASS
    assert capsys.readouterr().out == "numpy: fails none of 2 cases\n"


@pytest.mark.once
def test_a_name_that_is_none_is_one_line(capsys):
    assert main([*ASKED, "size-lstm-T0-n1-d1-h1-q2-L1"]) == EXIT_BAD_INPUT
    assert "--cases" in assert_one_line(capsys.readouterr().err)
