"""Somebody's own weights, asked about examples of different length by ``--lengths``."""

import dataclasses
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.weights import save_weights
from conformance.cases.given import WEIGHTS_N, WEIGHTS_T, load_given, save_given
from conformance.cases.table import find_case, material
from tests.conformance.helpers import assert_one_line, judge, record

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("few_suspects")]

SPEC = ModelSpec("lstm", 3, 5, 4, 2, directions=2)
LENGTHS = (16, 3, 1, 9, 16, 2, 7, 12)
WORDS = ("--lengths", *map(str, LENGTHS))


@pytest.fixture
def weights(tmp_path: Path) -> tuple[str, str]:
    path = tmp_path / "mine.safetensors"
    save_weights(path, SPEC, initialise(SPEC, "pytorch", 5))
    return "--weights", str(path)


def recorded(out: Path, *words: str) -> int:
    return record(out, *words, "--quiet", cases=("weights",))


def test_the_case_has_these_lengths_and_the_next_minibatch_has_them_one_later(
    tmp_path: Path, weights: tuple[str, str]
) -> None:
    assert recorded(tmp_path / "out", *weights, *WORDS) == EXIT_PASS
    given = load_given(tmp_path / "out" / "numpy-cpu" / "given.safetensors")
    assert given.lengths == LENGTHS
    case = find_case("weights", given)
    assert (case.n, case.T, case.needs) == (WEIGHTS_N, WEIGHTS_T, (True,))
    found = material(case, given.corpus).lengths
    assert found is not None
    assert found.tolist() == [list(LENGTHS), [12, *LENGTHS[:-1]]]


def test_they_are_judged_as_they_were_recorded(
    tmp_path: Path, weights: tuple[str, str], capsys
) -> None:
    out = tmp_path / "out"
    assert recorded(out, *weights, *WORDS) == EXIT_PASS
    assert judge(out, "--quiet") == EXIT_PASS, "what was given lies in the record"
    asked = ("--quiet", "--expect", "numpy", "--cases", "weights", *weights)
    assert judge(out, *asked, *WORDS) == EXIT_PASS
    capsys.readouterr()
    others = (*WORDS[:-1], "11")
    for words, said in ((others, f"{' '.join(others[1:])}, found"), ((), "expected none, found")):
        assert judge(out, *asked, *words) == EXIT_BAD_INPUT
        line = assert_one_line(capsys.readouterr().err)
        assert "lengths: " in line and said in line


def test_lengths_that_were_exchanged_later_are_told(
    tmp_path: Path, weights: tuple[str, str], capsys
) -> None:
    out = tmp_path / "out"
    assert recorded(out, *weights) == EXIT_PASS
    path = out / "numpy-cpu" / "given.safetensors"
    save_given(path, dataclasses.replace(load_given(path), lengths=LENGTHS))
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert "digest of weights: expected" in assert_one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (LENGTHS[:-1], "--lengths: lengths: expected 8, one for each example, found 7"),
        ((*LENGTHS, 4), "--lengths: lengths: expected 8, one for each example, found 9"),
        ((0, *LENGTHS[1:]), "--lengths: lengths: expected 1 to 16, the steps that there are"),
        ((17, *LENGTHS[1:]), "--lengths: lengths: expected 1 to 16, the steps that there are"),
        (("2.5", *LENGTHS[1:]), "expected a whole number from 0 to 999999999, found '2.5'"),
        (("-1", *LENGTHS[1:]), "--lengths"),
        (("nine", *LENGTHS[1:]), "expected a whole number from 0 to 999999999, found 'nine'"),
    ],
)
def test_lengths_that_do_not_fit_are_one_line(
    tmp_path: Path, weights: tuple[str, str], capsys, words: tuple, line: str
) -> None:
    try:
        code = recorded(tmp_path / "out", *weights, "--lengths", *map(str, words))
    except SystemExit as refused:  # argparse
        code = refused.code
    assert code == EXIT_BAD_INPUT
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_lengths_without_weights_are_one_line(tmp_path: Path, capsys) -> None:
    assert record(tmp_path / "out", *WORDS, "--quiet") == EXIT_BAD_INPUT
    assert "--lengths: expected --weights beside it" in assert_one_line(capsys.readouterr().err)


def test_stored_lengths_that_do_not_fit_are_refused(
    tmp_path: Path, weights: tuple[str, str], capsys
) -> None:
    out = tmp_path / "out"
    assert recorded(out, *weights, *WORDS) == EXIT_PASS
    path = out / "numpy-cpu" / "given.safetensors"
    save_given(path, dataclasses.replace(load_given(path), lengths=(17, *LENGTHS[1:])))
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert "lengths: expected 1 to 16" in assert_one_line(capsys.readouterr().err)
