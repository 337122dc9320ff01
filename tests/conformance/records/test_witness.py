"""A stored witness is confirmed by frameworks, versions and devices that come later."""

import dataclasses
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from common.storage.files import read_json, write_json
from conformance.__main__ import main
from conformance.records.training import load_runs
from conformance.records.witness import load_witnesses, make_witnesses
from tests.conformance.helpers import assert_one_line
from tests.conformance.lattice_helpers import RECIPE, Implementation, scaled, train_here

pytestmark = pytest.mark.once

FIRST = ("mxnet", "pytorch", "tensorflow")
NAME = "quick-lstm.json"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with one witness."""
    for backend in FIRST:
        train_here(tmp_path / "first", backend, Implementation())
    made = make_witnesses(load_runs(tmp_path / "first"))
    write_json(tmp_path / "witness" / NAME, made["quick-lstm"])
    return tmp_path / "witness"


def confirm(later: Path, stored: Path) -> int:
    return main(["witness", str(later), "--confirm", "--out", str(stored), "--quiet"])


def test_a_later_run_is_added_and_the_digests_stay(stored: Path, tmp_path: Path) -> None:
    before = read_json(stored / NAME)
    train_here(tmp_path / "later", "jax", Implementation())
    assert confirm(tmp_path / "later", stored) == EXIT_PASS
    after = read_json(stored / NAME)
    who = [by["implementation"] for by in after["confirmed"]]
    assert who == ["jax:layers", *(f"{backend}:layers" for backend in FIRST)]
    assert after | {"confirmed": before["confirmed"]} == before
    assert confirm(tmp_path / "later", stored) == EXIT_PASS
    assert read_json(stored / NAME) == after, "the same run again takes its own place"
    (witness,) = load_witnesses(stored)
    assert witness.confirmed == after["confirmed"]


def test_how_far_a_shorter_run_went_is_said(stored: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(RECIPE, epochs=2)
    train_here(tmp_path / "later", "numpy", Implementation(), recipe=short)
    assert confirm(tmp_path / "later", stored) == EXIT_PASS
    found = {by["implementation"]: by["epochs"] for by in read_json(stored / NAME)["confirmed"]}
    assert found["numpy:layers"] == 2 and found["mxnet:layers"] == RECIPE.epochs == 4


def test_a_run_that_differs_confirms_nothing(stored: Path, tmp_path: Path, capsys) -> None:
    before = (stored / NAME).read_bytes()
    fault = Implementation(of_gradients=scaled("layer1.W_xf", 1.01))
    train_here(tmp_path / "later", "jax", fault)
    assert confirm(tmp_path / "later", stored) == EXIT_BAD_INPUT
    assert "digest of epoch 1: expected" in assert_one_line(capsys.readouterr().err)
    assert (stored / NAME).read_bytes() == before


def test_a_run_of_something_else_confirms_nothing(stored: Path, tmp_path: Path, capsys) -> None:
    other = dataclasses.replace(RECIPE, seed=7)
    train_here(tmp_path / "later", "jax", Implementation(), recipe=other)
    assert confirm(tmp_path / "later", stored) == EXIT_BAD_INPUT
    assert "that a stored witness is about, found none" in assert_one_line(capsys.readouterr().err)
