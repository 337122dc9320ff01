"""The check of the Portuguese catalogues: nothing that is missing or doubtful passes."""

import re
from pathlib import Path

import pytest

pytest.importorskip("babel", reason="needs the packages of requirements/docs.txt")

from docs import translations
from docs.notebooks import chapters
from tests.docs.built import parsed

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


NAMES = {
    *(
        "numpy",
        "pytorch",
        "mxnet",
        "tensorflow",
        "jax",
        "keras",
        "flax",
        "onnx",
        "PyTorch",
        "Keras",
    ),
    *("MXNet", "TensorFlow", "Flax", "NumPy", "ONNX Runtime", "JAX, float32", "PyTorch, float32"),
    *("PyTorch, tf32", "Wells", "Austen", "Shelley", "Carroll", "canonical", "uniform", "msgpack"),
    "PyTorch, Keras, MXNet: (h, c). Flax: (c, h)",
    *("rnn", "gru", "lstm", "tanh", "exp", "sigmoid", "float32", "float64", "Gbit"),
}
"""What is called so in every language. Options, functions and keys of files are code."""

SAME = re.compile(r"[a-z]*[fioc]{4}|[\w.]*[_.]\w+(, [.\w]+)*|lstm-L2|outputs|lengths|\d+ Gbit/s")


def shown(page: Path) -> set[str]:
    """Names in charts and tables that are words, and what is said beside equations."""
    article = parsed(page).find("article")
    found = [*article.select("figure.chart svg text"), *article.select("td")]
    texts = {" ".join(e.get_text().split()) for e in found if not e.find(["math", "code"])}
    said = {e.get_text().strip() for e in article.select(".typeset mtext")}
    functions = {"softmax", "onehot", "log", "rint", "max", "min"}
    return {text for text in texts if re.search("[a-z]{3}", text)} | said - functions


def test_legends_tables_and_equations_speak_portuguese(site: Path) -> None:
    """What both editions show alike is a name, or what a network has written."""
    for chapter in chapters():
        pages = [site / edition / "chapters" / f"{chapter}.html" for edition in ("", "pt-br")]
        both = set.intersection(*map(shown, pages))
        assert len(shown(pages[0])) > 0 or chapter in ("both-directions",), chapter
        written = {text for text in both if text.startswith(("it was", "time traveller", "eta"))}
        left = {t for t in both - written - NAMES if not SAME.fullmatch(t)}
        assert left == set(), f"{chapter}: docs/locale/pt_BR/words.toml has not"


def test_numbers_in_portuguese_prose_have_a_decimal_comma() -> None:
    """But for versions, addresses, code and roles."""
    apart = re.compile(
        r"\{[\w-]+\}`[^`]*`|`[^`]*`|https?://\S+|\d+\.\d+\.[\d.]+|([A-Z]\w*|edição) \d+\.\d+"
    )
    for page in translations.finished():
        for message in translations.read(translations.CATALOGUES / f"{page}.po"):
            if message.id:
                found = re.findall(r"\d+\.\d{1,2}\b", apart.sub("", str(message.string)))
                assert found == [], (page, message.string)
