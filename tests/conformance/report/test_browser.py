"""The page in a real browser, from a file."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("vl_convert", reason="needs the packages of requirements/report.txt")

from conformance.report.page import render
from conformance.report.verdict_file import read_verdict
from tests.conformance.report.helpers import failing, hostile, result, run, verdict

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.once

Open = Callable[..., "Page"]
CHARTS = ("errors", "curves", "strains", "speeds")

OVERFLOWING = """[...document.querySelectorAll("body, body *")].filter(e =>
  !e.closest(".scroll") && !e.closest("svg") && e.checkVisibility() &&
  getComputedStyle(e).display != "inline" && e.scrollWidth > e.clientWidth + 1)
  .map(e => `${e.tagName} ${e.className} ${e.scrollWidth} > ${e.clientWidth}`)"""


def mixed() -> dict:
    """Failing, deviating and passing results, and training."""
    results = [failing("numpy:equations", "lstm-L2"), result("numpy:equations", "gru-L1")]
    results += [result("torch:layers", f"case-{i}", dtype="float64") for i in range(250)]
    results += [result("torch:layers", "declared", status="declared deviation", reason="known")]
    tests = [{"part": "whole run", "name": "the end", "strain": 0.5}]
    runs = [run("numpy:equations"), run("torch:layers", numerics="float32", tests=tests)]
    return verdict(results, runs)


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Open]:
    """Opens a verdict's page; afterwards there must have been no error, and no request but one."""
    contexts, errors, requests = [], [], []

    def open_page(
        found: dict, width: int = 1440, scheme: str = "light", address: str = ""
    ) -> "Page":
        path = tmp_path / "report.html"
        path.write_text(render(found, "today"), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append("a dialog"), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{path}{address}")
        for name in CHARTS:
            page.wait_for_selector(
                f"#chart-{name} svg, #chart-{name}:not(:empty)", state="attached"
            )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert contexts
    assert errors == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


def rows(page: "Page") -> list[str]:
    return page.locator("#table tbody tr td:nth-child(4)").all_inner_texts()


def test_a_real_report_shows_the_matrix_and_every_chart(opened: Open, recorded: Path) -> None:
    page = opened(read_verdict(recorded / "verdict.json"))
    assert page.locator("#verdict").inner_text().startswith("✓ PASS: 1 implementation")
    assert "numpy:equations" in page.locator("#matrix tbody").inner_text()
    for name in CHARTS:
        box = page.locator(f"#chart-{name} svg").first.bounding_box()
        assert box["width"] > 300, name
        assert box["height"] > 20, name
    assert page.locator("#chart-errors svg .mark-rect path").count() > 0


def test_charts_have_tooltips_and_can_be_switched(opened: Open) -> None:
    page = opened(mixed())
    bar = page.locator("#chart-errors svg .mark-rect path").first
    bar.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "worst" in tooltip.inner_text()
    before = page.locator("#chart-errors").inner_html()
    page.locator("#pick-errors").select_option("gradients")
    page.wait_for_function(
        "before => document.querySelector('#chart-errors').innerHTML !== before", arg=before
    )


def test_the_table_filters_and_sorts(opened: Open) -> None:
    page = opened(mixed())
    assert len(rows(page)) == 100
    page.locator("#more").click()
    assert len(rows(page)) == 253
    page.locator("#search").fill("numpy LSTM")
    assert rows(page) == ["lstm-L2"]
    page.locator("#search").fill("")
    page.locator("#status").select_option("declared deviation")
    assert rows(page) == ["declared"]
    page.locator("#status").select_option("")
    heading = page.locator("#table th", has_text="worst error")
    heading.locator("button").click()
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert rows(page)[0] == "lstm-L2"
    page.locator("#table th", has_text="case").locator("button").click()
    assert rows(page)[:2] == sorted(rows(page))[:2] == ["case-0", "case-1"]


def test_a_case_has_an_address(opened: Open) -> None:
    page = opened(mixed(), address="#case=lstm-L2")
    shown = page.locator("#case")
    assert shown.is_visible()
    assert "lstm-L2" in shown.inner_text()
    assert "✗ 1e+6×" in shown.inner_text()
    assert "--cases lstm-L2" in shown.inner_text()
    page.evaluate("location.hash = '#case=nobody%'")
    page.wait_for_function("document.querySelector('#case').innerText.includes('no case')")
    page.evaluate("location.hash = '#rows=torch:layers'")
    page.wait_for_function("document.querySelector('#search').value === 'torch:layers'")
    assert "lstm-L2" not in rows(page)


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("make", [mixed, hostile])
def test_no_text_overflows(opened: Open, width: int, make: Callable[[], dict]) -> None:
    page = opened(make(), width)
    page.evaluate("for (const told of document.querySelectorAll('details')) told.open = true")
    page.evaluate("location.hash = '#case=lstm-L2'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_inaccessible(opened: Open, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(mixed(), scheme=scheme, address="#case=lstm-L2")
    page.evaluate("for (const told of document.querySelectorAll('details')) told.open = true")
    found = Axe().run(page).response
    assert len(found["passes"]) > 10  # it looked
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []


def test_a_hostile_record_is_shown_harmlessly(opened: Open) -> None:
    page = opened(hostile(), address="#rows=numpy")
    assert "<script>alert(1)</script>" in page.locator("#verdict").inner_text()
    assert page.locator("script").count() == 3
    text = page.locator("body").inner_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_on_paper_everything_is_open(opened: Open) -> None:
    page = opened(mixed())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 10_000


CUT_OFF = """[...document.querySelectorAll("th, td, caption, summary, dd")].filter(e =>
  e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
  .map(e => `${e.tagName} ${e.className} ${e.innerText.slice(0, 40)}`)"""


def several_statuses() -> dict:
    """As in the main job: a row has all that there is beside what passed."""
    statuses = ("unsupported", "declared deviation", "crashed", "not run")
    results = [result("tensorflow:equations", "case", device=d) for d in ("cpu", "gpu")]
    results += [
        result("tensorflow:equations", f"{status}-{k}", status=status, reason="a reason")
        for status in statuses
        for k in range(12)
    ]
    return verdict(results, [run("numpy:equations"), run("torch:layers")])


@pytest.mark.parametrize("width", [1440, 768, 360])
def test_what_is_beside_the_rungs_is_not_cut_off(opened: Open, width: int) -> None:
    page = opened(several_statuses(), width)
    assert page.evaluate(CUT_OFF) == []
    if width == 1440:
        box = page.locator("#matrix .scroll")
        assert box.evaluate("e => e.scrollWidth <= e.clientWidth"), "nothing is to be scrolled for"


def test_nothing_is_cut_off_in_print(opened: Open) -> None:
    page = opened(several_statuses(), 794)  # A4 at 96 pixels an inch
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []
    wide = "e => e.getBoundingClientRect().right <= document.documentElement.clientWidth"
    assert all(
        page.locator("table").nth(k).evaluate(wide) for k in range(page.locator("table").count())
    )


def test_what_parts_the_curves_can_be_drawn_alone(opened: Open) -> None:
    page = opened(several_statuses())
    names = page.locator("#pick-curves option").all_text_contents()
    assert [n for n in names if n.endswith(" / median")]
    page.select_option("#pick-curves", label=next(n for n in names if "median" in n))
    page.wait_for_function(
        "document.querySelector('#chart-curves').textContent.includes('perplexity / median')"
    )
