"""The atlas of versions, out of docs/results/versions; nothing is computed here.

{versions}                 what each of them computed
{deviations-by-version}    where each declared deviation was found
{not-installed}            what could not be had
"""

from string import ascii_uppercase
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from conformance.verdict.deviations import load_deviations
from conformance.versions.answers import GONE, THERE
from conformance.versions.stored import ANSWERED, FOLDER, load_atlas
from conformance.versions.wanted import pins
from docs._ext.backends import NAMES

SIGNS = {THERE: "●", GONE: "–"}
UNTOLD = "?"
Entry = dict[str, Any]


def atlas() -> dict[str, list[Entry]]:
    """The versions that are stored, by backend."""
    return {backend: found for backend in NAMES if (found := load_atlas(backend))}


def answered(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["status"] == ANSWERED]


def beside(backend: str, entry: Entry) -> str:
    """What was installed with the framework, of the packages that requirements/ names for it."""
    own = [pin["name"] for pin in pins(backend)][:4]
    found = {name: entry["packages"][name] for name in own if name in entry["packages"]}
    found |= {name: v for name, v in entry["packages"].items() if name in ("keras", "jaxlib")}
    return ", ".join(f"{name} {version}" for name, version in found.items())


def letters(entries: list[Entry]) -> dict[str, str]:
    """By the digest of all answers a letter: two versions with the same one gave the same bits."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for entry in entries:
        for row in entry["ladder"].get("rows", []):
            same = found.setdefault(
                (row["implementation"], row["dtype"], *entry["made"]["cases"]), {}
            )
            same.setdefault(row["digest"], ascii_uppercase[len(same) % 26])
    return {digest: letter for same in found.values() for digest, letter in same.items()}


def computed(backend: str, entries: list[Entry]) -> list[list[str]]:
    """A row for each version that was asked more than its deviations."""
    rows = [["Version", "With", "Cases", "Wrong", "Bits of float64", "of float32", "Witnesses"]]
    letter, entries = letters(entries), [e for e in entries if e["ladder"] or e["witnesses"]]
    for entry in entries:
        ladder = entry["ladder"].get("rows", [])
        runs = entry["witnesses"].get("runs", [])
        wrong = [case for row in ladder for case in row["wrong"]]
        bits = [
            " ".join(letter[row["digest"]] for row in ladder if row["dtype"] == dtype)
            for dtype in ("float64", "float32")
        ]
        alike = sum(run["agreed"] == run["epochs"] for run in runs)
        count = str(sum(sum(row["statuses"].values()) for row in ladder))
        said = entry["ladder"].get("trouble", str(len(wrong)))
        cells = [count, said, *bits, f"{alike} / {len(runs)}"]
        rows.append([entry["asked"], beside(backend, entry), *cells])
    return rows


def faults(backend: str, entries: list[Entry]) -> list[list[str]]:
    """A row for each declared deviation, a column for each version."""
    rows = [["id", *(entry["asked"].partition(",")[2] or entry["asked"] for entry in entries)]]
    for deviation in load_deviations():
        if deviation.fields["framework"] == backend:
            told = [entry["deviations"].get(deviation.id, {}) for entry in entries]
            signs = [SIGNS.get(one.get("status"), UNTOLD) for one in told]
            rows.append([f"[{deviation.id}](field-guide.md#{deviation.id})", *signs])
    return rows


class Table(SphinxDirective):
    """A table for each backend, below its name."""

    def tables(self) -> dict[str, list[list[str]]]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        for path in FOLDER.glob("*.json"):
            self.env.note_dependency(str(path))
        made: list[nodes.Node] = []
        for title, (head, *rows) in self.tables().items():
            lines = [head, ["---"] * len(head), *rows]
            text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
            parsed = self.parse_text_to_nodes(text)
            for paragraph in (p for node in parsed for p in node.findall(nodes.paragraph)):
                # Names and numbers are not for translators; words in a head are.
                in_head = isinstance(paragraph.parent.parent.parent, nodes.thead)
                paragraph["translatable"] = in_head and self.translated
            made += [nodes.rubric(title, title, translatable=False), *parsed]
        return made

    translated = True


class Versions(Table):
    def tables(self) -> dict[str, list[list[str]]]:
        found = {backend: computed(backend, answered(e)) for backend, e in atlas().items()}
        return {NAMES[backend]: rows for backend, rows in found.items() if len(rows) > 1}


class DeviationsByVersion(Table):
    translated = False

    def tables(self) -> dict[str, list[list[str]]]:
        found = {backend: faults(backend, answered(e)) for backend, e in atlas().items()}
        return {NAMES[backend]: rows for backend, rows in found.items() if len(rows) > 1}


class NotInstalled(Table):
    def tables(self) -> dict[str, list[list[str]]]:
        return {
            NAMES[backend]: [["Version", "Why"], *absent]
            for backend, entries in atlas().items()
            if (absent := [[e["asked"], e["why"]] for e in entries if e["status"] != ANSWERED])
        }


def setup(app: Sphinx) -> dict[str, bool]:
    directives: dict[str, type[Directive]] = {
        "versions": Versions,
        "deviations-by-version": DeviationsByVersion,
        "not-installed": NotInstalled,
    }
    for name, directive in directives.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
