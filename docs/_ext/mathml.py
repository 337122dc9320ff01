"""Formulas as MathML, which browsers draw and read aloud by themselves: no script, no network."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)


def mathml(node: nodes.Element, block: bool) -> str:
    """The formula; one that docutils cannot convert is a warning, which fails the build."""
    try:
        return tex2mathml(node.astext(), as_block=block)
    except MathError as error:
        LOGGER.warning("formula: %s", error, location=node)
        return ""


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    # A wide formula scrolls within itself, also by keyboard.
    opened = self.starttag(node, "div", CLASS="math-block", tabindex="0")
    self.body.append(f"{opened}{mathml(node, block=True)}</div>\n")
    raise nodes.SkipNode


class NotForTranslators(SphinxTransform):
    """Formulas are the same in every language."""

    default_priority = 5  # before texts are looked up in the catalogues

    def apply(self) -> None:
        for block in self.document.findall(nodes.math_block):
            block["translatable"] = False


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(NotForTranslators)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
