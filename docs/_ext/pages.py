"""What stands above every page: the same page in the other language, and a chapter's notebooks,
which are written into the site when it is built. English is at its root, Portuguese in pt-br.
"""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from docs._ext.backends import TITLES
from docs.cells import bundle
from docs.notebooks import archive, chapters, hosted, notebook
from docs.translations import EDITION

OTHER = {
    "en": {"code": "pt-BR", "title": "Em português", "folder": "pt-br/"},
    "pt_BR": {"code": "en", "title": "In English", "folder": "../"},
}
NOTEBOOKS = {"en": "As a notebook: ", "pt_BR": "Como notebook, em inglês: "}
HOSTED = {"en": "Open in Google Colab: ", "pt_BR": "Abrir no Google Colab, em inglês: "}
ENGLISH = "Esta página só existe em inglês."
"""Above the pages of the other edition that are not translated."""

MENDED = {
    # What is too wide scrolls within itself; so it can be scrolled by keyboard, too.
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Site">',
}


def write(app: Sphinx, error: Exception | None) -> None:
    """Only a site has downloads: not the catalogues of translations, nor a build that failed."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        mend(page)
    if app.config.language != "en":
        return  # the other edition has links to these
    folder = Path(app.outdir) / "notebooks"
    folder.mkdir(exist_ok=True)
    archive(folder / "suite.zip")
    for chapter in chapters():
        for backend in TITLES:
            made = notebook(chapter, backend)
            for cell in made["cells"]:
                if cell["source"].startswith("chart("):
                    cell["outputs"] = [drawn(cell["source"])]
            text = json.dumps(made, ensure_ascii=False, indent=1)
            (folder / f"{chapter}-{backend}.ipynb").write_text(text, encoding="utf-8")


@cache
def drawn(source: str) -> dict[str, Any]:
    """The output of a cell that calls ``chart``."""
    data = bundle(*ast.literal_eval(f"({source.removeprefix('chart(').removesuffix(')')})"))
    return {"output_type": "display_data", "data": data, "metadata": {}}


def mend(page: Path) -> None:
    """Make accessible what the theme's and Sphinx' own HTML leaves out."""
    text = page.read_text(encoding="utf-8")
    mended = text
    for found, better in MENDED.items():
        mended = mended.replace(found, better)
    if mended != text:
        page.write_text(mended, encoding="utf-8")


def link(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Names and addresses for _templates/page.html."""
    folder, _, name = page.rpartition("/")
    root = "../" * page.count("/")
    other = OTHER[app.config.language]
    context["other"] = other | {"address": f"{root}{other['folder']}{page}.html"}
    translated = app.config.language == "en" or page.startswith((*EDITION, "genindex", "search"))
    context["english"] = "" if translated else ENGLISH
    context["notebooks_title"] = NOTEBOOKS[app.config.language]
    notebooks = f"{root if app.config.language == 'en' else f'../{root}'}notebooks"
    context["suite"] = f"{notebooks}/suite.zip"
    context["notebooks"] = {
        title: f"{notebooks}/{name}-{backend}.ipynb"
        for backend, title in TITLES.items()
        if folder == "chapters"
    }
    context["hosted_title"] = HOSTED[app.config.language]
    context["hosted"] = {
        title: address
        for backend, title in TITLES.items()
        if folder == "chapters" and (address := hosted(f"{name}-{backend}.ipynb")[0])
    }


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write)
    app.connect("html-page-context", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
