"""Pictures as SVG text: curves on a logarithmic axis, and heat maps with their numbers in them.

A picture follows the reader's light or dark mode, and nothing in it is told by colour alone: a
series has a marker of its own as well, training is solid, held-out text dashed, and every cell of a
heat map holds its number.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from common.errors import printable

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 16px }
.paper { fill: #ffffff } .axis { stroke: #59636e; fill: none } .grid { stroke: #d1d9e0 }
.curve { fill: none; stroke-width: 1.5; opacity: .9 } .held { stroke-dasharray: 6 4 }
.s0 { stroke: #0969b0 } .s1 { stroke: #c2410c } .s2 { stroke: #0a7d55 } .s3 { stroke: #9b3f86 }
.mark { fill: none; stroke-width: 1.8 } .key { stroke: #1f2328; stroke-width: 1.5 }
.cell { stroke: #ffffff } .none { fill: #e7ebef } .light { fill: #ffffff } .dark { fill: #10202e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .axis { stroke: #9198a1 } .grid { stroke: #30363d }
.s0 { stroke: #6cb6ff } .s1 { stroke: #ff9e64 } .s2 { stroke: #4ecb9a } .s3 { stroke: #e39ad2 }
.key { stroke: #e6edf3 } .cell { stroke: #0d1117 } .none { fill: #30363d }
text.light { fill: #ffffff } text.dark { fill: #10202e } }
"""

# Paths around (0, 0), one for each series; they repeat after the fourth.
MARKERS = (
    "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "m-4,-4h8v8h-8z",
    "m0,-5l5,9h-10z",
    "m-4,-4l8,8m0,-8l-8,8",
)
MARKS = 6
"""At most about so many markers on one curve."""

TICKS = (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
"""Where a logarithmic axis may be labelled, between two powers of ten."""

PANEL, HEIGHT, LEFT, TOP = 300, 260, 60, 70
LONGEST_LABEL = 28
PALEST, DEEPEST = (222, 235, 247), (8, 69, 126)


@dataclass(frozen=True)
class Curve:
    """One value for each epoch, from the first on; ``held_out`` may be empty."""

    label: str
    training: Sequence[float]
    held_out: Sequence[float] = ()


def curves(title: str, panels: dict[str, list[Curve]], x_label: str, y_label: str) -> str:
    """One panel for each group of curves, all with the same axes; the vertical one is logarithmic.
    A label looks the same in every panel."""
    drawn = [curve for group in panels.values() for curve in group]
    labels = list(dict.fromkeys(curve.label for curve in drawn))
    values = [v for c in drawn for v in (*c.training, *c.held_out) if math.isfinite(v)]
    levels = _levels(min(values, default=1.0), max(values, default=10.0))
    last = max((len(curve.training) for curve in drawn), default=1)
    span = max(1, last - 1)

    def x(epoch: int) -> float:
        return PANEL * (epoch - 1) / span

    def y(value: float) -> float:
        return HEIGHT * math.log(levels[-1] / value) / math.log(levels[-1] / levels[0])

    parts = []
    for number, (name, group) in enumerate(panels.items()):
        parts.append(f'<g transform="translate({LEFT + number * (PANEL + 30)},{TOP})">')
        parts.append(_text(PANEL / 2, -10, name, anchor="middle"))
        for level in levels:
            parts.append(f'<path class="grid" d="M0,{y(level):.1f}h{PANEL}"/>')
            if number == 0:
                parts.append(_text(-8, y(level) + 4, f"{level:g}", anchor="end"))
        for epoch in _epochs(last):
            parts.append(f'<path class="axis" d="M{x(epoch):.1f},{HEIGHT}v5"/>')
            parts.append(_text(x(epoch), HEIGHT + 20, str(epoch), anchor="middle"))
        parts.append(f'<path class="axis" d="M0,0V{HEIGHT}H{PANEL}"/>')
        parts.append(_text(PANEL / 2, HEIGHT + 40, x_label, anchor="middle"))
        for curve in group:
            series = labels.index(curve.label)
            for kind, line in (("", curve.training), (" held", curve.held_out)):
                points = [(x(e), y(v)) for e, v in enumerate(line, 1) if math.isfinite(v)]
                parts += _curve(points, series, kind)
        parts.append("</g>")
    middle = TOP + HEIGHT / 2
    turned = f"rotate(-90 16 {middle:g})"
    parts.append(_text(16, middle, y_label, anchor="middle", transform=turned))
    width = max(LEFT + len(panels) * (PANEL + 30), 560)
    parts += _legend(labels, TOP + HEIGHT + 66)
    return _picture(title, parts, width, TOP + HEIGHT + 110)


def _curve(points: list[tuple[float, float]], series: int, kind: str) -> Iterator[str]:
    if not points:
        return
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline class="curve s{series % 4}{kind}" points="{line}"/>'
    # Curves that lie on one another show their markers in different places.
    every = max(len(MARKERS), len(points) // MARKS)
    for x, y in points[series % min(every, len(points)) :: every]:
        yield f'<path class="mark s{series % 4}" d="M{x:.1f},{y:.1f}{MARKERS[series % 4]}"/>'


def _legend(labels: list[str], y: float) -> Iterator[str]:
    x = LEFT
    for series, label in enumerate(labels):
        yield f'<path class="curve s{series % 4}" d="M{x},{y}h36"/>'
        yield f'<path class="mark s{series % 4}" d="M{x + 18},{y}{MARKERS[series % 4]}"/>'
        yield _text(x + 44, y + 4, label)
        x += 70 + 8 * len(_short(label))
    for kind, label, x in (("", "training", LEFT), (" held", "held-out text", LEFT + 140)):
        yield f'<path class="key{kind}" d="M{x},{y + 24}h36"/>'
        yield _text(x + 44, y + 28, label)


def _levels(lowest: float, highest: float) -> list[float]:
    """Labels of a logarithmic axis: the two around the values, and all between them."""
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1
    every = [float(f"{tick}e{power}") for power in range(first, last + 1) for tick in TICKS]
    below = max(i for i, level in enumerate(every) if level <= lowest)
    above = min(i for i, level in enumerate(every) if level >= highest and i > below)
    step = max(1, (above - below) // 10)  # or the labels of a wide range would touch
    return sorted({*every[below : above + 1 : step], every[above]})


def _epochs(last: int) -> list[int]:
    """Labels of the horizontal axis: the first epoch, and multiples of a round number."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if last <= 6 * step)
    return [1, *(epoch for epoch in range(step, last + 1, step) if epoch > 1)]


@dataclass(frozen=True)
class Grid:
    """A matrix with its labels; None where there is no value."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]


def heat_map(title: str, grids: Sequence[Grid], row_label: str, column_label: str) -> str:
    """Matrices one below the other; the darker a cell, the larger the logarithm of its number."""
    labels = [_short(label) for grid in grids for label in (*grid.rows, *grid.columns)]
    side = max(90, 8 * max(map(len, labels), default=0) + 16)
    found = [v for grid in grids for row in grid.values for v in row if v and math.isfinite(v)]
    low, high = math.log(min(found, default=1)), math.log(max(found, default=1))
    parts, top = [], TOP
    for grid in grids:
        parts.append(_text(20, top, f"{grid.title}: {row_label} ↓, {column_label} →"))
        for column, label in enumerate(grid.columns):
            parts.append(_text(20 + side * (column + 1.5), top + 26, label, anchor="middle"))
        for row, label in enumerate(grid.rows):
            y = top + 36 + 40 * row
            parts.append(_text(12 + side, y + 25, label, anchor="end"))
            for column, value in enumerate(grid.values[row]):
                shade = (math.log(value) - low) / (high - low or 1) if value in found else None
                parts += _cell(20 + side * (column + 1), y, side, value, shade)
        top += 36 + 40 * len(grid.rows) + 40
    width = 40 + side * (1 + max((len(grid.columns) for grid in grids), default=0))
    return _picture(title, parts, max(width, 480), top)


def _cell(x: float, y: float, side: float, value: float | None, shade: float | None) -> list[str]:
    """shade: from 0, the palest, to 1; None: neutral"""
    fill, ink = 'class="cell none"', ""
    if shade is not None:
        mix = [round(a + (b - a) * shade) for a, b in zip(PALEST, DEEPEST, strict=True)]
        fill = f'class="cell" fill="rgb({mix[0]},{mix[1]},{mix[2]})"'
        ink = "light" if shade > 0.65 else "dark"  # whichever differs more from the cell
    number = "–" if value is None else f"{value:.4g}"
    return [
        f'<rect {fill} x="{x:g}" y="{y:g}" width="{side:g}" height="40"/>',
        _text(x + side / 2, y + 25, number, anchor="middle", kind=ink),
    ]


def _short(label: str) -> str:
    label = printable(label)
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _text(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", transform: str = ""
) -> str:
    """Whatever the text is, the picture stays well-formed: it is escaped, and holds no control
    character, which XML cannot."""
    more = f' transform="{transform}"' if transform else ""
    more += f' class="{kind}"' if kind else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{more}>{escape(printable(text))}</text>"


def _picture(title: str, parts: list[str], width: float, height: float) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(printable(title))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        _text(20, 28, title, kind="title"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
