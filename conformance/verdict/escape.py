"""Text out of files, made harmless for where it is written. For a terminal: common/errors.py."""

import re
from xml.sax.saxutils import escape

from common.errors import printable

NOTHING = "&#8203;"
"""A space of no width: what it stands in is read as before, and means nothing any more."""


def markdown(text: str) -> str:
    """Text for a line or a cell of Markdown, as GitHub reads it: it cannot end the cell, open a tag
    or a comment, mention anybody, point at an issue, or become a link or a picture."""
    text = escape(re.sub(r"([\\`*_\[\]|~$])", r"\\\1", printable(text)))
    return re.sub(r"@(?=\w)|#(?=\d)|(?<=\w)://|\bwww\.", _broken, text)


def _broken(found: re.Match[str]) -> str:
    mark = found[0]
    return mark[0] + NOTHING + mark[1:] if len(mark) > 1 else mark + NOTHING
