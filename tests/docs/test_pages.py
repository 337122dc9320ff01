"""Every page of the site in a real browser, from its file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.notebooks import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("babel", reason="needs the packages of requirements/docs.txt")

from docs.translations import EDITION

SOURCES = ROOT / "docs"
PAGES = [
    *(path.relative_to(SOURCES).with_suffix("").as_posix() for path in SOURCES.glob("[a-z]*.md")),
    *(f"chapters/{path.stem}" for path in (SOURCES / "chapters").glob("*.md")),
    "search",
]
EDITIONS = ["", "pt-br/"]

OVERFLOWING = """[...document.querySelectorAll("article :not(pre *, svg *)")].filter(e => {
  if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
  const scrolls = a => ["auto", "scroll", "hidden"].includes(getComputedStyle(a).overflowX);
  for (let a = e.parentElement; a && a.tagName != "BODY"; a = a.parentElement)
    if (scrolls(a)) return false;
  return e.checkVisibility();
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
  const boxes = kind => [...svg.querySelectorAll(kind)]
    .map(e => [e.textContent, e.getBoundingClientRect()]);
  const legends = boxes(".role-legend"), plotted = boxes(".role-mark:not(.role-legend *)");
  const others = legends.flatMap(([t, a], k) => [...plotted, ...legends.slice(k + 1)]
    .filter(([, b]) => over(a, b)).map(() => `the legend ${t} lies on something`));
  return cut.concat(others, texts.flatMap(([t, a], k) => texts.slice(k + 1)
    .filter(([, b]) => over(a, b)).map(([u]) => `${t} lies on ${u}`)));
})"""
"""Texts of the charts that lie on one another or outside of the chart, and legends that lie on what
is plotted or on one another."""

WIDTHS = ((360, "screen"), (768, "screen"), (1440, "screen"), (718, "print"))
"""A phone, a tablet, a desk, and A4 without its margins."""

CUT_OFF = """[...document.querySelectorAll("article *")].filter(e => e.checkVisibility()
  && ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX)
  && e.scrollWidth > e.clientWidth + 1 && !e.closest("svg")
).map(e => `${e.tagName}.${e.className} ${e.scrollWidth} ${e.textContent.slice(0, 40)}`)"""
"""What would have to be scrolled: on paper it cannot be."""


@pytest.fixture(scope="module")
def page(site: Path, browser: "Browser") -> Iterator["Page"]:
    """One for all tests; afterwards there must have been no error, and no request to anywhere but
    the site."""
    errors, requests = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert errors == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}


def open_in(page: "Page", site: Path, name: str) -> None:
    # On a busy machine Chromium has been seen to take half a minute.
    page.goto(f"file://{site}/{name}.html", wait_until="load", timeout=180_000)


OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""Axe's rules that look at colours. They take most of its time, and the editions have the same."""

OF_THE_SCREEN = ["scrollable-region-focusable", "target-size"]
"""Its other rules that the width can change; the rest reads the same document on any screen."""

LOOKS = """() => {
  document.querySelectorAll("[data-look]").forEach(e => delete e.dataset.look);
  const seen = new Set(), style = e => getComputedStyle(e);
  for (const e of document.body.querySelectorAll("*")) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || !e.checkVisibility())
      continue;
    let under = e;
    while (under.parentElement && style(under).backgroundColor == "rgba(0, 0, 0, 0)")
      under = under.parentElement;
    const s = style(e), link = e.closest("a");
    const look = [s.color, s.fill, s.opacity, s.fontSize, s.fontWeight,
      style(under).backgroundColor, link && style(link.parentElement).color].join();
    if (!seen.has(look)) e.dataset.look = "";
    seen.add(look);
  }
  return seen.size;
}"""
"""Marks one text of each look, its colours and its size: thousands of words of code look alike."""


def faults(page: "Page", asked: dict, context: dict | None = None) -> list[tuple[str, str]]:
    """What axe finds, as the rule and the element."""
    from axe_playwright_python.sync_playwright import Axe

    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    given = [context, asked | {"resultTypes": ["violations"]}]
    found = page.evaluate("([within, asked]) => axe.run(within || document, asked)", given)
    assert found["passes"], "it looked"
    return [(v["id"], node["html"]) for v in found["violations"] for node in v["nodes"]]


def of_colours(page: "Page") -> list[tuple[str, str]]:
    assert page.evaluate(LOOKS) > 5
    return faults(page, {"runOnly": OF_COLOURS}, {"include": [["[data-look]"]]})


def asked() -> list[tuple[str, str]]:
    """Pages and editions. Those that are not translated are the same in both but for what says so,
    and one of them stands for all."""
    alike = [name for name in PAGES if not name.startswith((*EDITION, "search"))]
    return [(n, e) for e in EDITIONS for n in PAGES if not (e and n in alike[1:])]


@pytest.mark.parametrize(("name", "edition"), asked())
def test_a_page_is_accessible_and_fits_every_width_and_paper(
    page, site: Path, name: str, edition: str
) -> None:
    open_in(page, site, edition + name)
    try:
        if not edition:
            assert of_colours(page) == []
            assert faults(page, {"runOnly": OF_THE_SCREEN}) == []
        page.set_viewport_size({"width": 360, "height": 800})
        page.emulate_media(color_scheme="dark")
        assert faults(page, {"rules": {rule: {"enabled": False} for rule in OF_COLOURS}}) == []
        if not edition:
            assert of_colours(page) == []
        assert page.evaluate("innerWidth") == 360
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for width, media in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(media=media)
            assert page.evaluate(OVERFLOWING) == [], (width, media)
            assert page.evaluate(OVERLAPPING) == [], (width, media)
        assert page.evaluate(CUT_OFF) == []
    finally:
        page.emulate_media(media="screen", color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 800})


def test_the_dark_scheme_is_another(page, site: Path) -> None:
    """Where it is asked for, as above."""
    open_in(page, site, "index")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) != light
    page.emulate_media(color_scheme="light")


def test_tabs_stay_in_step_within_a_page_and_across_pages(page, site: Path) -> None:
    open_in(page, site, "chapters/from-scratch")
    page.locator(".sd-tab-set > label", has_text="TensorFlow").first.click()
    chosen = "[...document.querySelectorAll('input:checked + label')].map(e => e.innerText)"
    assert set(page.evaluate(chosen)) == {"TensorFlow"}
    assert len(page.evaluate(chosen)) > 1
    open_in(page, site, "pt-br/chapters/from-scratch")
    assert set(page.evaluate(chosen)) == {"TensorFlow"}


def test_a_page_that_is_not_translated_says_so_and_is_read_aloud_in_english(
    page, site: Path
) -> None:
    for name, english in (("trust", True), ("chapters/training", False)):
        open_in(page, site, f"pt-br/{name}")
        assert page.get_by_text("Esta página só existe em inglês.").count() == english
        assert page.locator("div[lang=en] h1").count() == english


def test_a_chapter_leads_to_the_next_and_back_and_the_search_finds_it(page, site: Path) -> None:
    open_in(page, site, "chapters/from-scratch")
    page.locator("a.next-page").click()
    assert page.url.endswith("chapters/concise.html")
    page.locator("a.prev-page").click()
    assert page.url.endswith("chapters/from-scratch.html")
    page.goto(f"file://{site}/search.html?q=truncation", timeout=180_000)
    found = page.locator("#search-results li a", has_text="Recurrent networks")
    found.first.wait_for(timeout=180_000)


def test_the_language_can_be_changed_there_and_back(page, site: Path) -> None:
    open_in(page, site, "chapters/from-scratch")
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("link", name="Em português").click()
    assert page.locator("html").get_attribute("lang") == "pt-BR"
    page.get_by_role("link", name="In English").click()
    assert page.url.endswith("html/chapters/from-scratch.html")


def test_code_can_be_copied_by_a_button_with_a_name(page, site: Path) -> None:
    open_in(page, site, "chapters/your-own-model")
    blocks = page.locator("div.highlight:has(> pre)")
    assert page.locator("button.copybtn").count() == blocks.count()
    shown = page.locator("div.highlight:has(> pre):visible").count()  # of tabs, the open one's
    assert page.get_by_role("button", name="Copy").count() == shown > 2
