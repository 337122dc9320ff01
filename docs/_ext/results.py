"""What stored runs gave, out of ``docs/results/<chapter>.json``: nothing is computed here.

{value}`training/numpy/perplexity .2f`     a number in the text; the format may be left out
```{result-table} training/curves          records as a table; ``:columns:`` picks and orders
:columns: backend epoch perplexity
```
```{printed} training/prediction           what an example printed, in a tab for each backend
```                                        if the backends printed different things
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from docs._ext.frameworks import tab_set
from docs._ext.sources import Missing
from docs._ext.stored import printed, records, shown, value
from docs._ext.words import written


class Value(SphinxRole):
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        name, _, how = self.text.partition(" ")
        try:
            text = format(value(name), how) if how else shown(value(name))
        except (Missing, ValueError) as reason:
            message = self.inliner.reporter.error(f"{self.text}: {reason}", line=self.lineno)
            return [], [message]
        text = written(text, self.config.language)
        return [nodes.inline(text, text, classes=["value"])], []


class ResultTable(SphinxDirective):
    """Records of a stored run as a table."""

    required_arguments = 1
    option_spec = {"columns": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        try:
            found = records(self.arguments[0])
            columns = self.options.get("columns", "").split() or list(found[0])
            language = self.config.language
            rows = [[written(shown(row[column]), language) for column in columns] for row in found]
        except (Missing, KeyError) as reason:
            raise self.error(f"{self.arguments[0]}: {reason}") from None
        text = "\n".join(
            f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows]
        )
        made = self.parse_text_to_nodes(text)
        # Numbers are not for translators; the headings are.
        for body in (body for node in made for body in node.findall(nodes.tbody)):
            for paragraph in body.findall(nodes.paragraph):
                paragraph["translatable"] = False
        return made


class Printed(SphinxDirective):
    """What an example printed when it was run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        try:
            return printed_blocks(self.arguments[0])
        except Missing as reason:
            raise self.error(str(reason)) from None


def printed_blocks(name: str) -> list[nodes.Node]:
    """One block if all backends printed the same, otherwise a tab for each."""
    found = printed(name)
    blocks: dict[str, list[nodes.Node]] = {
        backend: [nodes.literal_block(text, text, language="text", classes=["printed"])]
        for backend, text in found.items()
    }
    return [tab_set(blocks)] if len(set(found.values())) > 1 else next(iter(blocks.values()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_role("value", Value())
    app.add_directive("result-table", ResultTable)
    app.add_directive("printed", Printed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
