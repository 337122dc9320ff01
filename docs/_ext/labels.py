"""The equations of common/EQUATIONS.md by their labels; needs no Sphinx."""

import re
from functools import cache
from unicodedata import combining

from docs._ext.sources import ROOT

DOCUMENT = ROOT / "common" / "EQUATIONS.md"
LABEL = re.compile(r"^[A-Z]+-\d+[ab]?\b")
COLUMN = re.compile(r"(?P<left>.*?\S) {2,}(?P<right>\([^()]*\)|a number)")


def pieces(block: str) -> list[str]:
    """A block of equations, cut before every label; what stands before the first one is a piece."""
    found: list[list[str]] = [[]]
    for line in block.splitlines():
        if LABEL.match(line):
            found.append([])
        found[-1].append(line)
    return [text for lines in found if (text := "\n".join(lines).strip("\n"))]


@cache
def defined() -> dict[str, str]:
    """Every equation of the document, by its label."""
    blocks = DOCUMENT.read_text(encoding="utf-8").split("```")[1::2]
    texts = [text for block in blocks for text in pieces(block.strip("\n"))]
    return {match.group(): text for text in texts if (match := LABEL.match(text))}


def narrow(text: str) -> str:
    """The column of shapes moved to the left, as far as the longest equation allows."""
    parts = [COLUMN.fullmatch(line) for line in text.splitlines()]
    width = max((wide(part["left"]) for part in parts if part), default=0)
    lines = []
    for line, part in zip(text.splitlines(), parts, strict=True):
        space = " " * (width + 2 - wide(part["left"])) if part else ""
        lines.append(f"{part['left']}{space}{part['right']}" if part else line)
    return "\n".join(lines)


def wide(text: str) -> int:
    """How many columns it takes; a tilde above a letter takes none."""
    return sum(not combining(letter) for letter in text)
