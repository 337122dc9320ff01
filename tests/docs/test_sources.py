"""Links that lead out are whole, and what is cited is listed with all by which it is found."""

import re
from urllib.parse import urlsplit

import pytest

from docs.notebooks import CHAPTERS, ROOT

pytestmark = pytest.mark.once

PAGES = [
    *sorted(CHAPTERS.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "common/EQUATIONS.md")),
]
EQUATIONS = (ROOT / "common" / "EQUATIONS.md").read_text(encoding="utf-8")
BEFORE, _, LISTED = EQUATIONS.partition("\n## Sources\n")
SOURCES = [" ".join(part.split()) for part in re.split(r"^- ", LISTED, flags=re.MULTILINE)[1:]]
YEAR = r"(?:19|20)\d\d"


def links() -> list[tuple[str, str, str]]:
    """Page, text and address of every link that leads out of the project."""
    found = []
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        found += [
            (page.name, *link) for link in re.findall(r"\[([^\]]+)\]\((https?:[^)]*)\)", text)
        ]
    return found


def fault(text: str, address: str) -> str | None:
    """What is wrong with a link, as far as it can be seen without a network."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc):
        return "is no https address of a host"
    if re.search(r"[\s<>\"{}|\\^`]|//|[.,;]$", parts.path):
        return "has an odd path"
    if parts.netloc == "arxiv.org":
        number = re.fullmatch(r"/abs/(\d{4}\.\d{4,5})", parts.path)
        if not number or number[1] not in text:
            return "is not the paper that its text names"
    file = re.search(r"/blob/(main|master|v?\d[\w.]*)/.+\.\w+$", parts.path)
    if parts.netloc == "github.com" and "/blob/" in parts.path and not file:
        return "names no file of a branch or a version"
    return None


def test_every_link_that_leads_out_is_whole() -> None:
    found = links()
    assert len(found) > 20
    assert [(page, address, wrong) for page, text, address in found
            if (wrong := fault(text, address))] == []  # fmt: skip


def test_every_preprint_has_its_year() -> None:
    """The year it is cited by: the one in its number, or that of print, the next."""
    text = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    numbers = re.findall(r"\]\(https://arxiv\.org/abs/(\d\d)[\d.]+\)", text)
    dated = re.findall(rf"\]\(https://arxiv\.org/abs/(\d\d)[\d.]+\), ({YEAR})\b", text)
    assert [number for number, _ in dated] == numbers != []
    assert all(int(year) - 2000 - int(number) in (0, 1) for number, year in dated)


def test_links_that_are_not_whole_would_be_found() -> None:
    assert fault("arXiv 1211.5063", "https://arxiv.org/abs/1211.5063") is None
    for text, address in (
        ("arXiv 1211.5063", "https://arxiv.org/abs/1211.5064"),
        ("a page", "http://d2l.ai"),
        ("a page", "https://d2l"),
        ("a page", "https://d2l.ai/chapter."),
        ("a file", "https://github.com/onnx/onnx/blob/main"),
    ):
        assert fault(text, address)


def test_every_source_has_who_what_and_when() -> None:
    """A paper has authors, a title, where it stands and its year; a book and a specification have
    their address."""
    for source in SOURCES:
        paper = re.match(
            rf"[A-Z]\. .+?, .{{10,}}?, .*(\*[^*]+\*|arXiv \d{{4}}\.\d+).*{YEAR}", source
        )
        assert paper or "https://" in source, source


def test_what_is_cited_is_listed_and_what_is_listed_is_of_use() -> None:
    """By the first author and the year, in the equations and in the chapters."""
    cited = set()
    for text in (BEFORE, *(page.read_text(encoding="utf-8") for page in PAGES[:-1])):
        prose = " ".join(text.split())
        cited |= set(re.findall(rf"([A-Z][a-z]+)(?: & [A-Z]\w+| et al\.)? ({YEAR})\b", prose))
    cited -= {(who, year) for who, year in cited if who in NO_AUTHORS}
    assert len(cited) > 10
    for who, year in cited:
        assert any(f" {who}" in source and year in source for source in SOURCES), (who, year)
    for source in SOURCES:
        named = any(who in source and year in source for who, year in cited)
        assert named or "https://d2l.ai" in source or "onnx.ai" in source, source


NO_AUTHORS = ("since", "Python", "November", "Version")
"""Words that stand before a year or a number like one."""
