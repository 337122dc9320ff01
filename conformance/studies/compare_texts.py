"""Texts side by side: trained on one author, or on all together, and evaluated on each.

``--max-tokens`` is of every file, so the model that is trained on all together sees more text in
every epoch than the others; the tables say how much.
"""

import argparse
import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from common.errors import BadInput, printable
from common.storage.files import write_json, write_text
from conformance.progress import Progress, results_console
from conformance.studies import plot
from conformance.studies.compare_runs import (
    EXIT_CODES,
    FINISHED,
    Planned,
    carry_out,
    named_pythons,
    plan,
)
from conformance.studies.evaluate import Score, Trained, finite, held_out_text

TOGETHER = "all together"


@dataclass(frozen=True)
class Row:
    """One trained model: what it was trained on, how many characters of it, how the training
    ended, and how the model does on each text (None if there is no model)."""

    trained_on: str
    characters: int
    status: str
    reason: str | None
    scores: list[Score] | None


@dataclass(frozen=True)
class Matrix:
    """A row for each text and one for all together; a column for the held-out part of each."""

    cell: str
    backend: str
    texts: list[str]
    rows: list[Row]


def compare_texts(options: argparse.Namespace) -> int:
    """For every cell and backend, train on each text and on all, and show the matrix."""
    texts = parse_texts(options.texts)
    if not options.held_out > 0:
        raise BadInput("--held-out", "", "a share above 0, to evaluate on", options.held_out)
    trained_on = texts | {TOGETHER: [file for files in texts.values() for file in files]}
    asked = list(dict.fromkeys(itertools.product(options.cells or ["lstm"], options.backends)))
    jobs = [
        plan(options, cell, backend, files, f"{cell}, {backend}, {name}")
        for cell, backend in asked
        for name, files in trained_on.items()
    ]
    results = carry_out(jobs, named_pythons(options), Progress(options.quiet))
    matrices = []
    for number, (cell, backend) in enumerate(asked):
        part = slice(number * len(trained_on), (number + 1) * len(trained_on))
        rows = rows_of(list(texts), jobs[part], results[part])
        matrices.append(Matrix(cell, backend, list(texts), rows))
    about = f"recipe {options.recipe}, {options.numerics}"
    for matrix in matrices:
        show(about, matrix)
    if options.plot:
        write_text(options.plot, picture_of(about, matrices))
    if options.json:
        found = {"recipe": options.recipe, "numerics": options.numerics, "files": texts}
        write_json(options.json, finite(found | {"matrices": list(map(asdict, matrices))}))
    return max(EXIT_CODES[made["status"]] for made in results)


def parse_texts(values: list[str]) -> dict[str, list[str]]:
    """``name=file,file``, or a file, which is its own name."""
    texts: dict[str, list[str]] = {}
    for value in values:
        name, named, files = value.partition("=")
        name = name if named else Path(value).name
        sources = files.split(",") if named else [value]
        if not name or not all(sources):
            raise BadInput("--texts", "", "a file, or name=file,file", repr(value))
        if name in (*texts, TOGETHER):
            raise BadInput("--texts", "", "another name for every text", f"{name!r} again")
        texts[name] = sources
    if len(texts) < 2:
        raise BadInput("--texts", "", "at least two texts", len(texts))
    return texts


def rows_of(names: list[str], jobs: list[Planned], results: list[dict[str, Any]]) -> list[Row]:
    """The matrix of one cell and backend; the last job is all texts together."""
    # What a text's own run holds out of it is what every model is evaluated on.
    held_out = [held_out_text(job.run.given) for job in jobs[:-1]]
    rows = []
    for name, job, made in zip([*names, TOGETHER], jobs, results, strict=True):
        model = Trained.read(job.run.folder) if made["status"] == FINISHED else None
        scores = [model.on(text) for text in held_out] if model else None
        characters = len(job.run.given.corpus.tokens)
        rows.append(Row(name, characters, made["status"], made.get("reason"), scores))
    return rows


def show(about: str, matrix: Matrix) -> None:
    """The matrix as a table, then what went wrong and what a vocabulary lacked."""
    title = f"Held-out perplexity: {matrix.cell}, {matrix.backend}, {about}"
    table = Table(title=Text(printable(title)))
    table.add_column("trained on")
    table.add_column("characters", justify="right")
    for name in matrix.texts:
        table.add_column(Text(printable(f"on {name}")), justify="right")
    notes = []
    for row in matrix.rows:
        cells = ["–"] * len(matrix.texts)
        if row.scores is None:
            notes.append(f"trained on {row.trained_on}: {row.status}: {row.reason}")
        else:
            cells = [f"{score.perplexity:.4g}" for score in row.scores]
            notes += unknown(matrix.texts, row)
        table.add_row(Text(printable(row.trained_on)), f"{row.characters:,}", *cells)
    console = results_console()
    console.print(table)
    for note in notes:
        console.print(Text(printable(note)), soft_wrap=True)


def unknown(texts: list[str], row: Row) -> list[str]:
    """A line for every text in which the model's vocabulary lacks characters."""
    return [
        f"trained on {row.trained_on}, evaluated on {name}: {score.unknown:,} of "
        f"{score.characters:,} characters are not in the vocabulary (<unk>)"
        for name, score in zip(texts, row.scores or [], strict=True)
        if score.unknown
    ]


def picture_of(about: str, matrices: list[Matrix]) -> str:
    """A heat map for each matrix."""
    grids = []
    for matrix in matrices:
        nothing = [None] * len(matrix.texts)
        values = [
            [score.perplexity for score in row.scores] if row.scores else nothing
            for row in matrix.rows
        ]
        names = [row.trained_on for row in matrix.rows]
        grids.append(plot.Grid(f"{matrix.cell}, {matrix.backend}", names, matrix.texts, values))
    return plot.heat_map(f"Held-out perplexity, {about}", grids, "trained on", "evaluated on")
