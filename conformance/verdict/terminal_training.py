"""What the judge found about training: a row per implementation, a column per recipe and cell."""

import math

from rich.table import Table
from rich.text import Text

from common.errors import printable
from conformance.verdict.outcome import (
    DECLARED,
    FAIL,
    NOT_COMPARED,
    PASS,
    STRADDLE,
    UNSUPPORTED,
)
from conformance.verdict.results import TrainingResult

SYMBOLS = {
    PASS: ("✓", "green"),
    DECLARED: ("△", "yellow"),
    STRADDLE: ("△", "yellow"),
    NOT_COMPARED: ("?", "yellow"),
    UNSUPPORTED: ("–", ""),
}


def training_table(results: list[TrainingResult]) -> Table:
    """In each cell: how many epochs have the right digest (on the lattice), the last perplexity."""
    table = Table(title="Training: epochs with the right digest (lattice), last perplexity")
    titles = sorted({result.title for result in results})
    for column in ("implementation", "numerics", *titles):
        table.add_column(Text(printable(column)))
    for name, numerics, found in rows(results):
        cells = [cell(found.get(title)) for title in titles]
        table.add_row(Text(printable(name)), Text(printable(numerics)), *cells)
    return table


def rows(results: list[TrainingResult]) -> list[tuple[str, str, dict[str, TrainingResult]]]:
    """Implementation (with the device, if it is no CPU), numerics, and the results by title."""
    found: dict[tuple[str, str, str], dict[str, TrainingResult]] = {}
    for result in results:
        found.setdefault(result.row, {})[result.title] = result
    return [
        (name if device == "cpu" else f"{name} ({device})", numerics, by_title)
        for (name, device, numerics), by_title in sorted(found.items())
    ]


def cell(result: TrainingResult | None) -> Text:
    """One run in a few characters, never by colour alone."""
    if result is None:
        return Text("")
    symbol, style = SYMBOLS.get(result.status, ("✗", "red"))
    if result.status == UNSUPPORTED:
        return Text(f"{symbol} unsupported")
    parts = [symbol]
    if result.numerics == "lattice" and result.status in (PASS, FAIL, STRADDLE):
        parts.append(f"{result.agreed}/{result.epochs}")
    if result.status not in (PASS, FAIL, STRADDLE):
        parts.append(result.status)
    if math.isfinite(result.perplexity):
        parts.append(f"{result.perplexity:.4g}")
    return Text(" ".join(parts), style)


def training_lines(results: list[TrainingResult]) -> list[str]:
    """A line for every run that is neither agreed nor unsupported, and for each reason of those
    that are unsupported."""
    lines: list[str] = []
    for result in results:
        who = f"{result.implementation} ({result.device}, {result.numerics}) {result.title}"
        if not result.numerics:  # of a backend of which there is no run at all
            who = f"{result.implementation} ({result.device})"
        if result.status == UNSUPPORTED:
            lines.append(f"unsupported: {result.implementation} {result.title}: {result.reason}")
        elif result.status != PASS or result.reason:
            symbol = SYMBOLS.get(result.status, ("✗", ""))[0]
            place = f"{result.place}: " if result.place else ""
            lines.append(f"{symbol} {who}: {result.status}: {place}{result.reason}")
    return list(dict.fromkeys(lines))
