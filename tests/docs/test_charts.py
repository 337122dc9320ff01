"""Every chart of the built site says what its colours and dashes stand for."""

from pathlib import Path

import pytest

from docs.notebooks import chapters
from tests.docs.built import parsed

pytestmark = pytest.mark.once


def looks(svg, kind: str) -> set[tuple[str, str]]:
    """Colour and dash of lines, or of a legend's symbols."""
    paths = svg.select(f"g.{kind} path[stroke]")
    return {(path["stroke"], path.get("stroke-dasharray", "")) for path in paths}


def legend(svg) -> list[str]:
    return [text.get_text() for text in svg.select("g.role-legend-label text")]


def charts(site: Path) -> dict[str, list]:
    """By page, both editions together."""
    pages = [f"{e}{name}" for e in ("", "pt-br/") for name in (*chapters_of(), "index")]
    return {name: parsed(site / f"{name}.html").select("figure.chart svg") for name in pages}


def chapters_of() -> list[str]:
    return [f"chapters/{name}" for name in chapters()]


def test_what_a_line_looks_like_is_in_the_legend(site: Path) -> None:
    """Each colour, and each dash; a chart of one line needs none."""
    told = 0
    for name, found in charts(site).items():
        for svg in found:
            lines, symbols = looks(svg, "mark-line.role-mark"), looks(svg, "role-legend-symbol")
            for part in (0, 1):
                drawn = {look[part] for look in lines}
                if len(drawn) > 1:
                    told += 1
                    assert drawn <= {look[part] for look in symbols}, (name, svg["aria-label"])
                    assert len(legend(svg)) >= len(drawn), (name, svg["aria-label"])
    assert told > 60


def test_every_label_of_a_legend_is_a_word_and_there_once(site: Path) -> None:
    for name, found in charts(site).items():
        for svg in found:
            said = legend(svg)
            assert all(text.strip() for text in said) and len(set(said)) == len(said), name


def test_a_map_of_colours_has_a_scale_or_its_numbers(site: Path) -> None:
    seen = 0
    for name, found in charts(site).items():
        for svg in found:
            cells = svg.select("path[aria-roledescription='rect mark'][fill]")
            if len({cell["fill"] for cell in cells}) > 1:
                seen += 1
                scale = svg.select("g.role-legend-gradient")
                assert scale or svg.select("g.mark-text.role-mark text"), name
    assert seen >= 6
