"""A table that fits: one that a terminal is too narrow for has its cells under one another."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

NAMES = 2
"""The first columns say whose row it is."""

BETWEEN, AROUND = 3, 1
"""What a column and a table need beside the text."""


def fitting(table: Table, console: Console) -> Table:
    """The table itself if every word has room, where the first columns are not broken as long as
    the last can be. Else one of two columns: whose row it is, and its other cells behind their
    headings."""
    cells = [[_text(column.header), *map(_text, column.cells)] for column in table.columns]
    least = [max(cell_len(word) for cell in column for word in cell.plain.split() or [""])
             for column in cells]  # fmt: skip
    most = [max(cell_len(cell.plain) for cell in column) for column in cells]
    room = console.width - AROUND - BETWEEN * len(cells) - sum(least)
    if room < 0:
        return _narrow(table)
    for column, low, high in zip(table.columns, least, most, strict=True):
        column.width = low + min(room, high - low)
        room -= column.width - low
    return table


def _narrow(table: Table) -> Table:
    narrow = Table(title=table.title, show_header=False, show_lines=True)
    narrow.add_column(overflow="fold")
    narrow.add_column(overflow="fold")
    for row in zip(*(column.cells for column in table.columns), strict=True):
        names = Text("\n").join(_text(cell) for cell in row[:NAMES] if _text(cell))
        rest = zip(table.columns[NAMES:], row[NAMES:], strict=True)
        told = [
            Text.assemble(_text(c.header), ": ", _text(cell)) for c, cell in rest if _text(cell)
        ]
        narrow.add_row(names, Text(" · ").join(told))
    return narrow


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))
