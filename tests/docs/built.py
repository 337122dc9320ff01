"""Pages of the built site, each parsed once for all tests that read it."""

from functools import cache
from pathlib import Path

import pytest

bs4 = pytest.importorskip("bs4", reason="needs the packages of requirements/docs.txt")


@cache
def parsed(path: Path) -> "bs4.BeautifulSoup":
    return bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
