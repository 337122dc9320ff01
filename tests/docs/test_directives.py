"""The site's own directives: what they show, and that what is missing fails the build."""

import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("sphinx", reason="needs the packages of requirements/docs.txt")

from docs._ext import stored
from docs._ext.labels import defined, narrow
from docs._ext.sources import Missing, extract
from docs._ext.typeset import math, rows
from docs.notebooks import ROOT

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from docs.conf import *
exclude_patterns, locale_dirs, templates_path, html_static_path, html_css_files = [], [], [], [], []
extensions.remove("docs._ext.pages")
"""


def build(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess:
    """A site of one page."""
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    (folder / "index.md").write_text(f"# Title\n\n{text}", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q"]
    words = [*command, *options, str(folder), str(folder / "out")]
    return subprocess.run(words, capture_output=True, text=True, check=False)


FAULTS = {
    "{frameworks} equations lstm_stride": "backends/numpy/equations.py: lstm_stride is not defined",
    "{frameworks} equasions lstm_step": "backends/numpy/equasions.py: no such file",
    "{source} common/spec.py Nothing": "common/spec.py: Nothing is not defined",
    "{equation} LSTM-99": "common/EQUATIONS.md has no equation LSTM-99",
    "{result-table} nowhere/curve": "docs/results/nowhere.json: no such file",
    "{printed} nowhere/example": "docs/results/nowhere.json: no such file",
    "{example} nothing": "docs/experiments/index.py: no such file",
    "{chart} nowhere/curve": "a chart needs :alt:",
    "{reproduce}": "docs/results/index.json: no such file",
}


def test_everything_that_is_missing_fails_the_build_and_is_named(tmp_path: Path) -> None:
    blocks = "\n\n".join(f"```{directive}\n```" for directive in FAULTS)
    roles = "{eqn}`LSTM-99` {value}`nowhere/numpy/x` $\\nosuchmacro$"
    done = build(tmp_path, f"{blocks}\n\n{roles}\n")
    assert done.returncode == 1
    for said in (*FAULTS.values(), "nowhere/numpy/x", "nosuchmacro", "LSTM-99"):
        assert said in done.stderr, said


PAGE = """```{frameworks} training clip
:jax: Trainer.step clip
```

```{source} common/spec.py CELLS
```

$a^2$

{value}`recurrent-networks/numpy/at_20_25 .1f`

```{result-table} why-depth/depths
```

```{chart} why-depth/alike
:alt: x
mark: line
encoding:
  y: {field: alike, type: quantitative}
```
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By language, what becomes of a page."""
    found = {}
    for language in ("en", "pt_BR"):
        folder = tmp_path_factory.mktemp(language)
        done = build(folder, PAGE, "-D", f"language={language}")
        assert (done.returncode, done.stderr) == (0, "")
        found[language] = (folder / "out" / "index.html").read_text(encoding="utf-8")
    return found


def test_a_page_shows_what_it_asks_for(shown) -> None:
    html = shown["en"]
    for path in ("numpy", "pytorch", "mxnet", "tensorflow", "jax"):
        assert f"backends/{path}/training.py" in html
        assert f'data-sync-id="{path}"' in html
    assert html.count('data-sync-group="framework"') == 5
    assert "<math" in html and "<msup>" in html


def test_numbers_have_a_decimal_comma_in_portuguese(shown) -> None:
    """In the text, in tables and on the axes; in English a point."""
    for language, mark in (("en", "."), ("pt_BR", ",")):
        text = re.sub(r"<pre.*?</pre>", "", shown[language], flags=re.DOTALL)  # code has points
        inside = re.findall(r">(-?\d+[.,]\d+)<", text)
        assert len(inside) > 10 and {n.strip("-0123456789") for n in inside} == {mark}


def test_a_piece_comes_with_its_decorators_and_without_indentation() -> None:
    assert extract("common/spec.py", "ModelSpec.states").startswith("@property\ndef states")
    assert extract("backends/pytorch/layers.py", "GATE_ORDER").endswith('i, f, g, o."""')
    with pytest.raises(Missing, match=r"common/spec\.py: ModelSpec\.none is not defined there"):
        extract("common/spec.py", "ModelSpec.none")


def test_equations_are_found_whole_and_made_narrow() -> None:
    text = (ROOT / "common" / "EQUATIONS.md").read_text(encoding="utf-8")
    labels = re.findall(r"^([A-Z]+-\d+[a-z]?) +\S", text, re.MULTILINE)
    assert list(defined()) == labels and len(labels) >= 40
    assert len(defined()["BPTT-1"].splitlines()) == 3
    text = narrow("A-1  x = y          (n, h)\nA-2  C̃ = longer      (n,)\n     more")
    assert text == "A-1  x = y       (n, h)\nA-2  C̃ = longer  (n,)\n     more"


def test_every_equation_is_typeset_with_every_symbol_that_it_has_in_the_document() -> None:
    """Marks of position aside: _ and ^ lower and raise, and brackets hold what they move."""

    def symbols(text: str) -> Counter:
        return Counter(
            unicodedata.normalize("NFKD", re.sub(r"[\s_^(){}]", "", text)).replace("⊤", "T")
        )

    for label, text in defined().items():
        table = ElementTree.fromstring(rows(text)).find("table")
        lines = [line for line in text.splitlines() if line.strip()]
        for line, row in zip(lines, table, strict=True):
            assert symbols("".join(row.itertext())) == symbols(line), (label, line)
        assert table[0][0].findtext("code") == label


def test_a_subscript_a_superscript_and_a_matrix_are_set_as_such() -> None:
    assert math("H_t^(l−1)").startswith("<mrow><msubsup><mrow><mi>𝐇</mi></mrow><mrow><mi>t</mi>")
    assert "<mo>⊤</mo>" in math("W_hqᵀ") and "<mi>𝐖</mi>" in math("W_hqᵀ")
    assert '<mover accent="true"><mi>𝐇</mi>' in math("H\N{COMBINING TILDE}_t")
    assert '<mi>T</mi><mo stretchy="false">·</mo><mi>n</mi>' in math("1/(T·n)")


def test_stored_results_are_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "RESULTS", tmp_path)
    row = {"epoch": 1, "perplexity": 2.0}
    run = {"values": {"p": 1.5}, "tables": {"curve": [row]}, "printed": {"say": ["a", "b"]}}
    (tmp_path / "once.json").write_text(json.dumps({"jax": run, "numpy": run}), encoding="utf-8")
    assert list(stored.runs("once")) == ["numpy", "jax"]
    assert stored.value("once/jax/p") == 1.5
    assert stored.records("once/curve") == [row, row]
    assert stored.printed("once/say") == {"numpy": "a\nb", "jax": "a\nb"}
    for ask, name in ((stored.value, "once/jax/q"), (stored.records, "once/q")):
        with pytest.raises(Missing, match=r"docs/results/once\.json: no"):
            ask(name)
