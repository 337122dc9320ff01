"""The check of the Portuguese catalogues: nothing that is missing or doubtful passes."""

from pathlib import Path

import pytest

pytest.importorskip("babel", reason="needs the packages of requirements/docs.txt")

from docs import translations

HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


def write(path: Path, *entries: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "\n".join(entries), encoding="utf-8")


def entry(text: str, translation: str = "", mark: str = "") -> str:
    return f'{mark}msgid "{text}"\nmsgstr "{translation}"\n'


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the catalogue of a finished page with two texts belongs."""
    monkeypatch.setattr(translations, "TEMPLATES", tmp_path / "templates")
    monkeypatch.setattr(translations, "CATALOGUES", tmp_path)
    monkeypatch.setattr(translations, "DOCS", tmp_path)
    monkeypatch.setattr(translations, "FINISHED", tmp_path / "finished.txt")
    (tmp_path / "finished.txt").write_text("# a comment\nchapters/depth\n", encoding="utf-8")
    write(tmp_path / "templates" / "chapters" / "depth.pot", entry("a step"), entry("LSTM"))
    return tmp_path / "chapters" / "depth.po"


def test_a_page_with_all_texts_passes_also_where_one_stays_as_it_is(catalogue: Path) -> None:
    write(catalogue, entry("a step", "um passo"), entry("LSTM", "LSTM"))
    assert translations.check() == 0


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("a step", "um passo"), entry("LSTM")],
        [entry("a step", "um passo", "#, fuzzy\n"), entry("LSTM", "LSTM")],
    ],
    ids=["no catalogue", "no translation", "a doubtful one"],
)
def test_a_page_without_one_fails(catalogue: Path, entries: list[str], capsys) -> None:
    if entries:
        write(catalogue, *entries)
    assert translations.check() == 1
    assert "chapters/depth: not translated: " in capsys.readouterr().out


def test_a_page_that_is_not_there_fails(catalogue: Path) -> None:
    translations.FINISHED.write_text("chapters/width\n", encoding="utf-8")
    assert translations.check() == 1


def test_what_is_not_finished_is_not_asked_for(catalogue: Path) -> None:
    translations.FINISHED.write_text("", encoding="utf-8")
    assert translations.check() == 0


def test_update_keeps_what_is_translated_and_marks_what_has_changed(catalogue: Path) -> None:
    write(catalogue, entry("one step", "um passo"), entry("LSTM", "LSTM"))
    assert translations.update() == 0
    assert translations.missing(translations.read(catalogue), translations.read(catalogue)) == [
        "a step"
    ]
    assert 'msgstr "um passo"' in catalogue.read_text(encoding="utf-8")
    assert translations.check() == 1


def test_an_unknown_command_is_refused(capsys) -> None:
    assert translations.main(["upgrade"]) == 2
    assert capsys.readouterr().err == "docs.translations: expected update or check\n"
