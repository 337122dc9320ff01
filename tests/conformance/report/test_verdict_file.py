"""A stored verdict is believed only as long as everything that it rests on is as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastjsonschema", reason="needs the packages of requirements/report.txt")
pytest.importorskip("vl_convert", reason="needs the packages of requirements/report.txt")

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_INCOMPLETE, EXIT_PASS, BadInput
from common.storage.files import read_json, write_json
from common.storage.sums import seal, sealed
from conformance.__main__ import main
from conformance.judge import basis
from conformance.report import verdict_file
from conformance.report.verdict_file import read_verdict
from tests.conformance.helpers import assert_one_line
from tests.conformance.report.helpers import failing, result, run, verdict

pytestmark = pytest.mark.once

ARRAYS = "numpy-cpu/arrays/equations/float64/lstm-L2.safetensors"
RUN = "training/numpy-cpu/equations-rnn-quick-lattice"
CASES = ("gru-before-L1", "lstm-L2")


def report(results: Path, *options: str) -> int:
    return main(["report", str(results), "--quiet", *options])


@pytest.fixture
def judged_again(monkeypatch) -> list[Path]:
    """Fills with the folders that are judged."""
    found, judge_all = [], verdict_file.judge_all
    judge = lambda results, *rest: found.append(results) or judge_all(results, *rest)  # noqa: E731
    monkeypatch.setattr(verdict_file, "judge_all", judge)
    return found


def test_a_stored_verdict_on_the_same_files_is_shown_as_it_is(results, judged_again):
    assert report(results) == EXIT_PASS
    assert judged_again == []


def test_a_verdict_names_everything_that_it_rests_on(results):
    found = read_json(results / "verdict.json")
    own = {p.relative_to(results).as_posix() for p in results.rglob("*") if p.is_file()}
    left = {name for name in own - set(found["inputs"]) if not name.endswith("worker.log")}
    assert left == {"verdict.json"}
    for name in (
        "conformance/closeness/bounds.toml",
        "conformance/verdict/deviations.toml",
        "conformance/records/witnesses/quick-rnn.json",
        "conformance/judge/ensembles/quick-rnn.json",
        "conformance/judge/required/numpy.json",
        "conformance/judge/ladder.py",
        "common/__init__.py",
    ):
        assert found["basis"][name] == basis.sha256_of(basis.ROOT / name), name


@pytest.mark.parametrize(
    "name",
    [
        "numpy-cpu/record.json",
        "numpy-cpu/given.safetensors",
        ARRAYS,
        f"{RUN}/run.json",
        f"{RUN}/given.safetensors",
        f"{RUN}/weights.safetensors",
    ],
)
def test_one_bit_of_a_file_that_was_judged_makes_it_judge_again(name, results, judged_again):
    path = results / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code = report(results)
    assert judged_again == [results]
    # The last bits of a recorded number are no matter, of all the rest every bit is.
    assert code in (EXIT_FAIL, EXIT_BAD_INPUT) or name == ARRAYS


def test_arrays_that_are_gone_are_no_pass(results, capsys):
    shutil.rmtree(results / "numpy-cpu" / "arrays")
    assert report(results) == EXIT_BAD_INPUT
    assert "no such file" in assert_one_line(capsys.readouterr().err)


def test_a_file_more_makes_it_judge_again(results, judged_again):
    shutil.copytree(results / "numpy-cpu", results / "mine-cpu")
    path = results / "mine-cpu" / "record.json"
    write_json(path, sealed(read_json(path) | {"backend": "mine"}))
    assert report(results) == EXIT_PASS
    assert judged_again == [results]


def test_what_is_begun_since_makes_it_judge_again(results, judged_again):
    (results / ".numpy-cpu.partial").mkdir()
    assert report(results) == EXIT_INCOMPLETE
    assert report(results) == EXIT_INCOMPLETE
    assert judged_again == [results]


@pytest.mark.parametrize(
    "name", ["conformance/closeness/bounds.toml", "conformance/verdict/deviations.toml"]
)
def test_what_the_verdict_rests_on_makes_it_judge_again(name, results, judged_again, monkeypatch):
    changed = basis.basis() | {name: "0" * 64}
    monkeypatch.setattr(verdict_file, "basis", lambda more: changed)
    assert report(results) == EXIT_PASS
    assert judged_again == [results]


def test_what_was_asked_is_asked_again(results):
    """By a report, of whatever has changed since."""
    path = results / "verdict.json"
    asked = ["--expect", "numpy", "--cases", *CASES, "--dtype", "float64"]
    assert main(["judge", str(results), "--quiet", "--json", str(path), *asked]) == EXIT_PASS
    shutil.copy(results / "numpy-cpu" / "worker.log", results / "numpy-cpu" / "note.json")
    (results / "numpy-cpu" / "note.json").write_text("{}", encoding="utf-8")
    assert report(results) == EXIT_PASS
    found = read_verdict(path)
    assert found["asked"]["backends"] == ["numpy"]
    assert (found["asked"]["cases"], found["asked"]["dtypes"]) == ([*CASES], ["float64"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"passed": false', '"passed": true'),
        lambda text: text.replace("deep-rnn-verdict-3", "deep-rnn-verdict-1"),
        lambda text: text.replace('"mxnet"', '"numpy"'),
    ],
)
def test_a_damaged_verdict_is_not_replaced_by_one_that_expects_nothing(
    damage: Callable[[str], str], results: Path, capsys
):
    path = results / "verdict.json"
    expect = ["--expect", "numpy", "mxnet", "--cases", *CASES, "--json", str(path)]
    assert main(["judge", str(results), "--quiet", *expect]) == EXIT_FAIL
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = path.read_bytes()
    capsys.readouterr()
    assert report(results) == EXIT_BAD_INPUT
    said = assert_one_line(capsys.readouterr().err)
    assert "verdict.json" in said and "say what it was asked: --expect" in said
    assert path.read_bytes() == before
    assert report(results, "--expect", "numpy", "mxnet") == EXIT_FAIL
    assert read_verdict(path)["absent"] == ["mxnet"]
    assert report(results, "--expect") == EXIT_PASS, "nothing is expected, and that was said"


def test_training_is_expected_of_somebody(results, capsys):
    assert report(results, "--training") == EXIT_BAD_INPUT
    assert "--training" in assert_one_line(capsys.readouterr().err)
    assert report(results, "--expect", "numpy", "--training") == EXIT_FAIL


@pytest.mark.parametrize(
    "change",
    [
        {"sentence": "FAIL: some do not."},
        {"passed": False},
        {"outcome": "FAIL"},
        {"claims": ["one that does not hold"]},
        {"open": ["something that is left"]},
        {"absent": ["jax"]},
        {"results": [failing("numpy:equations", "lstm-L2")]},
        {"training": [run("numpy:equations", status="not compared")]},
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused_though_it_is_sealed(change, tmp_path):
    path = tmp_path / "verdict.json"
    honest = verdict([result("numpy:equations", "lstm-L2")])
    write_json(path, honest)
    assert read_verdict(path)["passed"]
    forged = honest | change
    write_json(path, forged | {"seal": seal(forged)})
    with pytest.raises(BadInput, match="outcome: expected"):
        read_verdict(path)


@pytest.mark.parametrize(("word", "code"), [("PASS", 0), ("FAIL", 1), ("INCOMPLETE", 4)])
def test_page_sentence_badge_and_exit_code_are_of_one_verdict(
    word, code, results, tmp_path, capsys, monkeypatch
):
    status = {"PASS": "pass", "FAIL": "fail", "INCOMPLETE": "not compared"}[word]
    trained = [run("numpy:equations", status=status)]
    found = verdict([result("numpy:equations", "lstm-L2")], trained, outcome=word)
    write_json(results / "verdict.json", found)
    monkeypatch.setattr(verdict_file, "fresh", lambda *_: True)
    files = {name: tmp_path / name for name in ("page", "summary", "badge", "junit")}
    options = ["--out", "--summary", "--badge", "--junit"]
    named = [w for o, p in zip(options, files.values(), strict=True) for w in (o, str(p))]
    assert report(results, *named) == code
    assert capsys.readouterr().out.startswith(f"{word}:")
    page = files["page"].read_text(encoding="utf-8")
    kind, sign = {"PASS": ("pass", "✓"), "FAIL": ("fail", "✗")}.get(word, ("declared", "?"))
    assert f'<p class="verdict {kind}" id="verdict">\n  {sign} {word}:' in page
    summary = files["summary"].read_text(encoding="utf-8")
    assert summary.startswith({"PASS": "### ✅", "FAIL": "### ❌"}.get(word, "### ⚠️"))
    badge = files["badge"].read_text(encoding="utf-8")
    said = {"PASS": "results agree", "FAIL": "failing", "INCOMPLETE": "incomplete"}[word]
    assert said in badge
    junit = files["junit"].read_text(encoding="utf-8")
    assert ("<failure" in junit, "<error" in junit) == (word == "FAIL", word == "INCOMPLETE")
    assert json.loads((results / "verdict.json").read_text(encoding="utf-8")) == found
