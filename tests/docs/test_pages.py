"""Every page of the site in a real browser, from its file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.notebooks import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SOURCES = ROOT / "docs"
PAGES = [
    *(path.relative_to(SOURCES).with_suffix("").as_posix() for path in SOURCES.glob("[a-z]*.md")),
    *(f"chapters/{path.stem}" for path in (SOURCES / "chapters").glob("*.md")),
    "search",
]
EDITIONS = ["", "pt-br/"]
CODE = "chapters/from-scratch"

OVERFLOWING = """[...document.querySelectorAll("article :not(pre *, svg *)")].filter(e => {
  const scrolls = a => ["auto", "scroll", "hidden"].includes(getComputedStyle(a).overflowX);
  for (let a = e.parentElement; a && a.tagName != "BODY"; a = a.parentElement)
    if (scrolls(a)) return false;
  return e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1;
}).map(e => `${e.tagName} ${e.className} ${Math.round(e.getBoundingClientRect().right)}`)"""


OVERLAPPING = """[...document.querySelectorAll("figure.chart svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")]
    .filter(e => e.textContent.trim() && e.checkVisibility({opacityProperty: true}))
    .map(e => [e.textContent, e.getBoundingClientRect()]);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const box = svg.getBoundingClientRect();
  const cut = texts.filter(([, b]) => b.left < box.left - 1 || b.right > box.right + 1
    || b.top < box.top - 1 || b.bottom > box.bottom + 1).map(([t]) => `${t} is cut off`);
  return cut.concat(texts.flatMap(([t, a], k) => texts.slice(k + 1)
    .filter(([, b]) => over(a, b)).map(([u]) => `${t} lies on ${u}`)));
})"""
"""Texts of the charts that lie on one another, legends among them, or outside of the chart."""


@pytest.fixture(scope="module")
def pages(site: Path, browser: "Browser") -> Iterator[dict[str, "Page"]]:
    """A page for each colour scheme, the dark one as narrow as a phone; afterwards there must have
    been no error, and no request to anywhere but the site."""
    errors, requests, made = [], [], {}
    for scheme, width in (("light", 1280), ("dark", 360)):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page = made[scheme] = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
    yield made
    for page in made.values():
        page.context.close()
    assert errors == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}


def open_in(page: "Page", site: Path, name: str) -> None:
    # On a busy machine Chromium has been seen to take half a minute.
    page.goto(f"file://{site}/{name}.html", wait_until="load", timeout=180_000)


def without_code(name: str) -> dict | None:
    """Code has the same colours on every page, and thousands of coloured words, each of which takes
    axe a while: one page is enough for them."""
    return None if name == CODE else {"exclude": [[".highlight"]]}


OF_COLOURS = ("color-contrast", "link-in-text-block")
"""Axe's rules that look at colours. They take most of its time, and the editions have the same."""

OF_THE_SCREEN = (*OF_COLOURS, "scrollable-region-focusable", "target-size")
"""Its rules that the colour scheme or the width can change; the others read the same document."""


def rules(scheme: str, edition: str) -> dict:
    """What axe is asked: everything of a page in light colours, and what can differ in dark ones on
    a phone; of the second edition, which has words of its own, everything but the colours."""
    asked: dict = {"resultTypes": ["violations"]}
    if edition:
        return asked | {"rules": {name: {"enabled": False} for name in OF_COLOURS}}
    return asked if scheme == "light" else asked | {"runOnly": list(OF_THE_SCREEN)}


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_a_phone(pages, site: Path, name: str, edition: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("dark",) if edition else ("light", "dark"):
        page = pages[scheme]
        open_in(page, site, edition + name)
        found = Axe().run(page, without_code(name), rules(scheme, edition)).response
        assert len(found["passes"]) > (10 if edition or scheme == "light" else 0), "it looked"
        shown = [(v["id"], node["html"]) for v in found["violations"] for node in v["nodes"]]
        assert shown == [], scheme
    width = page.evaluate("innerWidth")
    assert width == 360
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(OVERLAPPING) == []


def test_tabs_stay_in_step_within_a_page_and_across_pages(pages, site: Path) -> None:
    page = pages["light"]
    open_in(page, site, "chapters/from-scratch")
    page.locator(".sd-tab-set > label", has_text="TensorFlow").first.click()
    chosen = "[...document.querySelectorAll('input:checked + label')].map(e => e.innerText)"
    assert set(page.evaluate(chosen)) == {"TensorFlow"}
    assert len(page.evaluate(chosen)) > 1
    open_in(page, site, "pt-br/chapters/from-scratch")
    assert set(page.evaluate(chosen)) == {"TensorFlow"}


def test_a_page_that_is_not_translated_says_so_and_is_read_aloud_in_english(
    pages, site: Path
) -> None:
    page = pages["light"]
    for name, english in (("trust", True), ("chapters/training", False)):
        open_in(page, site, f"pt-br/{name}")
        assert page.get_by_text("Esta página só existe em inglês.").count() == english
        assert page.locator("div[lang=en] h1").count() == english


def test_the_language_can_be_changed_there_and_back(pages, site: Path) -> None:
    page = pages["light"]
    open_in(page, site, "chapters/from-scratch")
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("link", name="Em português").click()
    assert page.locator("html").get_attribute("lang") == "pt-BR"
    page.get_by_role("link", name="In English").click()
    assert page.url.endswith("html/chapters/from-scratch.html")


def test_code_can_be_copied_by_a_button_with_a_name(pages, site: Path) -> None:
    page = pages["light"]
    open_in(page, site, "chapters/your-own-model")
    blocks = page.locator("div.highlight:has(> pre)")
    assert page.locator("button.copybtn").count() == blocks.count()
    shown = page.locator("div.highlight:has(> pre):visible").count()  # of tabs, the open one's
    assert page.get_by_role("button", name="Copy").count() == shown > 2
