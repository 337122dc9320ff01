"""Equations by their labels, out of common/EQUATIONS.md: ``{equation}`` shows some of them, and
``{eqn}`` is a link to one; in the page that includes the whole document each has an anchor.

    ```{equation} LSTM-1 LSTM-2
    ```
    as {eqn}`LSTM-5` says
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from docs._ext.labels import DOCUMENT, LABEL, defined, pieces
from docs._ext.typeset import rows

PAGE = "equations"


class Equation(SphinxDirective):
    """Some of the equations, as the document writes them, in the order asked for."""

    required_arguments = 1
    optional_arguments = 20
    final_argument_whitespace = False

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(DOCUMENT))
        missing = [label for label in self.arguments if label not in defined()]
        if missing:
            raise self.error(f"common/EQUATIONS.md has no equation {', '.join(missing)}")
        text = "\n".join(defined()[label] for label in self.arguments)
        return [typeset(text, self.config.language)]


def typeset(text: str, language: str = "en") -> nodes.container:
    html = nodes.raw("", rows(text, language), format="html")
    return nodes.container("", html, classes=["equations"])


class Anchors(SphinxTransform):
    """On the page of all equations, every block is cut so that each label can be linked to."""

    default_priority = 400

    def apply(self) -> None:
        if self.env.current_document.docname != PAGE:
            return
        domain: StandardDomain = self.env.domains.standard_domain
        for block in list(self.document.findall(nodes.literal_block)):
            cut = []
            for text in pieces(block.astext()):
                piece = typeset(text)
                if match := LABEL.match(text):
                    piece["ids"] = [nodes.make_id(match.group())]
                    domain.note_object("equation label", match.group(), piece["ids"][0], piece)
                cut.append(piece)
            block.replace_self(cut)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_crossref_type("equation label", "eqn")
    app.add_directive("equation", Equation)
    app.add_transform(Anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
