"""The field guide, out of docs/field_guide.toml, conformance/verdict/deviations.toml and the tests
that prove what they say: ``{conventions}`` is the table, ``{convention-tests}`` what its cells lead
to, and ``{deviations}`` the known faults."""

import tomllib
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.backends import NAMES
from docs._ext.frameworks import code_block
from docs._ext.sources import ROOT, Missing

GUIDE = ROOT / "docs" / "field_guide.toml"
DEVIATIONS = ROOT / "conformance" / "verdict" / "deviations.toml"


def guide() -> dict[str, Any]:
    return tomllib.loads(GUIDE.read_text(encoding="utf-8"))


def place(backend: str) -> str:
    return f"tests/conventions/test_{backend}.py"


def anchor(backend: str, test: str) -> str:
    return nodes.make_id(f"{backend}-{test}")


def proof(directive: SphinxDirective, path: str, test: str, name: str) -> nodes.container:
    """The source of a test, under a name that can be linked to."""
    try:
        block = code_block(path, test)
    except Missing as reason:
        raise directive.error(str(reason)) from None
    block["names"] = [name]
    directive.state.document.note_explicit_target(block)
    return block


class Conventions(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(GUIDE))
        found = guide()
        backends = list(found["frameworks"])
        rows = [["Convention", *found["frameworks"].values()], ["---"] * (len(backends) + 1)]
        for row in found["convention"]:
            cells = [f"[{row[b]}](#{anchor(b, row['test'])})" for b in backends]
            rows.append([f"**{row['point']}**", *cells])
        return self.parse_text_to_nodes("\n".join(f"| {' | '.join(row)} |" for row in rows))


class ConventionTests(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        found, made = guide(), []
        for backend, title in found["frameworks"].items():
            made.append(nodes.rubric(title, title))
            for row in found["convention"]:
                name = anchor(backend, row["test"])
                made.append(proof(self, place(backend), row["test"], name))
        return made


class Deviations(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(DEVIATIONS))
        entries = tomllib.loads(DEVIATIONS.read_text(encoding="utf-8"))["deviation"]
        made: list[nodes.Node] = []
        for entry in entries:
            made += self.entry(entry)
        return made

    def entry(self, entry: dict[str, Any]) -> list[nodes.Node]:
        """A title, what happens, where, and the test that reproduces it."""
        title = f"{NAMES[entry['framework']]} {entry['versions']}: {entry['title']}"
        said = {
            "What": entry["what"],
            "Where": entry["where"],
            "Worked around": entry["worked_around"],
        }
        path, _, test = entry["evidence"].partition("::")
        code = proof(self, path, test, entry["id"])
        texts = [nodes.paragraph("", f"{name}: {' '.join(t.split())}") for name, t in said.items()]
        return [nodes.rubric(title, title), *texts, code]


def setup(app: Sphinx) -> dict[str, bool]:
    directives: dict[str, type[Directive]] = {
        "conventions": Conventions,
        "convention-tests": ConventionTests,
        "deviations": Deviations,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
