"""Charts of stored results, drawn at build time by Vega-Lite into the page, as SVG.

    ```{chart} training/curves
    :alt: The perplexity of all backends falls from 17 to 1 in 500 epochs; the curves coincide.
    mark: line
    encoding:
      x: {field: epoch, type: quantitative}
      y: {field: perplexity, type: quantitative, scale: {type: log}}
      color: {field: backend, type: nominal}
    ```

The body is a Vega-Lite specification in YAML, without its data, which are the named records of
docs/results. Titles in it and the alternative text are translated like any other text.
"""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import vl_convert
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from docs._ext.sources import Missing
from docs._ext.stored import records
from docs._ext.words import everywhere

Spec = dict[str, Any]

COLOURS = ["#0a7cc4", "#d55e00", "#0b9a72", "#c0649a", "#a87900", "#7d7a86"]
"""Near Okabe and Ito's, at least 3:1 against a white and against a black page."""

INK = "currentColor"
"""Of the page: dark in light mode, light in dark mode."""

LINES = {"domainColor": INK, "gridColor": INK, "gridOpacity": 0.15, "tickColor": INK}
TEXTS = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
THEME: Spec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    # A browser's font is larger than Vega takes it for: labels and their title stand off.
    "axis": {
        **(LINES | TEXTS),
        "titleFontWeight": "normal",
        "titlePadding": 14,
        "labelSeparation": 6,
    },
    "legend": {
        **TEXTS,
        "orient": "bottom",
        "title": None,
        "columns": 3,
        "symbolType": "stroke",
        # Two legends stand below one another: side by side they would overlap.
        "layout": {"bottom": {"anchor": "start", "direction": "vertical", "margin": 4}},
    },
    "header": TEXTS,
    "title": {"color": INK, "fontSize": 13},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": INK},
    "range": {"category": COLOURS},
    "view": {"stroke": None, "continuousWidth": 360, "continuousHeight": 220},
    "bar": {"color": COLOURS[0]},
    "line": {"color": COLOURS[0]},
}


class chart(nodes.General, nodes.Element, addnodes.translatable):
    """A specification, and what it shows in words."""

    def preserve_original_messages(self) -> None:
        """They stay what they were: ``spec`` is changed only in a copy of its texts."""

    def extract_original_messages(self) -> list[str]:
        return [self["alt"], *dict.fromkeys(texts(self["spec"]))]

    def apply_translated_message(self, original_message: str, translated_message: str) -> None:
        if self["alt"] == original_message:
            self["alt"] = translated_message
        self["spec"] = translated(self["spec"], {original_message: translated_message})


def texts(spec: Any) -> Iterator[str]:
    """Every title in a specification."""
    if isinstance(spec, dict):
        for key, part in spec.items():
            if key == "title" and isinstance(part, str):
                yield part
            else:
                yield from texts(part)
    elif isinstance(spec, list):
        for part in spec:
            yield from texts(part)


def translated(spec: Any, words: dict[str, str]) -> Any:
    if isinstance(spec, dict):
        return {
            key: words.get(part, part)
            if key == "title" and isinstance(part, str)
            else translated(part, words)
            for key, part in spec.items()
        }
    return [translated(part, words) for part in spec] if isinstance(spec, list) else spec


class Chart(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        if "alt" not in self.options:
            raise self.error("a chart needs :alt:, what it shows in words")
        try:
            spec = yaml.safe_load("\n".join(self.content))
            values = records(self.arguments[0])
        except (Missing, yaml.YAMLError) as reason:
            raise self.error(f"{self.arguments[0]}: {reason}") from None
        node = chart("", spec=spec, values=values, alt=" ".join(self.options["alt"].split()))
        self.set_source_info(node)
        return [node]


LOCALES = {"pt_BR": "pt-BR"}
"""How numbers are written in an edition: with a decimal comma."""


def svg(node: chart, language: str) -> str:
    """The picture, in the colours of the page around it, with its alternative text."""
    values = everywhere(node["values"], language)
    spec = {"data": {"values": values}, **sorted_as(node["spec"], language)}
    drawn = vl_convert.vegalite_to_svg(spec, config=THEME, format_locale=LOCALES.get(language))
    start = drawn.index("<svg")
    label = escape(node["alt"], {'"': "&quot;"})
    return f'<svg role="img" aria-label="{label}"{drawn[start + 4 :]}'


def sorted_as(spec: Any, language: str) -> Any:
    """The specification with the words of the data that it names: the orders that it lists."""
    if isinstance(spec, list):
        return [sorted_as(part, language) for part in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        key: everywhere(part, language) if key == "sort" else sorted_as(part, language)
        for key, part in spec.items()
    }


def visit_chart(self: HTML5Translator, node: chart) -> None:
    self.body.append(f'<figure class="chart">{svg(node, self.config.language)}</figure>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(chart, html=(visit_chart, None))
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
