"""deviations.toml and the reproductions name each other; no framework is imported."""

import ast
from pathlib import Path

import pytest

from conformance.verdict.deviations import FIELDS, load_deviations
from tests.deviations.reproduction import ROOT

pytestmark = pytest.mark.once

ENTRIES = [deviation.fields for deviation in load_deviations()]
FILES = sorted(Path(__file__).parent.glob("test_*.py"))
REPRODUCTIONS = [path for path in FILES if path != Path(__file__)]


def nodes_of(path: Path) -> set[str]:
    """The pytest nodes of a file's test functions, from the root."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {f"{path.relative_to(ROOT).as_posix()}::{n}" for n in names if n.startswith("test_")}


def test_there_are_declarations_and_reproductions():
    assert ENTRIES
    assert REPRODUCTIONS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.get("id"))
def test_every_field_is_text(entry):
    for field in FIELDS:
        assert isinstance(entry[field], str), field
        assert entry[field].strip() == entry[field], field
    assert entry["title"].endswith(".")
    assert set(entry) <= {*FIELDS, "device", "ladder", "training"}
    assert entry.get("device", "gpu") == "gpu"


def test_ids_are_unique_and_in_kebab_case():
    ids = [entry["id"] for entry in ENTRIES]
    assert len(set(ids)) == len(ids)
    for name in ids:
        assert all(part.isalnum() and part == part.lower() for part in name.split("-")), name


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.get("id"))
def test_evidence_is_a_test_of_the_framework(entry):
    file = f"tests/deviations/test_{entry['framework']}.py"
    assert entry["evidence"].startswith(f"{file}::")
    assert entry["evidence"] in nodes_of(ROOT / file)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.get("id"))
def test_the_reproduction_names_its_entry_when_it_is_stale(entry):
    file, name = entry["evidence"].split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    body = next(node for node in tree.body if getattr(node, "name", None) == name)
    texts = {node.value for node in ast.walk(body) if isinstance(node, ast.Constant)}
    assert entry["id"] in texts


@pytest.mark.parametrize("path", REPRODUCTIONS, ids=lambda path: path.stem)
def test_every_reproduction_is_declared(path):
    assert nodes_of(path) - {entry["evidence"] for entry in ENTRIES} == set()
