"""The page's charts, as Vega-Lite specifications; page.js hands them to Vega, which draws them.

Every chart has tooltips; the wheel zooms and dragging moves; a click into the legend shows one
implementation alone, with shift several. No data is fetched: it stands in the specification.
"""

import math
import statistics
from typing import Any

from conformance.closeness.compare import RUNGS, UNIT_ROUNDOFF, load_bounds

Spec = dict[str, Any]

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00"]
COLOURS += ["#7570b3", "#1b9e9e", "#a6611a", "#b2182b", "#4d9221", "#8073ac", "#c51b7d"]
"""The first six are Okabe and Ito's, told apart with any kind of colour vision; what they tell is
also in the tooltips and in the tables."""

LOWEST = 2.0**-6
"""Errors below this many noise floors, exact ones among them, are drawn in the leftmost column."""

BINS_PER_DOUBLING = 2
LABEL = "datum.value < 1000 ? format(datum.value, '~g') : format(datum.value, '.0e')"

ROW = 22
"""The height of a row, in pixels."""

NARROWEST = 1.2
"""Of the curves, in pixels."""

MOST_POINTS = 200
"""Of a longer curve every n-th epoch is drawn."""


ZOOM = {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"}


def across(values: list[dict[str, Any]], height: int) -> Spec:
    """The data, in a chart as wide as the page."""
    return {"data": {"values": values}, "width": "container", "height": height}


def row_name(result: dict[str, Any], format: str) -> str:
    device = "" if result["device"] == "cpu" else f" ({result['device']})"
    return f"{result['implementation']}{device} {result[format]}"


def errors(verdict: dict[str, Any]) -> dict[str, Spec]:
    """By rung: how the errors of the cases spread over multiples of the noise floor, a row for each
    implementation, with the bound; counts in columns, however many cases there are."""
    bins: dict[str, dict[tuple[str, int], dict[str, Any]]] = {rung: {} for rung in RUNGS}
    bounds = load_bounds()
    for result in verdict["results"]:
        for rung, found in result["rungs"].items():
            ratio = found["ratio"]
            if ratio is None or rung == "weights":
                continue  # weights are exact or wrong, and nothing that is not finite can be drawn
            number = _bin(ratio)
            key = row_name(result, "dtype"), number
            bound = bounds[result["device"]][result["dtype"]][rung].ratio
            entry = bins[rung].setdefault(key, {"cases": 0, "worst": -1.0, "bound": bound})
            entry["cases"] += 1
            if ratio > entry["worst"]:
                entry |= {"worst": ratio, "worst case": result["case"]}
    return {rung: _error_chart(rung, found) for rung, found in bins.items() if found}


def _bin(ratio: float) -> int:
    return math.floor(BINS_PER_DOUBLING * math.log2(max(ratio, LOWEST)))


def _error_chart(rung: str, bins: dict[tuple[str, int], dict[str, Any]]) -> Spec:
    values = [
        {
            "row": row,
            "from": 2 ** (number / BINS_PER_DOUBLING),
            "to": 2 ** ((number + 1) / BINS_PER_DOUBLING),
            **{name: value for name, value in entry.items() if name != "bound"},
        }
        for (row, number), entry in bins.items()
    ]
    x = {
        "field": "from",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False},
        "axis": {"labelExpr": LABEL, "tickCount": 8, "labelOverlap": True},
        "title": "error in noise floors",
    }
    count = {"field": "cases", "type": "quantitative", "scale": {"scheme": "blues"}}
    tooltip = [
        {"field": "row", "title": "implementation"},
        {"field": "cases", "title": "cases in this column"},
        {"field": "worst", "format": ".3g", "title": "worst, in noise floors"},
        {"field": "worst case"},
    ]
    marks: list[Spec] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.9}},
            "params": [ZOOM],
            "encoding": {"x": x, "x2": {"field": "to"}, "color": count, "tooltip": tooltip},
        }
    ]
    bounded = {row: entry["bound"] for (row, _), entry in bins.items()}
    limits = [
        {"row": row, "bound": bound, "label": f"its bound: {bound:g}×"}
        for row, bound in bounded.items()
        if math.isfinite(bound)
    ]
    if limits:
        tick = {"type": "tick", "color": "#d55e00", "thickness": 3, "size": ROW}
        place = {"x": {"field": "bound", "type": "quantitative"}, "tooltip": {"field": "label"}}
        marks.append({"data": {"values": limits}, "mark": tick, "encoding": place})
    rows = {"field": "row", "type": "nominal", "title": None, "axis": {"labelLimit": 220}}
    return {
        **across(values, ROW * len(bounded)),
        "encoding": {"y": rows},
        "layer": marks,
    }


def curves(verdict: dict[str, Any]) -> dict[str, Spec]:
    """By title: perplexity over the epochs, every implementation's curve over the others'; where
    there are several, also how far each lies from their median."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for result in verdict["training"]:
        if result["curve"]:
            runs.setdefault(result["title"], []).append(result)
    found: dict[str, Spec] = {}
    for title, results in sorted(runs.items()):
        found[title] = _curve_chart(results)
        if len(results) > 1:
            found[f"{title} / median"] = _curve_chart(results, relative=True)
    return found


def _curve_chart(results: list[dict[str, Any]], relative: bool = False) -> Spec:
    values = [
        {
            "run": row_name(result, "numerics"),
            "numerics": result["numerics"],
            "epoch": epoch,
            "perplexity": perplexity,
        }
        for result in results
        for epoch, perplexity in enumerate(result["curve"], start=1)
        if perplexity is not None and _drawn(epoch, len(result["curve"]))
    ]
    names = list(dict.fromkeys(value["run"] for value in values))
    by_epoch: dict[int, list[float]] = {}
    for value in values:
        by_epoch.setdefault(value["epoch"], []).append(value["perplexity"])
    for value in values:
        value["apart"] = value["perplexity"] / statistics.median(by_epoch[value["epoch"]]) - 1
        value["width"] = NARROWEST + (len(names) - 1 - names.index(value["run"]))
    y: Spec = {"field": "perplexity", "scale": {"type": "log", "nice": False}}
    if relative:  # symmetric, linear below what float32 rounds
        scale = {"type": "symlog", "constant": UNIT_ROUNDOFF}
        y = {"field": "apart", "title": "perplexity / median − 1", "scale": scale}
    axis = {"format": "~g", "labelOverlap": True}
    encoding = {
        "x": {"field": "epoch", "type": "quantitative", "axis": {"tickMinStep": 1}},
        "y": {"type": "quantitative", "axis": axis, **y},
        "color": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": names, "range": COLOURS},
            "legend": {"orient": "bottom", "columns": 1, "labelLimit": 260, "title": None}
            | {"symbolType": "square", "symbolSize": 80, "symbolStrokeWidth": 0},
        },
        # Curves lie on one another: those below are broader, so that all of them are seen.
        "strokeWidth": {"field": "width", "type": "quantitative", "scale": None},
        "opacity": {"condition": {"param": "chosen", "value": 1}, "value": 0.08},
        "tooltip": [
            {"field": "run"},
            {"field": "epoch"},
            {"field": "perplexity", "format": ".6g"},
            {"field": "apart", "format": ".2e", "title": "from the median"},
        ],
    }
    return {
        **across(values, 280),
        "mark": {"type": "line", "tooltip": True},
        "params": [
            {"name": "chosen", "select": {"type": "point", "fields": ["run"]}, "bind": "legend"},
            {**ZOOM, "select": "interval"},
        ],
        "encoding": encoding,
    }


def _drawn(epoch: int, epochs: int) -> bool:
    every = math.ceil(epochs / MOST_POINTS)
    return epoch == epochs or (epoch - 1) % every == 0


def strains(verdict: dict[str, Any]) -> Spec | None:
    """Every test of the float32 ensemble: where in the accepted band, from its middle to its ends
    at 1, each run lies."""
    values = [
        {
            "run": row_name(result, "numerics"),
            "recipe": result["title"],
            "test": f"{test['part']}: {test['name']}",
            "position": test["strain"],
        }
        for result in verdict["training"]
        for test in result["tests"]
        if test["strain"] is not None
    ]
    if not values:
        return None
    highest = max(1.2, *(value["position"] for value in values))
    x = {"field": "position", "type": "quantitative", "title": "0: the middle, 1: the end"}
    axis = {"values": [0, 0.25, 0.5, 0.75, 1, 2, 4, 10, 100, 1000, 10_000], "format": "~g"}
    band = {"values": [{"from": 0, "to": 1, "what": "accepted by the ensemble"}]}
    marks = {
        "mark": {"type": "tick", "thickness": 2, "height": {"band": 0.7}},
        "params": [ZOOM],
        "encoding": {
            "x": {**x, "scale": {"type": "symlog", "domain": [0, highest]}, "axis": axis},
            "y": {"field": "run", "type": "nominal", "title": None, "axis": {"labelLimit": 220}},
            "color": {
                "field": "recipe",
                "type": "nominal",
                "scale": {"range": COLOURS},
                "legend": {"orient": "bottom", "columns": 2, "title": None},
            },
            "tooltip": [
                {"field": "run"},
                {"field": "recipe"},
                {"field": "test"},
                {"field": "position", "format": ".3g"},
            ],
        },
    }
    accepted = {
        "data": band,
        "mark": {"type": "rect", "color": "#009e73", "opacity": 0.18},
        "encoding": {
            "x": {"field": "from", "type": "quantitative"},
            "x2": {"field": "to"},
            "tooltip": {"field": "what"},
        },
    }
    layers = [accepted, marks]
    return {
        **across(values, 24 * len({value["run"] for value in values})),
        "layer": layers,
    }


def speeds(verdict: dict[str, Any]) -> dict[str, Spec]:
    """By recipe and numerics: tokens per second, with the ratio to the fastest."""
    timed: dict[str, list[dict[str, Any]]] = {}
    for result in verdict["training"]:
        if result["rate"]:
            timed.setdefault(f"{result['title']} {result['numerics']}", []).append(result)
    return {recipe: _speed_chart(results) for recipe, results in sorted(timed.items())}


def _speed_chart(results: list[dict[str, Any]]) -> Spec:
    fastest = max(result["rate"] for result in results)
    values = [
        {
            "implementation": row_name(result, "numerics"),
            "tokens/s": round(result["rate"]),
            "ratio": f"{result['rate'] / fastest:.2f}",
        }
        for result in results
    ]
    y = {"field": "implementation", "type": "nominal", "axis": {"labelLimit": 220, "title": None}}
    x = {"field": "tokens/s", "type": "quantitative", "axis": {"format": "~s", "tickCount": 4}}
    tooltip = [
        {"field": "implementation"},
        {"field": "tokens/s", "format": ","},
        {"field": "ratio", "title": "of the fastest"},
    ]
    text = {"field": "ratio"}
    layers = [
        {"mark": {"type": "bar", "color": COLOURS[0]}, "encoding": {"tooltip": tooltip}},
        {"mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {"text": text}},
    ]
    return {
        **across(values, 22 * len(values)),
        "encoding": {"x": {**x, "scale": {"domainMax": 1.15 * fastest}}, "y": y},
        "layer": layers,
    }
