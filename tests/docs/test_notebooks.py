"""Every chapter's notebook runs from top to bottom, in the environment of its framework.

The cells are plain Python, so they are run here, one after another in a namespace of their own; no
kernel has to be installed beside a framework for that.
"""

import contextlib
import io
import linecache
import sys
import warnings

import pytest

from docs.experiments import SHORT
from docs.notebooks import ROOT, TITLES, Missing, Writer, cells, chapters, notebook


def execute(chapter: str, backend: str) -> str:
    """Runs the code cells as a notebook would, with short settings; returns what they print."""
    namespace = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        for number, (kind, text) in enumerate(cells(chapter, backend)):
            if kind == "code":
                place = f"{chapter}-{backend}.ipynb, cell {number}"
                # inspect.getsource and tracebacks find the cell's lines here.
                linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place
                exec(compile(text, place, "exec"), namespace)
    return stream.getvalue()


@pytest.mark.parametrize("chapter", chapters())
def test_a_notebook_runs_from_top_to_bottom(chapter, backend_name, backend, monkeypatch) -> None:
    monkeypatch.setenv(SHORT, "1")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.path", list(sys.path))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        printed = execute(chapter, backend_name)
    calls = [f'("{backend_name}")' in text for _, text in cells(chapter, backend_name)]
    assert bool(printed.strip()) == any(calls)


def test_every_notebook_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the packages of requirements/docs.txt")
    for chapter in chapters():
        for backend in TITLES:
            nbformat.validate(nbformat.from_dict(notebook(chapter, backend)))


def test_only_the_framework_s_own_tab_is_kept() -> None:
    tab = "```{tab-item} %s\n:sync: %s\nof %s\n```\n"
    tabs = "".join(tab % (title, name, title) for name, title in TITLES.items())
    text = f"before\n\n````{{tab-set}}\n:sync-group: framework\n{tabs}````\n\nafter"
    found = "\n".join(text for _, text in Writer("x", "mxnet").cells(text))
    assert "of MXNet" in found
    assert "of JAX" not in found
    assert found.index("before") < found.index("of MXNet") < found.index("after")


def test_code_is_shown_and_imported() -> None:
    found = list(Writer("x", "jax").cells("```{frameworks} training clip Trainer.step\n```\n"))
    shown = "\n".join(text for kind, text in found if kind == "markdown")
    assert "def clip" in shown and "def step" in shown
    assert ("code", "from backends.jax.training import Trainer") in found


def test_roles_become_text_and_links_to_other_pages_lose_their_target() -> None:
    text = "as {eqn}`LSTM-5` and [a page](training.md#x) and [D2L](https://d2l.ai) say"
    found = [text for _, text in Writer("x", "jax").cells(text) if text]
    assert found == ["as LSTM-5 and a page and [D2L](https://d2l.ai) say"]


def test_a_directive_that_notebooks_do_not_know_is_an_error() -> None:
    with pytest.raises(Missing, match="x: notebooks do not know the directive unheard-of"):
        list(Writer("x", "jax").cells("```{unheard-of}\n```\n"))
