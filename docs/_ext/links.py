"""Links into the repository, which is not part of the site: pages are also read where they lie.

A link to common/EQUATIONS.md leads to the page that includes it; one to another file or folder of
the repository becomes its path.
"""

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from docs._ext.equations import PAGE
from docs._ext.labels import DOCUMENT
from docs._ext.sources import ROOT


class RepositoryLinks(SphinxTransform):
    default_priority = 5

    def apply(self) -> None:
        for reference in list(self.document.findall(is_path)):
            page = Path(self.env.doc2path(self.env.current_document.docname))
            target = reference["reftarget"].partition("#")[0]
            path = (page.parent / target).resolve()
            if path in (DOCUMENT, DOCUMENT.with_suffix("")):
                reference["reftarget"], reference["reftype"] = PAGE, "doc"
                reference["refdomain"], reference["refexplicit"] = "std", True
            elif path.exists() and path.is_relative_to(ROOT) and not self.is_page(path):
                name = path.relative_to(ROOT).as_posix()
                reference.replace_self(nodes.literal(name, name))

    def is_page(self, path: Path) -> bool:
        return path.suffix == ".md" and path.is_relative_to(self.env.srcdir)


def is_path(node: nodes.Node) -> bool:
    """Whether it is a Markdown link to a file or a folder, neither a role nor an address."""
    if isinstance(node, addnodes.pending_xref):
        return node["reftype"] == "myst" or node["refdomain"] == "doc"
    return isinstance(node, addnodes.download_reference)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(RepositoryLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
