"""The page: one file that shows a verdict, without any request to a network."""

import functools
import json
import math
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from common.errors import printable
from conformance.closeness.compare import RUNGS
from conformance.report import charts
from conformance.report.causes import entries
from conformance.report.changes import Change
from conformance.report.rows import SYMBOLS, matrix, training_rows
from conformance.verdict.deviations import load_deviations
from conformance.verdict.outcome import (
    DECLARED,
    FAILED,
    INCOMPLETE,
    PASS,
    PASSED,
    SIGNS,
    STRADDLE,
    UNSUPPORTED,
    WRONG,
)
from conformance.verdict.terminal import replay_command
from conformance.verdict.terminal_training import SYMBOLS as TRAINING_SYMBOLS

HERE = Path(__file__).parent

KINDS = {PASSED: "pass", FAILED: "fail", INCOMPLETE: "declared"}
"""Of a verdict, for page.css."""

MOST_SHOWN = 60
"""So many causes of failures and deviations are told; all cases are in the table."""

MOST_NAMED = 100
"""Of the cases with one cause."""

MOST_CHANGES = 500
MOST_COLUMNS = 40
"""A heat map of more steps is drawn up to here; a trace that long is wrong from early on."""


def render(
    verdict: dict[str, Any],
    made: str,
    against: str = "",
    changed: list[Change] | None = None,
    versions: list[tuple[str, str, str, str]] | None = None,
) -> str:
    """The page as HTML.

    verdict: a verdict.json      made: when the page is made
    against: the name of an earlier run; changed, versions: what changed since
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    told = entries(verdict)
    return environment.get_template("page.html").render(
        verdict=verdict,
        sign=SIGNS[verdict["outcome"]],
        kind=KINDS[verdict["outcome"]],
        made=made,
        rungs=RUNGS,
        symbols=SYMBOLS,
        matrix=matrix(verdict),
        told=told[:MOST_SHOWN],
        untold=max(0, len(told) - MOST_SHOWN),
        wrong=WRONG,
        most_named=MOST_NAMED,
        training=training_table(verdict),
        titles=sorted({result["title"] for result in verdict["training"]}),
        troubles=[r for r in verdict["training"] if r["status"] not in (PASS, UNSUPPORTED)],
        predictions=predictions(verdict),
        unsupported=unsupported(verdict),
        deviations=deviations(verdict),
        against=against,
        changed=None if changed is None else changed[:MOST_CHANGES],
        unchanged=0 if changed is None else max(0, len(changed) - MOST_CHANGES),
        versions=versions or [],
        replay=replay_command,
        most_columns=MOST_COLUMNS,
        heat_class=heat_class,
        power=power,
        # Drawn by page.js.
        data=as_script(
            {
                "charts": {
                    "errors": charts.errors(verdict),
                    "curves": charts.curves(verdict),
                    "strains": {"all": charts.strains(verdict)},
                    "speeds": charts.speeds(verdict),
                },
                "rungs": RUNGS,
                "cases": cases(verdict),
            }
        ),
        vega=Markup(library()),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
    )


def _harmless(value: Any) -> Any:
    """What came out of a file, in one line and without control characters; Jinja escapes it."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def as_script(value: Any) -> Markup:
    """JSON that stands between script tags: nothing in it can close them."""
    text = json.dumps(_clean(value), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _clean(value: Any) -> Any:
    """JSON values without a control character in any text."""
    if isinstance(value, dict):
        return {printable(key): _clean(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(part) for part in value]
    return printable(value) if isinstance(value, str) else value


@functools.cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed in one script, out of the pinned package vl-convert."""
    made = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  its stub asks for more
    return made.replace("</script", "<\\/script")


def cases(verdict: dict[str, Any]) -> list[list[Any]]:
    """A row of the table of cases for each result: implementation, device, dtype, case, status,
    worst error in noise floors and its rung, ratios by rung, whether each rung passed (null: it was
    not reached), what there is to say, and the command that records it again."""
    rows = []
    for result in verdict["results"]:
        rungs = result["rungs"]
        # Weights are exact or wrong, in no multiple of anything.
        judged = [rung if rung in rungs and rung != "weights" else None for rung in RUNGS]
        ratios = [_short(rungs[rung]["ratio"]) if rung else None for rung in judged]
        passed = [_passed(rungs[rung]) if rung in rungs else None for rung in RUNGS]
        found = [(r, n) for r, n in zip(ratios[1:], RUNGS[1:], strict=True) if r is not None]
        worst, rung = max(found, default=(None, ""))
        said = [result["reason"], result["place"], result["why"]]
        rows.append(
            [
                *(result[key] for key in ("implementation", "device", "dtype", "case", "status")),
                worst,
                rung,
                ratios,
                passed,
                " · ".join(printable(part) for part in said if part),
                replay_command(result),
            ]
        )
    return rows


def _passed(found: dict[str, Any]) -> int:
    return int(found["passed"] == found["tensors"])


def _short(ratio: float | None) -> float | None:
    return None if ratio is None else float(f"{ratio:.4g}")


def training_table(verdict: dict[str, Any]) -> list[tuple[tuple[str, str, str], list[Any]]]:
    """Rows of the training matrix: who, and for every title kind, symbol, text; None if not run."""
    titles = sorted({result["title"] for result in verdict["training"]})
    return [
        (row, [_training_cell(found.get(title)) for title in titles])
        for row, found in training_rows(verdict)
    ]


def _training_cell(result: dict[str, Any] | None) -> tuple[str, str, str] | None:
    if result is None:
        return None
    status = result["status"]
    symbol = TRAINING_SYMBOLS.get(status, ("✗", ""))[0]
    kind = {PASS: "pass", UNSUPPORTED: "none"}.get(status, "fail")
    kind = "declared" if symbol in "△?" else kind
    parts = []
    if result["numerics"] == "lattice" and (status in (PASS, STRADDLE) or kind == "fail"):
        parts.append(f"{result['agreed']}/{result['epochs']}")
    if status != PASS:
        parts.append(status)
    if result["perplexity"] is not None:
        parts.append(f"{result['perplexity']:.4g}")
    return kind, symbol, " ".join(parts)


def predictions(verdict: dict[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """By title, every prediction with those who made it."""
    found: dict[str, dict[str, list[str]]] = {}
    for result in verdict["training"]:
        if result["prediction"]:
            who = found.setdefault(result["title"], {}).setdefault(result["prediction"], [])
            who.append(charts.row_name(result, "numerics"))
    return [(title, sorted(said.items())) for title, said in sorted(found.items())]


def unsupported(verdict: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Who does not support what, why, and the cases."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for part, name in (("results", "case"), ("training", "title")):
        for result in verdict[part]:
            if result["status"] == UNSUPPORTED:
                key = result["implementation"], result["reason"]
                found.setdefault(key, {})[result[name]] = None
    return [(*key, list(cases)) for key, cases in sorted(found.items())]


def deviations(verdict: dict[str, Any]) -> list[tuple[dict[str, Any], int]]:
    """The declared deviations of the frameworks that are in the verdict, with how many results each
    excused, those that excused most first."""
    there = {record["passport"].get("framework") for record in verdict["records"]}
    used: dict[str, int] = {}
    for result in verdict["results"]:
        if result["status"] == DECLARED:
            for name in result["reason"].split(", "):
                used[name] = used.get(name, 0) + 1
    found = [(d.fields, used.get(d.id, 0)) for d in load_deviations()]
    found = [(fields, count) for fields, count in found if fields["framework"] in there or count]
    return sorted(found, key=lambda pair: -pair[1])


def power(error: float | None) -> str:
    """An error in a cell of a heat map: its power of ten; 0 if it is exact, NaN if it is none."""
    if error is None:
        return "NaN"
    return "0" if error == 0 else str(math.floor(math.log10(error))).replace("-", "−")


def heat_class(error: float | None) -> str:
    """A shade for every third power of ten, from h0, no more than rounding, to h5."""
    if error is None:
        return "h5"
    levels = (1e-15, 1e-12, 1e-9, 1e-6, 1e-3)
    return f"h{sum(error > level for level in levels)}"
