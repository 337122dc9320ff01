"""What a record says of itself is believed only where nothing is known: each lie is told."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.corpus import load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_INCOMPLETE, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.storage.files import write_json
from common.weights import save_weights
from conformance.cases.given import gather, load_given, save_given
from conformance.cases.table import suite_cases
from conformance.closeness.claimed import likeliest, same_numbers
from conformance.judge import ladder
from conformance.judge.required import Expresses, load_matrix
from conformance.progress import Progress
from conformance.verdict.asked import Asked
from conformance.verdict.outcome import FAILED, INCOMPLETE, NOT_RUN
from tests.conformance.helpers import (
    CASES,
    arrays_file,
    assert_one_line,
    copy_backend,
    edit_record,
    judge,
    record,
    verdict_of,
)
from tests.conformance.lattice_helpers import passport_of

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("few_suspects")]

CASE = "lstm-L2"
EXPECTED = ("--expect", "numpy", "--cases", *CASES)
MACHINE = {"python": "3.11", "numpy": "2", "platform": "Linux", "cores": 2, "threads asked for": 1}


def unsupported(folder: Path, *cases: str) -> None:
    """Claim it of these cases, in both dtypes, and leave no arrays behind."""

    def change(data: dict) -> None:
        for dtype in data["dtypes"]:
            for case in cases:
                entry = {"status": "unsupported", "reason": "cannot"}
                data["entries"]["equations"][dtype][case] = entry
                arrays_file(folder, case, dtype).unlink()

    edit_record(folder, change)


def test_what_an_implementation_computes_is_not_unsupported(out):
    unsupported(out / "numpy-cpu", CASE)
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    wrong = [r for r in verdict["results"] if r["status"] != "pass"]
    assert {(r["case"], r["status"]) for r in wrong} == {(CASE, "fail")}
    assert "said to be unsupported, which it is not (required/numpy.json)" in wrong[0]["reason"]


def test_what_an_implementation_cannot_it_has_not_computed(out):
    """A column of another implementation, under the name of one that has fewer options."""
    folder = forged(out, "pytorch", "layers")
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    wrong = {r["case"]: r["reason"] for r in verdict["results"] if r["status"] == "fail"}
    assert wrong == {CASES[1]: "answered, which pytorch:layers cannot (required/pytorch.json)"}
    assert folder.name == "pytorch-cpu"


def forged(out: Path, backend: str, name: str = "equations") -> Path:
    """NumPy's record as another backend's, with a passport that fits."""
    folder = copy_backend(out, backend)

    def change(data: dict) -> None:
        data["passport"] = passport_of(backend) | MACHINE
        data["implementations"] = [name]
        data["entries"] = {name: data["entries"]["equations"]}

    edit_record(folder, change)
    (folder / "arrays" / "equations").rename(folder / "arrays" / name)
    return folder


def test_a_dtype_that_is_left_out_fails_where_the_backend_is_expected(out, capsys):
    def drop(data: dict) -> None:
        data["dtypes"].remove("float32")
        del data["entries"]["equations"]["float32"]

    edit_record(out / "numpy-cpu", drop)
    shutil.rmtree(out / "numpy-cpu" / "arrays" / "equations" / "float32")
    code, verdict = verdict_of(out, *EXPECTED)
    assert code == EXIT_FAIL
    wrong = {(r["dtype"], r["status"]) for r in verdict["results"] if r["status"] != "pass"}
    assert wrong == {("float32", "not run")}
    assert verdict_of(out, *EXPECTED, "--dtype", "float64")[0] == EXIT_PASS
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS
    assert "in float64 alone" in verdict["sentence"]


def test_cases_that_are_left_out_fail_where_the_backend_is_expected(out, capsys):
    """Unless the options choose some, all of them are asked for, as they are recorded."""
    assert judge(out, "--expect", "numpy", "--quiet") == EXIT_FAIL
    shown = capsys.readouterr().out
    more = len(suite_cases()) - 2 - 3  # three are named
    assert f"and {more} more cases: not run: numpy-cpu was recorded without it" in shown
    assert shown.count("more cases") == 2
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS
    assert f"; 2 of {len(suite_cases())} cases were asked" in verdict["sentence"]


def test_an_implementation_that_is_left_out_is_no_pass_and_fails_where_it_is_expected(out):
    matrix = load_matrix()
    numpy = matrix["numpy"]
    more = numpy.implementations | {"layers": numpy.implementations["equations"]}
    matrix["numpy"] = dataclasses.replace(numpy, implementations=more)
    found = ladder.judge(out, Progress(quiet=True), matrix=matrix)
    assert found.outcome.word == INCOMPLETE
    assert found.open == ["no record of numpy:layers, which was not asked for"]
    asked = Asked(expect=("numpy",), cases=CASES)
    found = ladder.judge(out, Progress(quiet=True), asked, matrix=matrix)
    assert found.outcome.word == FAILED
    assert {r.status for r in found.results if r.implementation == "numpy:layers"} == {NOT_RUN}


def test_numpy_s_record_under_another_name_is_told_by_its_passport(out, capsys):
    copy_backend(out, "pytorch")
    assert judge(out, "--quiet", "--expect", "numpy", "pytorch", "--cases", *CASES) == EXIT_FAIL
    said = "✗ pytorch-cpu: passport: pytorch's framework is torch, not 'numpy'"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"framework": "torch"}, "not one of pytorch, for 'NVIDIA_TF32_OVERRIDE'"),
        (passport_of("pytorch") | {"tiers": {"tf32": "yes"}}, "not one of the device cpu"),
        (passport_of("pytorch") | {"version": ""}, "does not name its version"),
        (passport_of("pytorch") | {"start": "died"}, "a worker that died at its start"),
    ],
)
def test_a_passport_must_be_one_of_the_backend(change, said, out):
    folder = copy_backend(out, "pytorch")
    edit_record(folder, lambda data: data.update(passport=MACHINE | change))
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert any(said in line for line in verdict["claims"]), verdict["claims"]


def test_a_device_and_an_implementation_that_the_backend_has_not_are_told(out):
    def change(data: dict) -> None:
        data["device"] = "gpu"

    edit_record(out / "numpy-cpu", change)
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert verdict["claims"] == ["numpy-cpu: device: numpy has none of the name gpu"]


def test_an_unknown_implementation_of_a_known_backend_is_told(out):
    def change(data: dict) -> None:
        data["implementations"] = ["mine"]
        data["entries"] = {"mine": data["entries"]["equations"]}

    edit_record(out / "numpy-cpu", change)
    arrays = out / "numpy-cpu" / "arrays"
    (arrays / "equations").rename(arrays / "mine")
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    assert verdict["claims"] == ["numpy-cpu: numpy has no implementation mine"]


@pytest.mark.parametrize("name", ["option-reset", "option-layers", "split", "no such invariance"])
def test_an_invariance_that_applies_is_not_inapplicable(name, out):
    case = "gru-before-L1" if name == "option-reset" else CASE

    def change(data: dict) -> None:
        entry = data["entries"]["equations"]["float64"][case]
        entry["inapplicable"] = {name: "cannot"}

    edit_record(out / "numpy-cpu", change)
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    (wrong,) = [r for r in verdict["results"] if r["status"] != "pass"]
    assert wrong["reason"] == f"said to be inapplicable: {name}, which can be"


def test_a_backend_that_the_suite_does_not_know_is_judged_and_named(out, tmp_path, capsys):
    folder = copy_backend(out, "mine")
    shutil.rmtree(out / "numpy-cpu")
    unsupported(folder, CASE)
    code, verdict = verdict_of(out)
    assert (code, verdict["outside"]) == (EXIT_PASS, ["mine"])
    assert "mine is not in the matrix" in verdict["sentence"]
    assert judge(out, "--quiet") == EXIT_PASS
    assert "mine is not in the matrix: what it says that it cannot" in capsys.readouterr().out
    # Once it has said what it can, it is held to that.
    known = json.loads((load_matrix()["numpy"].path).read_text(encoding="utf-8"))
    passport = sorted(json.loads((folder / "record.json").read_text())["passport"])
    passport = [field for field in passport if field not in MACHINE]
    write_json(tmp_path / "mine.json", known | {"backend": "mine", "passport": passport})
    code, verdict = verdict_of(out, "--claims", str(tmp_path / "mine.json"))
    assert (code, verdict["outside"]) == (EXIT_FAIL, [])
    assert verdict["basis"][str(tmp_path / "mine.json")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("devices"),
        lambda d: d.update(format="another"),
        lambda d: d.update(backend="pytorch"),
        lambda d: d["implementations"]["equations"].update(cells=["tcn"]),
        lambda d: d.update(implementations={"../x": {}}),
    ],
)
def test_claims_that_are_no_claims_are_refused(spoil, out, tmp_path, capsys):
    data = json.loads((load_matrix()["numpy"].path).read_text(encoding="utf-8"))
    spoil(data)
    write_json(tmp_path / "claims.json", data)
    capsys.readouterr()
    assert judge(out, "--quiet", "--claims", str(tmp_path / "claims.json")) == EXIT_BAD_INPUT
    assert "claims.json" in assert_one_line(capsys.readouterr().err)


def test_what_can_be_expressed_is_told_by_cell_reset_and_activation():
    known = Expresses(frozenset({"rnn", "gru"}), frozenset({"after"}), frozenset({"tanh", "relu"}))
    assert known.can(ModelSpec("rnn", 3, 4, 2, 2, ("tanh", "relu")))
    assert not known.can(ModelSpec("rnn", 3, 4, 2, 2, ("tanh", "sigmoid")))
    assert known.can(ModelSpec("gru", 3, 4, 2, 1, reset="after"))
    assert not known.can(ModelSpec("gru", 3, 4, 2, 1, reset="before"))
    assert not known.can(ModelSpec("lstm", 3, 4, 2, 1))


# What lies beside a record must be what it says.


def refused(out: Path, capsys, *options: str) -> str:
    capsys.readouterr()
    assert judge(out, "--quiet", *options) == EXIT_BAD_INPUT
    return assert_one_line(capsys.readouterr().err)


def test_weights_are_held_against_those_beside_the_record_not_against_its_claim(tmp_path, capsys):
    spec = ModelSpec("lstm", 5, 6, 3, 2)
    for name, seed in (("mine", 3), ("other", 99)):
        save_weights(tmp_path / name, spec, initialise(spec, "uniform", seed))
    out = tmp_path / "r"
    weights = ("--weights", str(tmp_path / "mine"))
    assert record(out, "--quiet", *weights, cases=("weights",)) == EXIT_PASS
    assert judge(out, "--quiet", *weights) == EXIT_PASS
    other = ("--weights", str(tmp_path / "other"))
    assert "record.json: weights: expected" in refused(out, capsys, *other)
    digest = gather(load_corpus(), tmp_path / "other").weights_digest()
    edit_record(out / "numpy-cpu", lambda data: data.update(weights=digest))
    assert "given.safetensors: weights: expected" in refused(out, capsys, *other)
    assert "given.safetensors: weights: expected" in refused(out, capsys)


def test_a_text_is_held_against_the_one_beside_the_record(out, capsys):
    edit_record(out / "numpy-cpu", lambda d: d["text"].update(sha256="0" * 64))
    assert "given.safetensors: text: expected" in refused(out, capsys)


def test_another_text_under_the_name_of_the_suite_s_is_told(out):
    path = out / "numpy-cpu" / "given.safetensors"
    given = load_given(path)
    tokens = given.corpus.tokens.copy()
    tokens[0] = (tokens[0] + 1) % 3
    corpus = dataclasses.replace(given.corpus, tokens=tokens)
    save_given(path, dataclasses.replace(given, corpus=corpus))
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    said = "numpy-cpu: given.safetensors: not the text sample, whose hash it names"
    assert verdict["claims"] == [said]


def test_arrays_that_no_entry_names_are_refused(out, capsys):
    shutil.copy(arrays_file(out / "numpy-cpu", CASE), arrays_file(out / "numpy-cpu", "lstm-L3"))
    assert "lstm-L3.safetensors: expected no arrays" in refused(out, capsys)


def test_a_key_that_stands_twice_in_a_record_is_refused(out, capsys):
    path = out / "numpy-cpu" / "record.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"device"', '"suite": "0", "device"', 1), encoding="utf-8")
    assert "the name 'suite' twice" in refused(out, capsys)


# A challenge: cases of a seed that was named after the implementation was fixed.


def test_a_challenge_asks_for_the_cases_of_its_seed(out, tmp_path):
    code, verdict = verdict_of(out, "--challenge", "7", "--random", "2")
    assert code == EXIT_FAIL
    wrong = {(r["case"], r["status"]) for r in verdict["results"] if r["status"] != "pass"}
    assert wrong == {("random-7-0", "not run"), ("random-7-1", "not run")}
    answered = tmp_path / "answered"
    record(answered, "--quiet", "--random", "2", "--seed", "7", cases=("random-7-0",))
    code, verdict = verdict_of(answered, "--challenge", "7", "--random", "2")
    assert code == EXIT_PASS
    assert "; challenge 7: 2 generated cases" in verdict["sentence"]
    assert verdict["asked"]["challenge"] == [7, 2]
    assert verdict_of(answered, "--challenge", "8", "--random", "2")[0] == EXIT_FAIL


# What was begun later and is not finished.


def test_a_record_that_was_begun_later_and_is_not_finished_is_no_pass(out, capsys):
    (out / ".numpy-cpu.partial").mkdir()
    code, verdict = verdict_of(out)
    assert code == EXIT_INCOMPLETE
    said = "numpy-cpu was begun again later and is not finished (.numpy-cpu.partial)"
    assert verdict["open"] == [said] and verdict["outcome"] == "INCOMPLETE"
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_INCOMPLETE
    shown = capsys.readouterr().out
    assert f"? {said}" in shown
    assert shown.rstrip().splitlines()[-1].startswith(f"INCOMPLETE: {said}")


def test_numbers_that_are_compared_by_claims_are_compared_as_numbers():
    assert same_numbers([1.0, 2.0], [1.0, 2.0 + 1e-14])
    assert not same_numbers([1.0, 2.0], [1.0, 2.0 + 1e-9])
    assert not same_numbers([np.nan], [np.nan])
    assert not same_numbers([1.0], [1.0, 1.0])
    outputs = np.array([[0.0, 1.0], [1.0, 0.9999]])
    assert likeliest(outputs, np.array([1, 1]), "lattice").tolist() == [True, False]
    assert likeliest(outputs, np.array([1, 1]), "float32").tolist() == [True, True]
