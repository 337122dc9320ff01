"""Every page leads to the glossary where it uses a term first, and only there."""

from collections import Counter
from pathlib import Path

import pytest

bs4 = pytest.importorskip("bs4", reason="needs the packages of requirements/docs.txt")

pytestmark = pytest.mark.once


def page(path: Path):
    return bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def links(site: Path) -> dict[str, list]:
    """By page, the links to the glossary that were put into its text."""
    pages = [*site.glob("*.html"), *site.glob("chapters/*.html")]
    return {path.stem: page(path).select("a.term") for path in pages}


def test_a_term_is_linked_once_on_a_page(links):
    for name, found in links.items():
        most = Counter(link["href"] for link in found).most_common(1)
        assert not most or most[0][1] == 1, name


def test_every_term_is_used_and_leads_to_its_words(links, site: Path):
    defined = {term["id"] for term in page(site / "glossary.html").select("dl.glossary dt")}
    assert len(defined) >= 15
    led_to = {link["href"].partition("#")[2] for found in links.values() for link in found}
    assert led_to == defined


def test_no_heading_code_or_other_link_is_cut(links):
    for name, found in links.items():
        for link in found:
            assert not link.find_parents(["h1", "h2", "h3", "h4", "pre", "code", "a"]), name


def test_the_glossary_leads_nowhere_by_itself_and_no_page_of_the_other_edition(links, site: Path):
    assert links["glossary"] == []
    assert page(site / "pt-br" / "chapters" / "the-same.html").select("a.term") == []
