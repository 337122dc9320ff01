"""The catalogues of the Portuguese edition, ``docs/locale/pt_BR/LC_MESSAGES/<page>.po``.

    python -m docs.translations update    after a page has changed, brings its texts to them
    python -m docs.translations check     fails if a text of a finished page has no translation

A finished page is one that docs/locale/finished.txt lists. A text whose English has changed keeps
its old translation, marked fuzzy; until the mark is taken away it counts as not translated.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po

from common.storage.files import write_atomically

DOCS = Path(__file__).resolve().parent
TEMPLATES = DOCS / "_build" / "gettext"
LOCALE = "pt_BR"
CATALOGUES = DOCS / "locale" / LOCALE / "LC_MESSAGES"
FINISHED = DOCS / "locale" / "finished.txt"

EDITION = ("index", "chapters/", "versions")
"""How the names of the pages begin that are translated; the others stay English."""


def build_templates() -> None:
    """Let Sphinx collect the texts of every page."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-E",
        "-b",
        "gettext",
        str(DOCS),
        str(TEMPLATES),
    ]
    subprocess.run(command, check=True)


def read(path: Path) -> Catalog:
    """A catalogue, or an empty one if there is none yet."""
    if not path.exists():
        return Catalog(
            LOCALE,
            project="Deep RNN Reference Suite",
            version="0.1.0",
            header_comment=f"# {path.stem} in Brazilian Portuguese",
            last_translator="the suite's authors",
            language_team="pt_BR",
            msgid_bugs_address="the suite's authors",
            revision_date=datetime(2026, 11, 1, tzinfo=UTC),
            fuzzy=False,
        )
    with path.open("rb") as file:
        return read_po(file, locale=LOCALE, abort_invalid=True)


def missing(template: Catalog, catalogue: Catalog) -> list[str]:
    """The texts of a page that have no translation, or only a fuzzy one."""
    found = []
    for message in template:
        there = catalogue.get(message.id) if message.id else None
        if message.id and (there is None or not there.string or there.fuzzy):
            found.append(str(message.id))
    return found


def translations(catalogue: Catalog) -> dict:
    """Every text with its translation, without the header, which holds the date."""
    return {message.id: message.string for message in catalogue if message.id}


def finished() -> list[str]:
    """The pages that are finished."""
    lines = FINISHED.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def update() -> int:
    for path in sorted(TEMPLATES.rglob("*.pot")):
        if not path.relative_to(TEMPLATES).as_posix().startswith(EDITION):
            continue
        target = CATALOGUES / path.relative_to(TEMPLATES).with_suffix(".po")
        catalogue = read(target)
        before = translations(catalogue)
        catalogue.update(read(path))
        if translations(catalogue) != before:
            write_atomically(target, lambda new, kept=catalogue: write(new, kept))
            print(f"{target.relative_to(DOCS)}: {len(missing(read(path), catalogue))} to translate")
    return 0


def write(path: Path, catalogue: Catalog) -> None:
    for message in catalogue:
        message.flags &= {"fuzzy"}  # braces and percent signs are no formats here
    with path.open("wb") as file:
        write_po(file, catalogue, width=100, ignore_obsolete=True)


def check() -> int:
    failed = 0
    for page in finished():
        template = TEMPLATES / f"{page}.pot"
        if not template.exists():
            print(f"{FINISHED.name}: there is no page {page}")
            failed += 1
            continue
        for text in missing(read(template), read(CATALOGUES / f"{page}.po")):
            print(f"{page}: not translated: {text.splitlines()[0]}")
            failed += 1
    return 1 if failed else 0


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    commands = {"update": update, "check": check}
    if len(words) != 1 or words[0] not in commands:
        print("docs.translations: expected update or check", file=sys.stderr)
        return 2
    build_templates()
    return commands[words[0]]()


if __name__ == "__main__":
    sys.exit(main())
