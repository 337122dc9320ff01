"""A chapter as a notebook for one framework, made from the chapter's Markdown.

    python -m docs.notebooks from-scratch pytorch > from-scratch-pytorch.ipynb

Markdown stays as it is; of tabs the framework's own stays; code out of the suite's files becomes a
cell that can be edited, and takes the place of the suite's (docs/cells.py); an example becomes a
cell that defines and calls it, and shows what it printed when the chapter's results were stored; a
chart one that draws it; equations and stored tables become text.
It needs no Sphinx and no framework. The first cell finds the suite and installs what is missing, so
a notebook works from any folder that has ``suite.zip`` beside it, which the site offers as well.
Where the site lies in a repository on GitHub, DEEP_RNN_SITE says so, as OWNER/NAME/BRANCH with a
folder behind it or none: the notebooks then fetch ``suite.zip`` from there, and have a link that
opens them in a hosted service.
"""

import json
import os
import pprint
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from docs._ext.backends import TITLES, WITHOUT, places
from docs._ext.labels import defined, narrow
from docs._ext.sources import ROOT, Missing, extract
from docs._ext.stored import printed, records, runs, shown, value

CHAPTERS = ROOT / "docs" / "chapters"

Cell = tuple[str, str]
"""A kind, "markdown" or "code", and the text."""

OPENING = re.compile(r"^(?P<fence>`{3,}|:{3,}|~{3,})(?:\{(?P<name>[\w-]+)\})?[ ]*(?P<rest>.*)$")
OPTION = re.compile(r"^:(?P<name>[\w-]+):[ ]*(?P<value>.*)$")
ROLE = re.compile(r"\{(?P<role>[\w:-]+)\}`(?P<text>[^`]+)`")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?!https?://)[^)]*\)")
TARGET = re.compile(r"^(\([\w-]+\)=|%.*)$\n?", re.MULTILINE)

START = """\
# Run this first: it finds the suite, here or above or in suite.zip, and installs what is missing.
import os, subprocess, sys, zipfile
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlretrieve

needed = {needed}
suite = {suite}  # where suite.zip is, if it is not beside this notebook
here = Path.cwd()
found = (f for f in (here, *here.parents) if (f / "docs" / "cells.py").is_file())
root = next(found, here / "suite")
if not root.exists():
    if suite and not Path("suite.zip").exists():
        urlretrieve(suite, "suite.zip")
    zipfile.ZipFile("suite.zip").extractall(root)  # it is offered beside this notebook
sys.path.insert(0, str(root))
os.environ["PYTHONPATH"] = str(root)  # for the programs that a cell starts
missing = [package for name, package in needed.items() if find_spec(name) is None]
if missing:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing], check=True)
from docs.cells import begin, chart

begin()"""

ARCHIVED = (
    *("common/**/*", "backends/**/*", "conformance/**/*", "docs/*.py", "docs/_ext/*.py"),
    *("docs/experiments/*", "docs/results/*.json", "docs/results/gpu/evidence.json"),
)

SITE = "DEEP_RNN_SITE"
"""The environment variable that says where on GitHub the site lies."""

NOT_NEEDED = {"pytest", "hypothesis", "hatchling"}
"""Of the requirements of an environment, what its tests need and a notebook does not."""

IMPORTED = {"python-flint": "flint", "tensorflow-cpu": "tensorflow"}
"""Packages that are imported by another name."""


def chapters() -> list[str]:
    """The names of the chapters, as the index lists them."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    return re.findall(r"^chapters/([\w-]+)$", index, re.MULTILINE)


def needed(backend: str) -> dict[str, str]:
    """What is installed in a framework's environment, by the name that is imported."""
    found: dict[str, str] = {}
    for file in ("common", backend):
        text = (ROOT / "requirements" / f"{file}.txt").read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w-]+)(==[\w.]+)", text, re.MULTILINE):
            if name not in NOT_NEEDED:
                found.setdefault(IMPORTED.get(name, name), name + version)
    return found


def hosted(name: str) -> tuple[str, str]:
    """The addresses of a file of the site's folder ``notebooks``: where Colab opens it, and the
    file itself. Empty, if nobody has said where the site lies; ValueError if it is no place."""
    place = os.environ.get(SITE, "")
    if not place:
        return "", ""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+(/[\w.-]+)+", place):
        raise ValueError(f"{SITE}: expected OWNER/NAME/BRANCH, found {place!r}")
    owner, repository, rest = place.split("/", 2)
    return (
        f"https://colab.research.google.com/github/{owner}/{repository}/blob/{rest}/notebooks/{name}",
        f"https://raw.githubusercontent.com/{place}/notebooks/{name}",
    )


def split(text: str) -> Iterator[tuple[str | None, str, str]]:
    """A page in order: plain Markdown as (None, "", text), and each directive as its name, its
    arguments and its body, options included."""
    lines, plain = iter(text.splitlines()), []
    for line in lines:
        opened = OPENING.match(line)
        if opened is None:
            plain.append(line)
            continue
        body = []
        for inner in lines:
            if inner.strip() == opened["fence"]:
                break
            body.append(inner)
        if opened["name"] is None:
            plain += [line, *body, opened["fence"]]
            continue
        yield None, "", "\n".join(plain)
        plain = []
        yield opened["name"], opened["rest"].strip(), "\n".join(body)
    yield None, "", "\n".join(plain)


def options_of(body: str) -> tuple[dict[str, str], str]:
    """The options at the head of a directive's body, and the rest of it."""
    found, lines = {}, body.splitlines()
    while lines and (option := OPTION.match(lines[0])):
        found[option["name"]] = option["value"]
        lines.pop(0)
    return found, "\n".join(lines).strip("\n")


class Writer:
    """Turns the pieces of one chapter into the cells of one framework's notebook."""

    def __init__(self, chapter: str, backend: str) -> None:
        self.chapter, self.backend = chapter, backend
        self.module = f"docs.experiments.{chapter.replace('-', '_')}"

    def cells(self, text: str) -> Iterator[Cell]:
        for name, arguments, body in split(text):
            if name is None:
                yield "markdown", inline(body)
                continue
            options, content = options_of(body)
            known = getattr(self, f"on_{name.replace('-', '_')}", None)
            if known is None:
                raise Missing(f"{self.chapter}: notebooks do not know the directive {name}")
            yield from known(arguments, options, content)

    def on_frameworks(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        module, *names = arguments.split()
        found = places(self.backend, module, options.get(self.backend, "").split() or names)
        if found is None:
            yield "markdown", WITHOUT[self.backend, module]
        for path, name in found or []:
            yield from self.on_source(f"{path} {name}", {}, "")

    def on_source(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        """A cell for each piece: methods go into their class, the others into the module."""
        path, *names = arguments.split()
        module = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if not names:
            yield "markdown", f"`{path}`\n\n{fenced(extract(path), 'python')}"
        for name in names:
            owner = name.rpartition(".")[0]
            yield "code", f"%%suite {module} {owner}".rstrip() + f"\n{extract(path, name)}"

    def on_example(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        source = extract(f"{self.module.replace('.', '/')}.py", arguments)
        yield (
            "code",
            f'from {self.module} import *\n\n\n{source}\n\n\n{arguments}("{self.backend}")',
        )

    def on_printed(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        found = printed(arguments)
        yield "markdown", fenced(found.get(self.backend, next(iter(found.values()))), "text")

    def on_result_table(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        found = records(arguments)
        columns = options.get("columns", "").split() or list(found[0])
        rows = [[shown(record[column]) for column in columns] for record in found]
        lines = [f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows]]
        yield "markdown", "\n".join(lines)

    def on_equation(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        text = "\n".join(defined()[label] for label in arguments.split())
        yield "markdown", fenced(narrow(text), "text")

    def on_reproduce(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        run = runs(self.chapter).get(self.backend)
        if run is not None:
            yield "markdown", fenced(f".tox/{self.backend}/bin/{run['command']}", "sh")

    def on_chart(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        spec = pprint.pformat(yaml.safe_load(content), width=88, sort_dicts=False)
        yield "markdown", f"*{options['alt']}*"
        yield "code", f'chart("{arguments}", {spec})'

    def on_figure(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        said = f"*The chapter has a figure here. {options.get('alt', '')}*\n\n{inline(content)}"
        yield "markdown", said

    on_image = on_figure

    def on_tab_set(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        """The framework's own tab; all of them, if they are not of frameworks."""
        items = [(title, *options_of(body)) for name, title, body in split(content) if name]
        own = [item for item in items if item[1].get("sync") == self.backend]
        of_frameworks = any(item[1].get("sync") in TITLES for item in items)
        for title, _, text in own if of_frameworks else items:
            yield "markdown", f"**{title}**"
            yield from self.cells(text)

    def on_math(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        yield "markdown", f"$$\n{content}\n$$"

    def on_note(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        """An admonition, whatever its kind, becomes a quotation; code in it is still run."""
        yield "markdown", f"> **{arguments or 'Note'}**"
        yield from self.cells(content)

    on_admonition = on_tip = on_hint = on_important = on_warning = on_dropdown = on_note
    on_seealso = on_note

    def on_toctree(self, arguments: str, options: dict, content: str) -> Iterator[Cell]:
        return iter(())


def inline(text: str) -> str:
    """Markdown without what only the site knows: roles, targets, and links to other pages."""
    text = ROLE.sub(lambda found: role(found["role"], found["text"]), text)
    return LINK.sub(lambda found: found["text"], TARGET.sub("", text)).strip("\n")


def role(name: str, text: str) -> str:
    if name == "value":
        key, _, how = text.partition(" ")
        return format(value(key), how) if how else shown(value(key))
    if name == "math":
        return f"${text}$"
    return re.sub(r"\s*<[^>]*>$", "", text)


def fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def cells(chapter: str, backend: str) -> list[Cell]:
    """The cells of a notebook; texts that follow one another are joined. Raises Missing."""
    text = (CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8")
    note = (
        f"The chapter for {TITLES[backend]}. Any cell can be edited. Cells that begin with "
        "`%%suite` are the suite's own code: what you change there is what is computed below, once "
        "you restart the kernel and run all cells."
    )
    wanted = pprint.pformat(needed(backend), sort_dicts=False)
    start = START.format(needed=wanted, suite=repr(hosted("suite.zip")[1]))
    found: list[Cell] = [("markdown", note), ("code", start)]
    for kind, content in Writer(chapter, backend).cells(text):
        if not content.strip():
            continue
        if kind == "markdown" == found[-1][0]:
            found[-1] = kind, f"{found[-1][1]}\n\n{content}"
        else:
            found.append((kind, content))
    return found


def output(chapter: str, backend: str, source: str) -> str:
    """What is stored of a cell that calls an example; nothing, if it does not."""
    called = re.search(rf'^(\w+)\("{backend}"\)\Z', source, re.MULTILINE)
    if called is None:
        return ""
    found = printed(f"{chapter}/{called[1]}")
    return found.get(backend, next(iter(found.values()))) + "\n"


def notebook(chapter: str, backend: str) -> dict[str, Any]:
    """The notebook, as nbformat 4.5 has it, with what its cells have printed."""
    made = []
    for number, (kind, text) in enumerate(cells(chapter, backend)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text}
        if kind == "code":
            said = output(chapter, backend, text)
            stream = {"output_type": "stream", "name": "stdout", "text": said}
            cell |= {"execution_count": None, "outputs": [stream] if said else []}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made}


def archive(path: Path) -> None:
    """What the notebooks import, and what that reads, as suite.zip: no tests, and no site."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as suite:
        for pattern in ARCHIVED:
            for file in sorted(ROOT.glob(pattern)):
                if file.is_file() and file.suffix != ".pyc":
                    suite.write(file, file.relative_to(ROOT))


if __name__ == "__main__":
    json.dump(notebook(*sys.argv[1:3]), sys.stdout, ensure_ascii=False, indent=1)
