"""A chapter's examples: ``{example} shapes`` shows that function of the chapter's experiments, and
what it printed when its results were stored; ``{reproduce}`` shows the commands that store them."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs._ext.frameworks import code_block
from docs._ext.results import printed_blocks
from docs._ext.sources import Missing
from docs._ext.stored import runs


def module_of(docname: str) -> tuple[str, str]:
    """The name of a chapter's results, and the file of its experiments."""
    chapter = docname.rpartition("/")[2]
    return chapter, f"docs/experiments/{chapter.replace('-', '_')}.py"


class Example(SphinxDirective):
    """The source of an example and its stored output, in tabs where the backends differ."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapter, path = module_of(self.env.docname)
        try:
            code = code_block(path, self.arguments[0])
            return [code, *printed_blocks(f"{chapter}/{self.arguments[0]}")]
        except Missing as reason:
            raise self.error(str(reason)) from None


class Reproduce(SphinxDirective):
    """The command of every stored run of this chapter, each for the environment of its backend."""

    def run(self) -> list[nodes.Node]:
        chapter, _ = module_of(self.env.docname)
        try:
            commands = [
                f".tox/{backend}/bin/{run['command']}" for backend, run in runs(chapter).items()
            ]
        except Missing as reason:
            raise self.error(str(reason)) from None
        text = "\n".join(commands)
        return [nodes.literal_block(text, text, language="sh")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("example", Example)
    app.add_directive("reproduce", Reproduce)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
