"""Every page leads to the glossary where it uses a term first, and only there."""

from collections import Counter
from pathlib import Path

import pytest

from tests.docs.built import parsed

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def links(site: Path) -> dict[str, list]:
    """By page, the links to the glossary that were put into its text."""
    pages = [*site.glob("*.html"), *site.glob("chapters/*.html")]
    return {path.stem: parsed(path).select("a.term") for path in pages}


def test_a_term_is_linked_once_on_a_page(links):
    for name, found in links.items():
        most = Counter(link["href"] for link in found).most_common(1)
        assert not most or most[0][1] == 1, name


def test_every_term_is_used_and_leads_to_its_words(links, site: Path):
    defined = {term["id"] for term in parsed(site / "glossary.html").select("dl.glossary dt")}
    assert len(defined) >= 15
    led_to = {link["href"].partition("#")[2] for found in links.values() for link in found}
    assert led_to == defined


def test_no_heading_code_or_other_link_is_cut(links):
    for name, found in links.items():
        for link in found:
            assert not link.find_parents(["h1", "h2", "h3", "h4", "pre", "code", "a"]), name


def test_the_glossary_leads_nowhere_by_itself_and_no_page_of_the_other_edition(links, site: Path):
    assert links["glossary"] == []
    assert parsed(site / "pt-br" / "chapters" / "the-same.html").select("a.term") == []
