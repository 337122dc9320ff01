"""Every link, anchor and resource of the built site leads to something within it."""

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.docs.built import parsed


@cache
def ids(path: Path) -> list[str]:
    return [tag["id"] for tag in parsed(path).find_all(id=True)]


def addresses(path: Path) -> list[tuple[str, bool]]:
    """Every address on a page, and whether the page is incomplete without it."""
    found = [(tag["href"], False) for tag in parsed(path).find_all(["a", "use"], href=True)]
    found += [(tag["href"], True) for tag in parsed(path).find_all("link", href=True)]
    return found + [(tag["src"], True) for tag in parsed(path).find_all(src=True)]


def fault(page: Path, address: str, needed: bool) -> str | None:
    """What is wrong with an address."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        outside = parts.scheme not in ("http", "https", "mailto", "data")
        return "is loaded from elsewhere" if needed or outside else None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return "leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in ids(target):
        return "has no such anchor"
    return None


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "equations.html"} <= {page.name for page in pages}
    faults, links = [], 0
    for page in pages:
        for address, needed in addresses(page):
            links += 1
            if wrong := fault(page, address, needed):
                faults.append(f"{page.relative_to(site)}: {address} {wrong}")
    assert links > 20 * len(pages)
    assert faults == []


def test_no_id_is_given_twice(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        found = ids(page)
        assert sorted(set(found)) == sorted(found), page


def test_both_editions_have_the_same_pages(site: Path) -> None:
    portuguese = {page.relative_to(site / "pt-br") for page in (site / "pt-br").rglob("*.html")}
    every = {page.relative_to(site) for page in site.rglob("*.html")}
    assert portuguese == {page for page in every if page.parts[0] != "pt-br"}


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page, other = tmp_path / "a.html", tmp_path / "b.html"
    page.write_text('<a href="b.html#there">x</a>')
    other.write_text('<p id="there">x</p>')
    assert addresses(page) == [("b.html#there", False)]
    assert fault(page, "b.html#there", False) is None
    assert fault(page, "b.html#gone", False) == "has no such anchor"
    assert fault(page, "c.html", False) == "leads nowhere"
    assert fault(page, "https://d2l.ai/", False) is None
    assert fault(page, "https://d2l.ai/a.js", True) == "is loaded from elsewhere"
