"""Cells and frameworks side by side: a row for each, and the curves of their perplexity."""

import argparse
import itertools
from typing import Any

from rich.table import Table
from rich.text import Text

from common.errors import printable
from common.spec import CELLS
from common.storage.files import write_json, write_text
from conformance.progress import Progress, results_console
from conformance.studies import plot
from conformance.studies.compare_runs import EXIT_CODES, FINISHED, carry_out, named_pythons, plan
from conformance.studies.evaluate import (
    epochs_to,
    finite,
    held_out_curve,
    tokens_per_second,
    training_curve,
)


def compare_cells(options: argparse.Namespace) -> int:
    """Train every cell with every backend, and show what came of it."""
    asked = list(dict.fromkeys(itertools.product(options.cells or CELLS, options.backends)))
    jobs = [plan(options, c, b, options.text or [], f"{c}, {b}") for c, b in asked]
    results = carry_out(jobs, named_pythons(options), Progress(options.quiet))
    made = zip(asked, results, strict=True)
    rows = [row_of(cell, backend, one, options.target) for (cell, backend), one in made]
    text = jobs[0].run.given.text()
    title = f"{text['name']}, recipe {options.recipe}, {options.numerics}"
    results_console().print(table_of(title, rows, options.target))
    if options.plot:
        write_text(options.plot, picture_of(title, rows))
    if options.json:
        about = {"text": text, "recipe": options.recipe, "numerics": options.numerics}
        write_json(options.json, finite(about | {"target": options.target, "rows": rows}))
    return max(EXIT_CODES[row["status"]] for row in rows)


def row_of(cell: str, backend: str, made: dict[str, Any], target: float) -> dict[str, Any]:
    """What the table, the picture and the JSON file say of one run."""
    training = training_curve(made)
    return {
        "cell": cell,
        "backend": backend,
        "status": made["status"],
        "reason": made.get("reason"),
        "training": training,
        "held out": held_out_curve(made),
        "tokens/s": round(tokens_per_second(made), 1) if training else None,
        "epochs to target": epochs_to(target, training),
        "prediction": made["prediction"]["text"] if made["status"] == FINISHED else None,
    }


def table_of(title: str, rows: list[dict[str, Any]], target: float) -> Table:
    """Perplexities are those of the last epoch."""
    table = Table(title=Text(printable(title)))
    table.add_column("cell")
    table.add_column("backend")
    for name in ("epochs", "perplexity", "held out", "tokens/s", f"epochs to {target:g}"):
        table.add_column(name, justify="right")
    table.add_column("prediction")
    for row in rows:
        names = (row["cell"], row["backend"], str(len(row["training"])))
        if row["status"] != FINISHED:
            reason = Text(printable(f"{row['status']}: {row['reason']}"), "red")
            table.add_row(*names, "–", "–", "–", "–", reason)
            continue
        reached = row["epochs to target"]
        table.add_row(
            *names,
            f"{row['training'][-1]:.4g}",
            f"{row['held out'][-1]:.4g}" if row["held out"] else "–",
            f"{row['tokens/s']:,.0f}",
            "not reached" if reached is None else f"{reached:.1f}",
            Text(printable(row["prediction"])),
        )
    return table


def picture_of(title: str, rows: list[dict[str, Any]]) -> str:
    """A panel for each cell, and in it a pair of curves for each backend."""
    panels: dict[str, list[plot.Curve]] = {}
    for row in rows:
        curve = plot.Curve(row["backend"], row["training"], row["held out"])
        panels.setdefault(row["cell"], []).append(curve)
    return plot.curves(f"Perplexity: {title}", panels, "epoch", "perplexity (logarithmic)")
