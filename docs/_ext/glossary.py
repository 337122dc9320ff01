"""Terms of the glossary lead to it, each where a page uses it first.

A term in a heading, in code, in a link or in a formula stays as it is. Only English pages have such
links: the glossary is English.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGE = "glossary"
KEPT = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title, nodes.math, nodes.raw)
"""A term inside of one of these is no use of it in a sentence."""


def terms(app: Sphinx) -> dict[str, str]:
    """Every term with its anchor, the longest first: *declared deviation* before *deviation*."""
    objects = app.env.domains["std"].get_objects()
    found = {name: anchor for name, _, kind, _, anchor, _ in objects if kind == "term"}
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def link_terms(app: Sphinx, document: nodes.document, page: str) -> None:
    """Make a link of the first use of each term."""
    if app.config.language != "en" or page == PAGE:
        return
    for term, anchor in terms(app).items():
        plural = rf"\b{re.escape(term)}(e?s)?\b"
        for text in sentences(document):
            if match := re.search(plural, text.astext(), re.IGNORECASE):
                cut(text, match.span(), f"{app.builder.get_relative_uri(page, PAGE)}#{anchor}")
                break


def sentences(document: nodes.document) -> Iterator[nodes.Text]:
    """The text of paragraphs, in the order of the page."""
    for paragraph in list(document.findall(nodes.paragraph)):
        if within(paragraph, (addnodes.compact_paragraph, nodes.topic)):
            continue  # of the table of contents
        for text in list(paragraph.findall(nodes.Text)):
            if not within(text, KEPT):
                yield text


def within(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def cut(text: nodes.Text, span: tuple[int, int], address: str) -> None:
    """Put a link in the place of a part of a text."""
    whole = text.astext()
    word = whole[slice(*span)]
    link = nodes.reference(word, word, refuri=address, internal=True, classes=["term"])
    parts = [nodes.Text(whole[: span[0]]), link, nodes.Text(whole[span[1] :])]
    text.parent.replace(text, [part for part in parts if part.astext()])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
