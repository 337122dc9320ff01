"""The matrix implementation × rung, read from a verdict.json."""

from dataclasses import dataclass, field
from typing import Any

from conformance.closeness.compare import RUNGS
from conformance.verdict.outcome import DECLARED, PASS

SYMBOLS = {"pass": "✓", "declared": "△", "fail": "✗", "none": "–"}


@dataclass
class Cell:
    """One rung of one row: cases that passed it of those that reached it, and the worst error in
    noise floors, with the case that it is of."""

    kind: str = "none"
    passed: int = 0
    reached: int = 0
    ratio: float | None = None
    case: str = ""
    exact: bool = False

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.kind]

    @property
    def worst(self) -> str:
        if self.ratio is None:
            return "exact" if self.exact and self.kind == "pass" else ""
        return f"{self.ratio:.1f}×" if self.ratio < 1000 else f"{self.ratio:.0e}×"


@dataclass
class Row:
    """One implementation on one device in one dtype.

    part: the highest rung that it answers, of one that answers a part of the ladder"""

    implementation: str
    device: str
    dtype: str
    cells: dict[str, Cell]
    total: int = 0
    passed: int = 0
    other: dict[str, int] = field(default_factory=dict)
    part: str = ""

    @property
    def worst(self) -> float | None:
        return max((c.ratio for c in self.cells.values() if c.ratio is not None), default=None)

    @property
    def worst_rung(self) -> str:
        return next(r for r, c in self.cells.items() if c.ratio == self.worst)


def matrix(verdict: dict[str, Any]) -> list[Row]:
    """A row for every implementation, device and dtype, in the order of the records."""
    rows: dict[tuple[str, str, str], Row] = {}
    for result in verdict["results"]:
        key = result["implementation"], result["device"], result["dtype"]
        if key not in rows:
            rows[key] = Row(*key, {rung: Cell(exact=rung == "weights") for rung in RUNGS})
        row = rows[key]
        row.total += 1
        row.part = result.get("part", row.part)
        row.passed += result["status"] == PASS
        if result["status"] != PASS:
            row.other[result["status"]] = row.other.get(result["status"], 0) + 1
        for rung, found in result["rungs"].items():
            _count(row.cells[rung], result, found)
    return list(rows.values())


def _count(cell: Cell, result: dict[str, Any], found: dict[str, Any]) -> None:
    cell.reached += 1
    if found["passed"] == found["tensors"]:
        cell.passed += 1
        cell.kind = "pass" if cell.kind == "none" else cell.kind
    elif result["status"] == DECLARED:
        cell.kind = "declared" if cell.kind != "fail" else "fail"
    else:
        cell.kind = "fail"
    worst = -1.0 if cell.ratio is None else cell.ratio
    if not cell.exact and found["ratio"] is not None and found["ratio"] > worst:
        cell.ratio, cell.case = found["ratio"], result["case"]


def training_rows(
    verdict: dict[str, Any],
) -> list[tuple[tuple[str, str, str], dict[str, dict[str, Any]]]]:
    """Implementation, device and numerics, with the results by title."""
    rows: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for result in verdict["training"]:
        key = result["implementation"], result["device"], result["numerics"]
        rows.setdefault(key, {})[result["title"]] = result
    return sorted(rows.items())
