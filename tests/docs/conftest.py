"""The site as `tox -e docs` has just built it."""

from pathlib import Path

import pytest

from docs.notebooks import ROOT

SITE = ROOT / "docs" / "_build" / "html"


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site; without it, what needs it skips."""
    pytest.importorskip("sphinx", reason="needs the packages of requirements/docs.txt")
    if not (SITE / "index.html").exists():
        pytest.skip("needs the site, which tox -e docs builds")
    return SITE
