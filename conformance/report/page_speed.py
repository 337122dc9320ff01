"""How long the page takes: to make, and in a browser until it can be used."""

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from common.errors import BadInput
from conformance.closeness.compare import RUNGS
from conformance.progress import Progress

RESULTS = 10_000
ROWS = 14
"""Implementations and dtypes; every 50th result fails."""

ROUNDS = 5
READY = "document.documentElement.dataset.ready === 'table'"
EMPTY = "<!doctype html><html lang='en' data-ready='table'><title>empty</title>"


def large_verdict(results: int = RESULTS) -> dict[str, Any]:
    """A verdict of so many made-up case results."""
    rung = {"tensors": 20, "passed": 20, "error": 1e-7, "ratio": 1.25, "of bound": 0.1}
    heat = {
        "title": "forward: error of H",
        "rows": ["layer 2", "layer 1"],
        "columns": [str(step) for step in range(1, 36)],
        "errors": [[1e-7] * 35] * 2,
    }
    empty = {"reason": "", "place": "", "why": "", "suspects": [], "searched": False}
    empty |= {"vote": "", "heat": [], "failed": []}
    made = []
    for number in range(results):
        row, case = number % ROWS, number // ROWS
        fails = number % 50 == 0
        about = {
            "implementation": f"made-up:{row // 2}",
            "device": "cpu",
            "dtype": f"float{32 * (1 + row % 2)}",
            "case": f"random-{case}",
            "status": "fail" if fails else "pass",
        }
        rungs = {r: rung | {"ratio": 0.1 + number % 97 / 10} for r in RUNGS}
        told = {"place": "forward, step 3, layer 2, H", "heat": [heat, heat]} if fails else {}
        made.append(empty | about | told | {"rungs": rungs})
    return {
        "suite": "",
        "outcome": "FAIL",
        "passed": False,
        "claims": [],
        "open": [],
        "outside": [],
        "sentence": f"Made up: {results} results",
        "grid": {"elements": 0, "differing": 0, "straddles": 0},
        "absent": [],
        "records": [],
        "results": made,
        "training": [],
    }


def bench_report(progress: Progress) -> Table:
    """Seconds to make the page, and its load as a multiple of an empty page's."""
    try:
        from conformance.report.page import render
    except ModuleNotFoundError as error:
        expected = "the packages of requirements/report.txt"
        raise BadInput("report", error.name or "", expected, "not installed") from None
    rows = Table(title=f"The report of {RESULTS:,} case results")
    for column in ("measured", "found", "wanted"):
        rows.add_column(column)
    verdict = large_verdict()
    began = time.perf_counter()
    page = render(verdict, "today")
    rows.add_row("page made", f"{time.perf_counter() - began:.1f} s", "≤ 60 s")
    rows.add_row("size", f"{len(page.encode()) / 1e6:.1f} MB", "")
    for row in _loads(page, progress):
        rows.add_row(*row)
    return rows


def _loads(page: str, progress: Progress) -> list[tuple[str, str, str]]:
    """From the request until the table of cases is there."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        sync_playwright = None
    if found is None or sync_playwright is None:
        progress.say("page in a browser: not measured: needs Chromium and requirements/browser.txt")
        return []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        times: dict[str, list[float]] = {}
        for name, text in (("empty", EMPTY), ("page", page)):
            path = Path(folder) / f"{name}.html"
            path.write_text(text, encoding="utf-8")
        for _ in range(ROUNDS):
            for name in ("empty", "page"):
                tab = browser.new_page()
                began = time.perf_counter()
                tab.goto(f"file://{folder}/{name}.html", wait_until="commit")
                tab.wait_for_function(READY)
                times.setdefault(name, []).append(time.perf_counter() - began)
                tab.close()
        browser.close()
    ratios = [a / b for a, b in zip(times["page"], times["empty"], strict=True)]
    return [
        ("usable in Chromium", f"{statistics.median(times['page']):.2f} s", "≤ 2 s"),
        ("as a multiple of an empty page", f"{statistics.median(ratios):.1f}", ""),
    ]
