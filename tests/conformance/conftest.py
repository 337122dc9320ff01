"""A record to judge, and one reader of command lines."""

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import EXIT_PASS
from conformance import __main__ as command_line
from conformance.diagnose import explain
from conformance.mutants import applicable
from tests.answers import computed_once
from tests.conformance.helpers import record


@pytest.fixture(scope="session", autouse=True)
def one_parser() -> Iterator[None]:
    """Commands in this process are read by one parser. It is the same for all, and is made in a
    hundredth of a second, a tenth of what many of these tests take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "make_parser", functools.cache(command_line.make_parser))
        yield


@pytest.fixture(scope="session", autouse=True)
def answers_are_computed_once() -> Iterator[None]:
    with computed_once():
        yield


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Path:
    """A record that nothing is wrong with; no test may write to it."""
    out = tmp_path_factory.mktemp("recorded")
    assert record(out, "--quiet") == EXIT_PASS
    return out


@pytest.fixture
def out(recorded, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(recorded, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def few_suspects(monkeypatch) -> None:
    """A short catalogue of every kind of mutant, for tests that ask the judge what failed and not
    why: the search for a reason runs as always, in a fraction of the seconds."""
    monkeypatch.setattr(explain, "applicable", lambda *of: applicable(*of)[::12])
