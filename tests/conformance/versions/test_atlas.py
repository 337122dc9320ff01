"""The atlas, from an environment to what is stored; pip is stood for by this environment."""

import sys
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS, BadInput
from conformance.__main__ import main
from conformance.verdict.deviations import Deviation, load_deviations
from conformance.versions import answers, ask
from conformance.versions.environment import Environment, NotInstalled, first_error
from conformance.versions.stored import load_atlas

pytestmark = pytest.mark.once

CASE = "lstm-one-unit"


class Here(Environment):
    """This environment, whatever is asked for."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)

    def make(self, backend, wanted):
        self.folder.mkdir(parents=True)
        return {backend: wanted.version}


class Nowhere(Environment):
    def make(self, backend, wanted):
        raise NotInstalled("no build of it")


def atlas(tmp_path: Path, *words: str) -> int:
    where = ("--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--quiet")
    return main(["atlas", "--backend", "numpy", "--cases", CASE, *where, *words])


def test_a_version_is_asked_and_stored_and_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("conformance.versions.command.Environment", Here)
    assert atlas(tmp_path, "--versions", "1.0") == EXIT_PASS
    (found,) = load_atlas("numpy", tmp_path / "out")
    assert found["status"] == "answered"
    assert found["packages"] == {"numpy": "1.0"}
    assert found["made"]["cases"] == [CASE]
    rows = found["ladder"]["rows"]
    assert [row["dtype"] for row in rows] == ["float64", "float32"]
    assert all(row["statuses"] == {"pass": 1} and not row["wrong"] for row in rows)
    runs = found["witnesses"]["runs"]
    assert len(runs) == 4
    assert all(run["agreed"] == run["epochs"] > 0 for run in runs)
    assert not list((tmp_path / "cache").iterdir())
    assert "4 of 4 alike" in capsys.readouterr().out


def test_an_interrupted_atlas_goes_on_behind_its_last_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.versions.command.Environment", Here)
    asked: list[str] = []

    def ladder(asking):
        asked.append("ladder")
        return {"rows": []}

    def witnesses(asking):
        asked.append("witnesses")
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"runs": []}

    monkeypatch.setattr(ask.Asking, "ladder", ladder)
    monkeypatch.setattr(ask.Asking, "witnesses", witnesses)
    assert atlas(tmp_path, "--versions", "1.0") == 130
    assert atlas(tmp_path, "--versions", "1.0") == EXIT_PASS
    assert asked == ["ladder", "witnesses", "witnesses"]


def test_what_cannot_be_installed_is_stored_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.versions.command.Environment", Nowhere)
    assert atlas(tmp_path, "--versions", "1.0", "2.0") == EXIT_PASS
    found = load_atlas("numpy", tmp_path / "out")
    assert [(e["asked"], e["status"], e["why"]) for e in found] == [
        (version, "not installed", "no build of it") for version in ("1.0", "2.0")
    ]


def asking(tmp_path: Path, limit: float = 60.0) -> ask.Asking:
    tmp_path.mkdir(exist_ok=True)
    here = Here(tmp_path / "environment", limit)
    return ask.Asking("numpy", here, tmp_path, [*ask.PARTS], [CASE], [], lambda what: None)


def test_a_version_that_crashes_or_hangs_says_so(tmp_path):
    died = asking(tmp_path).run("-c", "import os; os.abort()")
    assert died.trouble == "crashed: SIGABRT"
    hung = asking(tmp_path, limit=0.5).run("-c", "import time; time.sleep(60)")
    assert hung.trouble == "hung: no end after 0.5 s"
    lost = asking(tmp_path).run("-c", "import sys; print('no such module'); sys.exit(2)")
    assert lost.trouble == "no such module"


def test_a_reproduction_that_dies_keeps_no_other_from_its_answer(tmp_path, monkeypatch):
    alone = [Deviation({"id": name, "evidence": f"tests/{name}"}) for name in ("dies", "lives")]

    def run(asking, *words):
        if "tests/dies" in words:
            return ask.Ended(-6, "")
        report = next(word for word in words if word.startswith("--junitxml="))
        Path(report.partition("=")[2]).write_text("<testsuites/>")
        return ask.Ended(0, "")

    monkeypatch.setattr(ask.Asking, "run", run)
    told = {"lives": {"status": answers.THERE, "why": ""}}
    monkeypatch.setattr(ask, "told_by", lambda report, deviations: told)
    one = asking(tmp_path)
    assert one.reproduce(alone) == {}
    died = {"status": answers.UNKNOWN, "why": "crashed: SIGABRT"}
    assert one.reproduce(alone[:1]) == {"dies": died}
    assert one.reproduce(alone[1:]) == told


def test_a_report_tells_what_is_there_what_is_not_and_what_cannot_be_told(tmp_path):
    mended = f"AssertionError: {answers.STALE}; remove the deviation"
    path = tmp_path / "report.xml"
    path.write_text(
        "<testsuites><testsuite>"
        '<testcase name="test_there"/>'
        f'<testcase name="test_gone"><failure message="{mended}"/></testcase>'
        '<testcase name="test_other"><error message="no\n such thing"/></testcase>'
        '<testcase name="test_gpu"/>'
        '<testcase name="test_some[float32]"/>'
        f'<testcase name="test_some[float64]"><failure message="{mended}"/></testcase>'
        "</testsuite></testsuites>"
    )
    names = ("there", "gone", "other", "gpu", "some", "absent")
    found = [Deviation({"id": name, "evidence": f"tests/x.py::test_{name}"}) for name in names]
    found[3].fields["ladder"] = {"device": "gpu"}
    told = answers.told_by(path, found)
    assert [told[name]["status"] for name in names] == [
        answers.THERE,
        answers.GONE,
        answers.UNKNOWN,
        answers.UNKNOWN,
        answers.GONE,
        answers.UNKNOWN,
    ]
    assert told["absent"]["why"] == "was not tried"
    assert told["other"]["why"] == "no such thing"
    assert told["gpu"]["why"] == "needs a GPU"


def test_the_word_for_mended_is_the_one_that_reproductions_use():
    from tests.deviations.reproduction import still

    with pytest.raises(AssertionError, match=answers.STALE):
        still(False, load_deviations()[0].id)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--backend", "theano", "--versions", "1.0"), "--backend: expected one of numpy"),
        (("--backend", "jax", "--versions", "newest"), "--versions: expected a version such as"),
    ],
)
def test_bad_input_is_one_line(words, line, capsys, tmp_path):
    assert main(["atlas", *words, "--out", str(tmp_path / "out")]) == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def pip(monkeypatch, **answers_of: tuple[int, str]) -> None:
    """Let pip answer so, by a word of its command."""

    class Answer:
        def __init__(self, code, said):
            self.returncode, self.stderr = code, said

    def run(self, *command):
        found = next((a for word, a in answers_of.items() if word in " ".join(command)), (0, ""))
        return Answer(*found)

    monkeypatch.setattr(Environment, "run", run)


def test_without_an_index_that_is_one_line(tmp_path, monkeypatch):
    pip(monkeypatch, install=(1, "WARNING: Retrying after connection broken by 'X'"))
    with pytest.raises(BadInput, match="expected an index of packages that answers, found none"):
        Environment(tmp_path, 1.0).check_there_is("numpy==9.9", "--versions 9.9")


def test_a_version_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    pip(monkeypatch, install=(1, "ERROR: No matching distribution found"))
    with pytest.raises(BadInput, match="expected a version that there is, found numpy==9.9"):
        Environment(tmp_path, 1.0).check_there_is("numpy==9.9; python", "--versions 9.9")


def test_a_version_for_other_pythons_says_for_which(tmp_path, monkeypatch):
    def run(self, *command):
        code = 0 if "3.8" in command else 1
        return type("Answer", (), {"returncode": code, "stderr": ""})

    monkeypatch.setattr(Environment, "run", run)
    with pytest.raises(NotInstalled, match=r"there are some for Python 3\.8$"):
        Environment(tmp_path, 1.0).check_there_is("numpy==1.0", "--versions 1.0")


def test_what_pip_says_is_stored_without_addresses_and_paths():
    said = "WARNING: x\nERROR: Cannot find a at https://there/simple or /tmp/b\nERROR: other"
    assert first_error(said) == "Cannot find a at … or …"
    assert first_error("") == "pip does not say why"
    assert answers.nowhere("No module 'x'\n(/home/me/x.py:3)") == "No module 'x' …"
