"""Every chapter's commands run, at short settings, and leave results of the form that is stored.
What their examples print is what the notebooks print: test_notebooks.py runs them there."""

import importlib
import json
import shlex
import warnings
from collections.abc import Callable

import pytest

from common.corpus import load_corpus
from conformance.studies import bench_workers
from docs import experiments
from docs.experiments import SHORT, run
from docs.notebooks import CHAPTERS, ROOT, TITLES, chapters, notebook

RESULTS = ROOT / "docs" / "results"
STORED = sorted(path.stem for path in RESULTS.glob("*.json"))


def stored(chapter: str) -> dict:
    return json.loads((RESULTS / f"{chapter}.json").read_text(encoding="utf-8"))


@pytest.mark.once
@pytest.mark.parametrize("chapter", STORED)
def test_every_example_is_a_cell_of_the_notebook_that_runs_it(chapter: str) -> None:
    for backend, kept in stored(chapter).items():
        cells = [c for c in notebook(chapter, backend)["cells"] if c["cell_type"] == "code"]
        for name, lines in kept["printed"].items():
            (cell,) = [c for c in cells if c["source"].endswith(f'{name}("{backend}")')]
            assert cell["outputs"][0]["text"].splitlines() == lines


@pytest.fixture
def ran(backend_name, tmp_path, monkeypatch) -> Callable[[str], dict]:
    """Run a chapter's command; what it leaves, which is of the form that is stored."""

    def found_of(chapter: str) -> dict:
        wanted = stored(chapter).get(backend_name)
        if wanted is None:
            pytest.skip(f"the chapter has no results of {backend_name}")
        monkeypatch.setenv(SHORT, "0")  # --short sets it; afterwards it is as it was
        monkeypatch.chdir(ROOT)
        printed = wanted["printed"]
        monkeypatch.setattr(experiments, "output", lambda example, _: printed[example.__name__])
        python, m, module, *words = shlex.split(wanted["command"])
        assert (python, m) == ("python", "-m")
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            main = importlib.import_module(module).main
            assert main([*words, "--short", "--out", str(tmp_path)]) == 0
        found = json.loads((tmp_path / f"{chapter}.json").read_text(encoding="utf-8"))[backend_name]
        assert set(found) == set(wanted)
        for part in ("values", "tables", "printed"):
            assert set(found.get(part, {})) == set(wanted.get(part, {})), part
        for name, rows in wanted.get("tables", {}).items():
            made = found["tables"][name]
            assert made, name
            assert {key for row in made for key in row} == {key for row in rows for key in row}
        return found

    return found_of


@pytest.mark.parametrize("chapter", [chapter for chapter in STORED if chapter != "more-machines"])
def test_a_chapter_s_command_runs(chapter, ran) -> None:
    ran(chapter)


def test_the_command_of_more_machines_lets_a_team_take_turns_with_one_worker(
    ran, monkeypatch
) -> None:
    """At D2L's sizes, with a text of a few minibatches."""
    monkeypatch.setattr(bench_workers, "load_corpus", lambda: load_corpus(max_tokens=3000))
    found = ran("more-machines")
    gradients = 4 * 824_348 / 1e6
    assert found["values"]["MB-of-gradients"] == gradients
    teams = found["tables"]["teams"]
    assert [team["workers"] for team in teams] == [1, 2]
    # Each of two workers sends its gradients, or half of them twice.
    assert teams[1]["MB-sent-per-step"] > gradients


@pytest.mark.once
@pytest.mark.parametrize("chapter", STORED)
def test_stored_results_are_small_and_in_full(chapter: str) -> None:
    assert chapter in chapters()
    assert (RESULTS / f"{chapter}.json").stat().st_size < 400_000
    for backend, kept in stored(chapter).items():
        assert backend in TITLES
        assert "--short" not in kept["command"]
        assert kept["versions"]["python"].startswith("3.")


@pytest.mark.once
@pytest.mark.parametrize("chapter", STORED)
def test_a_chapter_with_results_names_its_commands(chapter: str) -> None:
    assert "```{reproduce}" in (CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8")


@pytest.mark.once
def test_every_experiment_has_stored_results() -> None:
    modules = {path.stem for path in (ROOT / "docs" / "experiments").glob("[a-z]*.py")}
    assert {chapter.replace("-", "_") for chapter in STORED} <= modules


@pytest.mark.once
def test_examples_alone_keep_what_was_measured_before(tmp_path, capsys) -> None:
    def says(backend: str) -> None:
        print(f"by {backend}")

    def measure(backend: str, short: bool) -> dict:
        return {"values": {"p": 1.5}}

    words = ["--backend", "numpy", "--out", str(tmp_path)]
    assert (
        run("once", (), measure, words) == run("once", (says,), None, [*words, "--examples"]) == 0
    )
    found = json.loads((tmp_path / "once.json").read_text(encoding="utf-8"))["numpy"]
    assert found["values"] == {"p": 1.5} and found["printed"] == {"says": ["by numpy"]}
    assert "--examples" not in found["command"]
