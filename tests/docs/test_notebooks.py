"""Every chapter's notebook runs from top to bottom, by a Jupyter kernel in the environment of its
framework; what the site's notebooks show was printed by the cells as they are now."""

import json
import re
import subprocess
import sys
import zipfile

import pytest

from docs.notebooks import (
    ROOT,
    SITE,
    TITLES,
    Missing,
    Writer,
    archive,
    chapters,
    hosted,
    notebook,
)
from tests.docs.kernel import Kernel, printed

ROUNDING = re.compile(r"\d+e-\d\d")
"""How far it goes is another machine's affair."""


@pytest.fixture(scope="module")
def kernel(request, tmp_path_factory):
    """One for all notebooks of a framework: importing it is what takes time. It works in a folder
    of its own, beside suite.zip and nothing else."""
    if request.config.getoption("--backend") is None:
        pytest.skip("no backend named: pytest --backend NAME, in its environment")
    folder = tmp_path_factory.mktemp("notebooks")
    archive(folder / "suite.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        with Kernel(folder) as one:
            yield one


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("chapter", chapters())
def test_a_notebook_runs_from_top_to_bottom(chapter, backend_name, kernel) -> None:
    made = notebook(chapter, backend_name)
    wanted = ["".join(o["text"] for o in c["outputs"]) for c in made["cells"] if "outputs" in c]
    for cell, text in zip(kernel.run(made), wanted, strict=True):
        found = ROUNDING.sub("…", printed(cell)).rstrip()
        assert found == ROUNDING.sub("…", text).rstrip(), cell.source


@pytest.mark.once
@pytest.mark.parametrize("chapter", chapters())
def test_every_example_comes_with_what_it_printed(chapter: str) -> None:
    for backend in TITLES:
        code = [c for c in notebook(chapter, backend)["cells"] if c["cell_type"] == "code"]
        examples = [cell for cell in code if cell["source"].endswith(f'("{backend}")')]
        assert len(examples) >= 2 and all(cell["outputs"] for cell in examples)


@pytest.mark.filterwarnings("default")
def test_the_code_of_a_notebook_is_that_of_its_folder_and_can_be_edited(
    backend_name, kernel
) -> None:
    """The last one that this kernel runs: a change in a cell of the suite's code stays."""
    made = notebook("from-scratch", backend_name)
    right = "".join(map(printed, kernel.run(made)))
    assert "apart: True" in right and "apart: False" not in right
    for cell in made["cells"]:
        if cell["source"].startswith("%%suite docs.experiments.from_scratch\ndef lstm_step"):
            assert "C = f * C + i * candidate" in cell["source"]
            cell["source"] = cell["source"].replace("f * C + i", "f * C - i")
    wrong = "".join(map(printed, kernel.run(made)))
    assert "apart: False" in wrong
    where = kernel.run({**made, "cells": [code("import backends; print(backends.__path__)")]})
    assert str(kernel.folder) in printed(where[0])
    assert not (kernel.folder / "suite" / "tests").exists()


@pytest.mark.once
def test_a_notebook_in_the_repository_takes_the_suite_above_it() -> None:
    first = notebook("from-scratch", "numpy")["cells"][1]["source"]
    lines = first.partition("missing =")[0] + "import docs.cells; print(docs.cells.__file__)"
    words = [sys.executable, "-c", lines]
    found = subprocess.run(words, cwd=ROOT / "docs", capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(ROOT / "docs" / "cells.py")


@pytest.mark.once
def test_a_notebook_fetches_the_suite_where_the_site_has_said_that_it_lies(
    tmp_path, monkeypatch
) -> None:
    """Into an empty folder; the address is of this machine here, and its first cell is all that
    runs. The links lead to the same place."""
    monkeypatch.setenv(SITE, "somebody/suite/gh-pages/deep")
    opened, itself = hosted("x.ipynb")
    assert opened.endswith("/github/somebody/suite/blob/gh-pages/deep/notebooks/x.ipynb")
    assert itself.endswith("/somebody/suite/gh-pages/deep/notebooks/x.ipynb")
    first = notebook("from-scratch", "numpy")["cells"][1]["source"]
    address = hosted("suite.zip")[1]
    assert repr(address) in first
    (tmp_path / "site").mkdir()
    (tmp_path / "anywhere").mkdir()
    archive(tmp_path / "site" / "suite.zip")
    first = first.replace(address, (tmp_path / "site" / "suite.zip").as_uri())
    lines = first.partition("missing =")[0] + "import docs.cells; print(docs.cells.__file__)"
    words = [sys.executable, "-c", lines]
    found = subprocess.run(words, cwd=tmp_path / "anywhere", capture_output=True, text=True)
    assert found.stdout.startswith(str(tmp_path / "anywhere" / "suite")), found.stderr
    monkeypatch.setenv(SITE, "somebody")
    with pytest.raises(ValueError, match="DEEP_RNN_SITE: expected OWNER/NAME/BRANCH"):
        hosted("x.ipynb")
    monkeypatch.delenv(SITE)
    assert hosted("x.ipynb") == ("", "")


def code(source: str) -> dict:
    return {"cell_type": "code", "id": "x", "metadata": {}, "source": source, "outputs": [],
            "execution_count": None}  # fmt: skip


@pytest.mark.once
def test_an_edited_function_reaches_who_imported_it_and_an_edited_method_its_class() -> None:
    from backends.numpy import backward, equations
    from docs.cells import suite

    old, kept = equations.cross_entropy, dict(vars(equations.Layer))
    assert backward.cross_entropy is old
    try:
        suite("backends.numpy.equations", "def cross_entropy(*_):\n    return forward\n")
        assert backward.cross_entropy is equations.cross_entropy is not old
        assert backward.cross_entropy() is equations.forward, "it sees the module's names"
        suite("backends.numpy.equations Layer", "def states(self, part):\n    return part\n")
        assert equations.Layer.states(None, "H") == "H"
    finally:
        suite.__globals__["replace"](equations.cross_entropy, old)
        equations.Layer.states = kept["states"]
    assert backward.cross_entropy is equations.cross_entropy is old


@pytest.mark.once
def test_every_notebook_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the packages of requirements/docs.txt")
    for chapter in chapters():
        for backend in TITLES:
            nbformat.validate(nbformat.from_dict(notebook(chapter, backend)))


@pytest.mark.once
def test_only_the_framework_s_own_tab_is_kept() -> None:
    tab = "```{tab-item} %s\n:sync: %s\nof %s\n```\n"
    tabs = "".join(tab % (title, name, title) for name, title in TITLES.items())
    text = f"before\n\n````{{tab-set}}\n:sync-group: framework\n{tabs}````\n\nafter"
    found = "\n".join(text for _, text in Writer("x", "mxnet").cells(text))
    assert "of MXNet" in found
    assert "of JAX" not in found
    assert found.index("before") < found.index("of MXNet") < found.index("after")


@pytest.mark.once
def test_code_is_in_cells_that_can_be_edited() -> None:
    found = list(Writer("x", "jax").cells("```{frameworks} training clip Trainer.step\n```\n"))
    cells = [text for kind, text in found if kind == "code"]
    assert cells[0].startswith("%%suite backends.jax.training\n")
    assert "def clip" in cells[0]
    assert cells[1].startswith("%%suite backends.jax.training Trainer\ndef step")


@pytest.mark.once
def test_a_chart_is_a_cell_with_a_picture(site) -> None:
    """As it lies in the built site: drawn, with its text, and with what is printed."""
    for backend in TITLES:
        path = site / "notebooks" / f"recurrent-networks-{backend}.ipynb"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        [chart] = [c for c in cells if c["source"].startswith("chart(")]
        assert chart["outputs"][0]["data"]["image/svg+xml"].startswith("<svg")
        shown = [c["outputs"] for c in cells if c["source"].endswith(f'checked("{backend}")')]
        assert "at most 1e-12 apart: True" in shown[0][0]["text"]
    with zipfile.ZipFile(site / "notebooks" / "suite.zip") as suite:
        assert "docs/cells.py" in suite.namelist()


@pytest.mark.once
def test_roles_become_text_and_links_to_other_pages_lose_their_target() -> None:
    text = "as {eqn}`LSTM-5` and [a page](training.md#x) and [D2L](https://d2l.ai) say"
    found = [text for _, text in Writer("x", "jax").cells(text) if text]
    assert found == ["as LSTM-5 and a page and [D2L](https://d2l.ai) say"]


@pytest.mark.once
def test_a_directive_that_notebooks_do_not_know_is_an_error() -> None:
    with pytest.raises(Missing, match="x: notebooks do not know the directive unheard-of"):
        list(Writer("x", "jax").cells("```{unheard-of}\n```\n"))
