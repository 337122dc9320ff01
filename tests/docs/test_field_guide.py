"""docs/field_guide.toml says what tests prove: every cell has its test, every test its cell."""

import ast
import re
import tomllib

import pytest

from docs.notebooks import ROOT
from tests.frameworks import OTHERS

GUIDE = tomllib.loads((ROOT / "docs" / "field_guide.toml").read_text(encoding="utf-8"))
ROWS = GUIDE["convention"]


def named_in(backend: str) -> list[str]:
    path = ROOT / "tests" / "conventions" / f"test_{backend}.py"
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    return [name for name in functions if name.startswith("test_")]


@pytest.mark.parametrize("backend", OTHERS)
def test_every_cell_has_its_test_and_every_test_its_cell(backend: str) -> None:
    assert named_in(backend) == [row["test"] for row in ROWS if row[backend]]


def test_the_guide_speaks_of_every_framework_in_every_row() -> None:
    assert set(GUIDE["frameworks"]) == set(OTHERS)
    for row in ROWS:
        assert set(row) == {"point", "test", *OTHERS}
        assert all(text.strip() == text != "" for text in row.values())


@pytest.mark.parametrize("backend", OTHERS)
def test_it_names_the_versions_that_are_pinned(backend: str) -> None:
    pins = (ROOT / "requirements" / f"{backend}.txt").read_text(encoding="utf-8")
    named = re.findall(r"\d+(?:\.\d+)+", GUIDE["frameworks"][backend])
    assert named
    for version in named:
        assert re.search(rf"=={re.escape(version)}(\.|;|$)", pins, re.MULTILINE), version
