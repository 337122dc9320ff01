"""The modes of a backend: further ways to compute the layers, for whom they are asked. A few cases
of each; the main job with ``--modes`` asks all of them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from backends.registry import Backend
from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from conformance.__main__ import main
from conformance.cases.given import Given
from tests.answers import right_once
from tests.backends.test_ladder import climb
from tests.conformance.helpers import assert_one_line

CASES = (
    ("gru-after-L2", "float64"),
    ("lstm-bidirectional-lengths-L1", "float32"),
    ("lstm-dropout-bidirectional-L3", "float32"),
)

DEAR = {"compiled-rnn"}
"""Modes that compile a program of many steps for every shape: the smallest case alone."""

CPP = shutil.which(os.environ.get("CXX", "g++"))
"""Without a compiler of C++ there is no mode that compiles for a CPU."""


@pytest.fixture
def modes(backend: Backend) -> tuple[str, ...]:
    found = tuple(mode for mode in getattr(backend, "MODES", ()) if mode not in DEAR)
    if not CPP:
        found = tuple(mode for mode in found if "compiled" not in mode)
    if not found:
        pytest.skip("this backend has no further modes")
    return found


@pytest.fixture
def compiled(backend: Backend) -> tuple[str, ...]:
    found = tuple(mode for mode in getattr(backend, "MODES", ()) if "compiled" in mode)
    if not found:
        pytest.skip("this backend has no mode with a compiler of C++")
    return found


@pytest.mark.parametrize(("case", "dtype"), CASES)
def test_every_rung_holds_in_every_mode(
    case: str, dtype: str, modes: tuple[str, ...], backend_name: str, sample: Given
) -> None:
    right, climbed = right_once(case, sample), 0
    for mode in modes:
        try:
            climb(backend_name, mode, "cpu", dtype, right)
        except pytest.skip.Exception:
            continue
        climbed += 1
    if not climbed:
        pytest.skip("unsupported in every mode")


def test_a_mode_says_what_it_really_ran(modes: tuple[str, ...], backend: Backend) -> None:
    for mode in modes:
        found = backend.ran(mode, "cpu")
        assert json.loads(json.dumps(found)) == found
        said = found.get("program") or found.get("operators") or found.get("operations")
        assert said, f"{mode} ran nothing"


def test_a_mode_is_recorded_trained_and_judged_by_its_name(
    modes: tuple[str, ...], backend_name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mode = modes[0]
    where = ("--backend", backend_name, "--out", str(tmp_path), "--quiet")
    only = ("--cases", "lstm-one-step", "--dtype", "float32")
    assert main(["record", *where, *only, "--modes", f"{backend_name}:{mode}"]) == EXIT_PASS
    made = json.loads((tmp_path / f"{backend_name}-cpu" / "record.json").read_text())
    assert made["implementations"][-1] == mode
    assert made["passport"]["modes"][mode]
    asked = ("--expect", backend_name, *only, "--quiet")
    assert main(["judge", str(tmp_path), *asked, "--modes", f"{backend_name}:{mode}"]) == EXIT_PASS
    assert f"{backend_name}:{mode}" in capfd.readouterr().out


def test_a_mode_that_there_is_not_is_one_line_and_leaves_nothing(
    modes: tuple[str, ...], backend_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--backend", backend_name, "--out", str(tmp_path / "results"))
    asked = ("--cases", "lstm-one-step", "--modes", f"{backend_name}:abacus")
    assert main(["record", *where, *asked]) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert f"{backend_name}:{modes[0]}" in line and f"{backend_name}:abacus" in line
    assert not (tmp_path / "results" / f"{backend_name}-cpu").exists()


@pytest.mark.skipif(not CPP, reason="needs a compiler of C++")
def test_what_compiles_the_recurrent_layers_says_so_and_holds(
    compiled: tuple[str, ...], backend_name: str, tmp_path: Path
) -> None:
    where = ("--backend", backend_name, "--out", str(tmp_path), "--quiet")
    only, asked = ("--cases", "lstm-one-step", "--dtype", "float32"), f"{backend_name}:compiled*"
    assert main(["record", *where, *only, "--modes", asked]) == EXIT_PASS
    made = json.loads((tmp_path / f"{backend_name}-cpu" / "record.json").read_text())
    said = made["passport"]["modes"]
    assert {*said} == {*compiled}
    assert said["compiled-rnn"]["graphs"] and said["compiled-rnn"]["kernels"]
    assert any("RNN, GRU, or LSTM" in why for why in said["compiled"]["broken by"])
    asked = ("--expect", backend_name, *only, "--quiet", "--modes", asked)
    assert main(["judge", str(tmp_path), *asked]) == EXIT_PASS


def test_without_a_compiler_a_mode_that_needs_one_is_one_line(
    compiled: tuple[str, ...],
    backend_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    where = ("--backend", backend_name, "--out", str(tmp_path), "--quiet")
    asked = ("--cases", "lstm-one-step", "--modes", f"{backend_name}:{compiled[0]}")
    assert main(["record", *where, *asked]) == EXIT_BAD_INPUT
    line = assert_one_line(capsys.readouterr().err)
    assert line.startswith("torch.compile: expected a compiler of C++")
