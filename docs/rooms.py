"""``python -m docs.rooms``: the rooms of conformance/, drawn and listed out of the source.

Writes docs/figures/rooms.svg and the table of docs/architecture.md. Both are made of the imports
and of the first sentences of the rooms' ``__init__.py``; only where a box stands is decided here. A
test fails if they are not what the source says.
"""

import ast
from pathlib import Path

from common.storage.files import write_text

DOCS = Path(__file__).parent
CONFORMANCE = DOCS.parent / "conformance"
DRAWING = DOCS / "figures" / "rooms.svg"
PAGE = DOCS / "architecture.md"
BEGIN, END = "<!-- rooms: python -m docs.rooms -->", "<!-- /rooms -->"

WIDTH, HEIGHT = 760, 530
BOX = 112, 38
WALL = 318, 175, 325
"""The line that no import crosses: x, and from where to where."""

PLACES = {
    "studies": (130, 40),
    "versions": (245, 40),
    "report": (610, 40),
    "calibrate": (360, 110),
    "gpu": (360, 40),
    "limits": (490, 40),
    "judge": (610, 140),
    "run": (80, 250),
    "worker": (240, 250),
    "diagnose": (540, 240),
    "convert": (390, 365),
    "captures": (400, 180),
    "verdict": (690, 240),
    "mutants": (530, 325),
    "records": (160, 380),
    "faults": (690, 310),
    "models": (690, 400),
    "files": (490, 490),
    "oracle": (530, 400),
    "cases": (340, 430),
    "closeness": (690, 490),
}
"""The middle of every room's box: what runs on the left, what knows the right answer on the
right, what both need below."""


def imported() -> dict[str, set[str]]:
    """By room, the rooms that it imports, under TYPE_CHECKING as well."""
    found: dict[str, set[str]] = {}
    for folder in sorted(path.parent for path in CONFORMANCE.glob("*/__init__.py")):
        names: set[str] = set()
        for path in folder.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names |= {f"{node.module}.{alias.name}" for alias in node.names}
        words = [name.split(".") for name in names]
        others = {word[1] for word in words if word[0] == "conformance" and len(word) > 1}
        found[folder.name] = others - {folder.name}
    return {room: others & set(found) for room, others in found.items()}


def reach(room: str, edges: dict[str, set[str]]) -> set[str]:
    """Every room that is reached along imports."""
    return edges[room].union(*(reach(other, edges) for other in edges[room]))


def arrows(edges: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that do not follow from others."""
    return [
        (room, other)
        for room in edges
        for other in sorted(edges[room])
        if not any(other in reach(third, edges) for third in edges[room] - {other})
    ]


def purpose(room: str) -> str:
    """The first sentence of what the room says of itself."""
    source = (CONFORMANCE / room / "__init__.py").read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(said.partition("\n\n")[0].split()).partition(". ")[0].removesuffix(".")


def rim(middle: tuple[int, int], towards: tuple[int, int], gap: float = 0.0) -> tuple[float, float]:
    """Where the line from a box's middle leaves the box, and ``gap`` further on."""
    (x, y), (dx, dy) = middle, (towards[0] - middle[0], towards[1] - middle[1])
    sides = [side / 2 / abs(d) for side, d in zip(BOX, (dx, dy), strict=True) if d]
    share = min(sides) + gap / (dx * dx + dy * dy) ** 0.5
    return round(x + share * dx, 1), round(y + share * dy, 1)


def drawing(edges: dict[str, set[str]]) -> str:
    """The rooms as SVG."""
    width, height = BOX
    x, top, bottom = WALL
    lines = [
        f'<svg color="#1f2328" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" fill="none" stroke="currentColor" stroke-width="1.5" '
        'font-family="system-ui, sans-serif">',
        "<title>The rooms of conformance/ and their imports</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff" stroke="none"/>',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse"><path d="M0,1L9,5L0,9z" '
        'fill="currentColor" stroke="none"/></marker></defs>',
        f'<path d="M{x},{top}L{x},{bottom}" stroke-dasharray="2 5" stroke-width="2.5"/>',
    ]
    for room, other in arrows(edges):
        (x1, y1), (x2, y2) = rim(PLACES[room], PLACES[other]), rim(PLACES[other], PLACES[room], 1)
        lines.append(f'<path d="M{x1},{y1}L{x2},{y2}" marker-end="url(#tip)"/>')
    for room in edges:
        x, y = PLACES[room]
        lines += [
            f'<rect x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}" '
            'rx="6" fill="#fff"/>',
            f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-size="16" fill="currentColor" '
            f'stroke="none">{room}</text>',
        ]
    return "\n".join([*lines, "</svg>\n"])


def table(edges: dict[str, set[str]]) -> str:
    """The rooms as a table, in the order in which conformance/__init__.py names them."""
    said = ast.get_docstring(ast.parse((CONFORMANCE / "__init__.py").read_text(encoding="utf-8")))
    order = sorted(edges, key=lambda room: (said or "").find(f"\n{room} "))
    lines = ["| room | what it is for | imports |", "|---|---|---|"]
    for room in order:
        others = ", ".join(other for other in order if other in edges[room])
        lines.append(f"| [{room}](../conformance/{room}) | {purpose(room)} | {others} |")
    return "\n".join(lines)


def page(text: str, edges: dict[str, set[str]]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(edges)}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    edges = imported()
    write_text(DRAWING, drawing(edges))
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), edges))


if __name__ == "__main__":
    main()
