"""The report's packages, a real results folder, and a browser; without them, tests skip."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.__main__ import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CASES = ("lstm-L2", "gru-before-L1")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases and one short training run by the NumPy backend, judged; not to be changed."""
    folder = tmp_path_factory.mktemp("report") / "results"
    train = ["train", "--backend", "numpy", "--cell", "rnn", "--numerics", "lattice", "float32"]
    assert main(["record", "--backend", "numpy", "--out", str(folder), "--cases", *CASES]) == 0
    assert main([*train, "--out", str(folder), "--quiet"]) == 0
    assert main(["judge", str(folder), "--quiet", "--json", str(folder / "verdict.json")]) == 0
    return folder


@pytest.fixture
def results(recorded: Path, tmp_path: Path) -> Path:
    """The same in a folder of its own."""
    return Path(shutil.copytree(recorded, tmp_path / "results"))


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    reason = "needs the packages of requirements/browser.txt"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    with api.sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root, as in a container; the pages are ours.
        options = ["--no-sandbox"]
        made = playwright.chromium.launch(executable_path=found, args=options)
        yield made
        made.close()
