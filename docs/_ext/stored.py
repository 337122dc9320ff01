"""What stored runs gave, read from ``docs/results/<chapter>.json``; needs no Sphinx."""

import json
from functools import cache
from typing import Any

from docs._ext.backends import TITLES
from docs._ext.sources import ROOT, Missing

RESULTS = ROOT / "docs" / "results"


@cache
def runs(chapter: str) -> dict[str, dict[str, Any]]:
    """What is stored for a chapter, by backend, in the order of the tabs."""
    path = RESULTS / f"{chapter}.json"
    if not path.is_file():
        raise Missing(f"docs/results/{chapter}.json: no such file")
    found = json.loads(path.read_text(encoding="utf-8"))
    return {backend: found[backend] for backend in TITLES if backend in found}


def value(name: str) -> Any:
    """``chapter/backend/name``: one number or word."""
    chapter, backend, key = name.split("/")
    found = runs(chapter).get(backend, {}).get("values", {})
    if key not in found:
        raise Missing(f"docs/results/{chapter}.json: no value {key} of {backend}")
    return found[key]


def records(name: str) -> list[dict[str, Any]]:
    """``chapter/table``: its records, of all backends that have some."""
    chapter, table = name.split("/")
    tables = [run.get("tables", {}).get(table, []) for run in runs(chapter).values()]
    found = [record for rows in tables for record in rows]
    if not found:
        raise Missing(f"docs/results/{chapter}.json: no table {table}")
    return found


def printed(name: str) -> dict[str, str]:
    """``chapter/example``: what it printed, by backend."""
    chapter, example = name.split("/")
    lines = {backend: run.get("printed", {}).get(example) for backend, run in runs(chapter).items()}
    found = {backend: "\n".join(text) for backend, text in lines.items() if text is not None}
    if not found:
        raise Missing(f"docs/results/{chapter}.json: nothing printed by {example}")
    return found


def shown(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else "" if cell is None else str(cell)
