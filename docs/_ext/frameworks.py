"""Code out of the tested files: ``{frameworks}`` has a synced tab for each backend, ``{source}`` is
one file.

```{frameworks} equations lstm_step
```
```{source} conformance/judge/curves.py Ensemble
```
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.backends import TITLES, WITHOUT, places
from docs._ext.sources import Missing, extract


def code_block(path: str, *names: str) -> nodes.container:
    """The pieces under the path of the file that they come from."""
    text = extract(path, *names)
    code = nodes.literal_block(text, text, language="python")
    caption = nodes.caption(path, "", nodes.literal(path, path))
    wrapper = nodes.container("", caption, code, literal_block=True)
    wrapper["classes"] = ["literal-block-wrapper"]
    return wrapper


class Source(SphinxDirective):
    """Pieces of one file of the suite."""

    required_arguments = 1
    optional_arguments = 20
    final_argument_whitespace = False

    def run(self) -> list[nodes.Node]:
        try:
            return [code_block(*self.arguments)]
        except Missing as reason:
            raise self.error(str(reason)) from None


class Frameworks(SphinxDirective):
    """The same pieces of every backend: a file's name without .py, and names in it. An option
    ``:mxnet: Layers.freeze`` names what a single backend has instead."""

    required_arguments = 2
    optional_arguments = 20
    option_spec = dict.fromkeys(TITLES, directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        module, *names = self.arguments
        tabs, first = {}, None
        for backend in TITLES:
            wanted = self.options.get(backend, "").split() or names
            found = places(backend, module, wanted)
            if found is not None and first is None:
                first = backend
            try:
                tabs[backend] = self.tab(found, WITHOUT.get((backend, module), ""))
            except Missing as reason:
                raise self.error(str(reason)) from None
        return [tab_set(tabs, first)]

    def tab(self, found: list[tuple[str, str]] | None, why_not: str) -> list[nodes.Node]:
        if found is None:
            said = nodes.paragraph(why_not, why_not)
            self.set_source_info(said)  # what has a source is translated
            return [said]
        files = dict.fromkeys(path for path, _ in found)
        return [code_block(file, *(name for path, name in found if path == file)) for file in files]


def tab_set(tabs: dict[str, list[nodes.Node]], first: str | None = None) -> nodes.container:
    """sphinx-design's tabs, made of nodes; its own directives make the same. first: the tab that is
    open at first, the leftmost if none is said"""
    items = []
    for backend, content in tabs.items():
        label = nodes.rubric(TITLES[backend], TITLES[backend], classes=["sd-tab-label"])
        label["sync_id"], label["sync_group"] = backend, "framework"
        label["translatable"] = False
        inner = nodes.container("", *content, design_component="tab-content")
        inner["classes"] = ["sd-tab-content"]
        item = nodes.container("", label, inner, design_component="tab-item", backend=backend)
        item["classes"], item["selected"] = ["sd-tab-item"], backend == first
        items.append(item)
    made = nodes.container("", *items, design_component="tab-set", type="framework-tabs")
    made["classes"] = ["sd-tab-set"]
    return made


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("frameworks", Frameworks)
    app.add_directive("source", Source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
