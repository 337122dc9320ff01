"""The verdict on a terminal: a row per implementation, a column per rung, then every failure."""

import math
import shlex
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.errors import printable
from conformance.closeness.compare import RUNGS
from conformance.options import program
from conformance.verdict.narrow import fitting
from conformance.verdict.outcome import (
    CRASHED,
    DECLARED,
    FAIL,
    IN_PART,
    NOT_RUN,
    STYLES,
    UNSUPPORTED,
)
from conformance.verdict.results import CaseResult, Verdict
from conformance.verdict.terminal_training import training_lines, training_table

MOST_NOT_RUN = 3
"""So many cases of one implementation that were not run are told one by one."""

BANDS = (1.0, 2.0, 4.0, 8.0)
"""Upper ends of the bands in which the ratios to the noise floor are counted."""


def show(verdict: Verdict, console: Console) -> None:
    """Print the whole verdict."""
    if verdict.results:
        console.print(fitting(ladder(verdict), console))
        console.print(fitting(distribution(verdict), console))
    if verdict.training:
        console.print(fitting(training_table(verdict.training), console))
    for line in [*summary(verdict), *training_lines(verdict.training)]:
        console.print(_text(line))
    for line in failures(verdict.failures):
        console.print(_text(line), soft_wrap=True)
    for sign, lines in (("✗", verdict.claims), ("?", verdict.open)):
        for line in lines:
            console.print(_text(f"{sign} {line}"), soft_wrap=True)
    for name in verdict.outside:
        line = f"{name} is not in the matrix: what it says that it cannot is on its own word"
        console.print(_text(line), soft_wrap=True)
    console.print(_text(verdict.sentence(), f"bold {STYLES[verdict.outcome.word]}"))


def _text(line: str, style: str = "") -> Text:
    """Text from records is never read as markup, and nothing in it reaches the terminal as such."""
    return Text(printable(line), style)


def ladder(verdict: Verdict) -> Table:
    """In each cell: cases whose rung passed, of those that reached it, and the worst ratio of an
    error to the noise floor."""
    table = Table(title="Cases passed on each rung, and the worst error in noise floors (×)")
    table.add_column("implementation")
    table.add_column("dtype")
    for rung in RUNGS:
        table.add_column(rung, justify="right")
    table.add_column("other", justify="left")
    for row in verdict.rows():
        implementation, device, dtype = row
        name = implementation if device == "cpu" else f"{implementation} ({device})"
        results = [result for result in verdict.results if result.row == row]
        cells = [_rung_cell(results, rung) for rung in RUNGS]
        table.add_row(_text(name), _text(dtype), *cells, _other(results))
    for backend in verdict.absent:
        table.add_row(_text(backend), "", *[""] * len(RUNGS), Text("✗ not run: no record", "red"))
    return table


def _rung_cell(results: list[CaseResult], rung: str) -> Text:
    reached = [(result, found) for result in results if (found := result.rungs()[rung])]
    if not reached:
        return Text("–")
    broken = [result for result, found in reached if not all(c.passed for c in found)]
    worst = max((_ratio(c.ratio) for _, found in reached for c in found if c.bound > 0), default=0)
    symbol, style = ("✓", "green") if not broken else ("✗", "red")
    if broken and all(result.status == DECLARED for result in broken):
        symbol, style = "△", "yellow"
    times = f"{worst:.1f}×" if worst < 1000 else f"{worst:.0e}×"
    error = "exact" if rung == "weights" and not broken else times
    return Text(f"{symbol} {len(reached) - len(broken)}/{len(reached)} {error}", style)


def _ratio(ratio: float) -> float:
    return 0.0 if math.isnan(ratio) else ratio


def _other(results: list[CaseResult]) -> Text:
    """Cases that never reached the ladder, that are excused there, or that climb a part of it."""
    text = Text()
    for top in dict.fromkeys(result.part for result in results if result.part):
        text.append(f"up to the {top}: ")
    for status, style in (
        (IN_PART, ""),
        (UNSUPPORTED, ""),
        (DECLARED, "yellow"),
        (CRASHED, "red"),
        (NOT_RUN, "red"),
    ):
        if count := sum(result.status == status for result in results):
            between = ", " if text and not text.plain.endswith(": ") else ""
            text.append(between).append(f"{count} {status}", style)
    return text


def distribution(verdict: Verdict) -> Table:
    """How the tensors of each implementation spread over multiples of the noise floor."""
    table = Table(title="Errors of all tensors in multiples of the noise floor")
    table.add_column("implementation")
    table.add_column("dtype")
    table.add_column("tensors", justify="right")
    for band in BANDS:
        table.add_column(f"≤ {band:g}", justify="right")
    table.add_column(f"> {BANDS[-1]:g}", justify="right")
    table.add_column("median", justify="right")
    table.add_column("worst", justify="right")
    for row in verdict.rows():
        ratios = verdict.ratios(row)
        if not len(ratios):
            continue
        counts = np.histogram(ratios, [-1, *BANDS, np.inf])[0]
        shares = [f"{count / len(ratios):.2%}" for count in counts]
        middle, worst = f"{np.median(ratios):.2f}×", f"{ratios.max():.4g}×"
        name = row[0] if row[1] == "cpu" else f"{row[0]} ({row[1]})"
        table.add_row(_text(name), _text(row[2]), f"{len(ratios):,}", *shares, middle, worst)
    return table


def summary(verdict: Verdict) -> list[str]:
    """Counts, and what is unsupported and why, one line for each reason."""
    grid = verdict.grid()
    few = f"{grid['elements']:,}"
    elements = few if grid["elements"] < 1e6 else f"{grid['elements'] / 1e6:.1f} million"
    lines = [
        f"float64: {grid['differing']:,} of {elements} elements differ "
        f"after rounding to 2^-20 of the tensor's exponent ({grid['straddles']} straddle)"
    ]
    reasons: dict[str, list[str]] = {}
    for result in verdict.results:
        if result.status in (UNSUPPORTED, DECLARED):
            key = f"{result.status}: {result.implementation}: {result.reason}"
            reasons.setdefault(key, []).append(result.case)
    for key, cases in reasons.items():
        count = len(set(cases))
        lines.append(f"{key} ({count} case{'s' * (count != 1)})")
    return lines


def failures(results: list[CaseResult]) -> list[str]:
    """Every failure; cases of one implementation that were not run for one reason, if they are
    many, in one line."""
    absent: dict[tuple[str, str, str, str], list[CaseResult]] = {}
    for result in results:
        if result.status == NOT_RUN:
            absent.setdefault((*result.row, result.reason), []).append(result)
    many = {key: found for key, found in absent.items() if len(found) > MOST_NOT_RUN}
    lines: list[str] = []
    for (implementation, device, dtype, reason), found in many.items():
        names = ", ".join(result.case for result in found[:MOST_NOT_RUN])
        more = f"{names} and {len(found) - MOST_NOT_RUN} more cases"
        lines.append(f"✗ {implementation} ({device}, {dtype}) {more}: {NOT_RUN}: {reason}")
    told = [r for r in results if r.status != NOT_RUN or (*r.row, r.reason) not in many]
    return [*(line for result in told for line in failure(result)), *lines]


def failure(result: CaseResult) -> list[str]:
    """What failed, where it begins, and the command that asks this one question again."""
    title = f"✗ {result.implementation} ({result.device}, {result.dtype}) {result.case}: "
    if result.status != FAIL:
        return [f"{title}{result.status}: {result.reason}", f"    again: {replay(result)}"]
    worst = result.first_failure()
    if worst is None:
        return [title + result.reason]
    lines = [f"{title}{worst.rung}: {worst.tensor}: {worst.problem}"]
    if worst.index or not math.isnan(worst.error):
        lines.append(
            f"    at {worst.index}: got {worst.got!r}, expected {worst.wanted!r}; "
            f"error {worst.error:.3g}, bound {worst.bound:.3g}, {worst.ratio:.3g}× the noise floor"
        )
    failed = sum(not c.passed for c in result.comparisons)
    lines.append(f"    begins: {result.place}; {failed} of {len(result.comparisons)} tensors fail")
    lines += [f"    why: {result.why}"] if result.why else []
    lines += [f"    vote: {result.vote}"] if result.vote else []
    return [*lines, f"    again: {replay(result)}"]


def replay(result: CaseResult) -> str:
    """The command that records this case alone."""
    return replay_command(asdict(result))


def replay_command(result: dict[str, Any]) -> str:
    """The same of a result in a verdict.json. What a shell would not read as one word is quoted."""
    backend = result["implementation"].split(":")[0]
    backend, device, dtype, case = map(
        shlex.quote, (backend, result["device"], result["dtype"], result["case"])
    )
    return (
        f"{program()} record --backend {backend} --device {device} --dtype {dtype} "
        f"--cases {case} --out replay && {program()} judge replay"
    )
