"""The main job of one backend, in one process, and the quick one."""

import json

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import main
from conformance.cases.quick import quick_cases
from conformance.report.formats import badge
from conformance.run.main_job import trainings
from tests.conformance.helpers import assert_one_line, verdict_of

pytestmark = pytest.mark.once

RUN = "training/numpy-cpu/equations-lstm-quick-lattice/run.json"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The quick main job of NumPy, recorded and trained."""
    out = tmp_path_factory.mktemp("quick")
    options = ["--backend", "numpy", "--quick", "--training", "--out", str(out), "--quiet"]
    assert main(["record", *options]) == EXIT_PASS
    return out


def test_the_quick_main_job_records_the_quick_cases_and_trains_one_run(quick):
    data = json.loads((quick / "numpy-cpu" / "record.json").read_text(encoding="utf-8"))
    assert set(data["cases"]) == set(quick_cases())
    runs = [path.relative_to(quick).as_posix() for path in quick.glob("training/*/*/run.json")]
    assert runs == [RUN]
    run = json.loads((quick / RUN).read_text(encoding="utf-8"))
    assert run["status"] == "finished" and run["passport"]["framework"] == "numpy"


def test_a_quick_verdict_says_in_words_and_in_json_that_it_is_one(quick):
    code, verdict = verdict_of(quick, "--quick", "--training", "--expect", "numpy")
    assert code == EXIT_PASS and verdict["quick"] is True
    assert verdict["sentence"].startswith("QUICK PASS: ")
    assert "quick: ✓" in badge(verdict)


def test_the_whole_main_job_is_not_passed_by_a_quick_record(quick):
    code, verdict = verdict_of(quick, "--training", "--expect", "numpy")
    assert code == EXIT_FAIL and verdict["sentence"].startswith("QUICK FAIL: ")
    assert {r["status"] for r in verdict["training"]} == {"pass", "not run"}


def test_a_verdict_on_quick_records_says_so_unasked(quick):
    code, verdict = verdict_of(quick)
    assert code == EXIT_PASS and verdict["sentence"].startswith("QUICK PASS: ")


def test_a_quick_verdict_misses_the_run_that_was_not_trained(quick):
    code, verdict = verdict_of(quick, "--quick", "--training", "--expect", "numpy", "pytorch")
    assert code == EXIT_FAIL and verdict["sentence"].startswith("QUICK FAIL: ")
    missing = [r for r in verdict["training"] if r["status"] == "not run"]
    assert [(r["implementation"], r["title"]) for r in missing] == [("pytorch", "quick-lstm")]


def test_quick_chooses_the_cases_itself(tmp_path, capsys):
    options = ["--backend", "numpy", "--quick", "--cases", "lstm-L1", "--out", str(tmp_path)]
    assert main(["record", *options]) == EXIT_BAD_INPUT
    assert "--quick: expected no --cases beside it" in assert_one_line(capsys.readouterr().err)


def test_the_main_job_trains_every_cell_with_every_implementation_on_the_lattice():
    lattice, float32 = trainings(["equations", "layers"], quick=False)
    assert lattice[-3:] == ["--implementation", "equations", "layers"]
    assert "lattice" in lattice and "float32" in float32

    for options in (lattice, float32):
        assert {"rnn", "gru", "lstm", "before", "after"} <= set(options)


def test_recipes_of_wider_stacks_are_trained_beside_either_main_job():
    named = ["wider-sizes", "wider-dropout"]
    for quick in (True, False):
        *_, sizes, dropout = trainings(["equations"], quick, named)
        assert sizes[:2] == ["--recipe", "wider-sizes"] and "lattice" in sizes
        assert dropout[:2] == ["--recipe", "wider-dropout"] and "equations" in dropout
