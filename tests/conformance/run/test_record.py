"""Real records of the NumPy reference: what is in them, and where they may and may not be made."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_INCOMPLETE, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.weights import load_weights, read_arrays, save_weights, write_arrays
from conformance.oracle.equations import expected
from conformance.run.child import Child
from tests.conformance.helpers import (
    CASES,
    all_arrays,
    arrays_file,
    assert_one_line,
    curated,
    edit_record,
    fingerprint,
    judge,
    numbers,
    record,
    verdict_of,
)

pytestmark = pytest.mark.once

SPEC = ModelSpec("gru", 5, 6, 3, 2, reset="after")


def data_of(out) -> dict:
    return json.loads((out / "numpy-cpu" / "record.json").read_text(encoding="utf-8"))


def test_a_record_holds_every_tensor_that_the_oracle_has_an_answer_to(tmp_path):
    assert record(tmp_path) == EXIT_PASS
    folder = tmp_path / "numpy-cpu"
    for dtype in ("float64", "float32"):
        for name in CASES:
            arrays, metadata = read_arrays(arrays_file(folder, name, dtype))
            wanted = expected(curated(name), numbers(curated(name)))
            recorded = {t: a for t, a in arrays.items() if not t.startswith("invariance/")}
            assert {t: a.shape for t, a in recorded.items()} == {
                t: a.shape for t, a in wanted.items()
            }
            assert {a.dtype for a in arrays.values()} == {np.dtype(dtype)}
            assert len(arrays) > len(recorded)  # the invariances
            assert metadata["digest"] == numbers(curated(name)).digest()


def test_a_record_says_where_and_of_what_it_was_made(tmp_path):
    record(tmp_path)
    data = data_of(tmp_path)
    assert (data["backend"], data["device"]) == ("numpy", "cpu")
    assert data["cases"] == sorted(CASES)
    assert data["text"]["name"] == "sample"
    assert data["passport"]["numpy"] == data["passport"]["version"] == np.__version__
    assert data["passport"]["threads asked for"] == 1
    entries = [e for dtypes in data["entries"]["equations"].values() for e in dtypes.values()]
    assert len(entries) == 4
    assert all(entry["status"] == "recorded" and entry["peak MiB"] > 0 for entry in entries)


def test_after_so_many_answers_another_worker_goes_on(tmp_path, monkeypatch):
    launched, launch = [], Child.launch
    monkeypatch.setattr(Child, "launch", lambda child: launched.append(launch(child)))
    monkeypatch.setattr("conformance.run.ladder.RENEWED", 3)
    assert record(tmp_path) == EXIT_PASS  # two cases in two dtypes: three answers, and one
    assert len(launched) == 2
    entries = [
        e for dtypes in data_of(tmp_path)["entries"]["equations"].values() for e in dtypes.values()
    ]
    assert [entry["status"] for entry in entries] == ["recorded"] * 4
    assert judge(tmp_path) == EXIT_PASS


def test_a_worker_with_too_many_mappings_is_renewed_as_well(tmp_path, monkeypatch):
    launched, launch, seen = [], Child.launch, []
    own = Child.mappings
    monkeypatch.setattr(Child, "launch", lambda child: launched.append(launch(child)))
    monkeypatch.setattr(Child, "mappings", lambda child: seen.append(own(child)) or seen[-1])
    monkeypatch.setattr("conformance.run.ladder.LOOKED_AT", 2)
    monkeypatch.setattr("conformance.run.ladder.MOST_MAPPINGS", 1)
    assert record(tmp_path) == EXIT_PASS
    assert len(launched) == (2 if Path("/proc/self/maps").exists() else 1)
    assert (
        len(seen) == 1 and own(Child("numpy", "cpu", ["float64"], 1, None, tmp_path / "log")) == 0
    )


def test_a_record_is_whole_files_that_others_may_read_and_nothing_temporary(tmp_path):
    record(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"numpy-cpu"}
    names = {path.name for path in (tmp_path / "numpy-cpu").iterdir()}
    assert names == {"record.json", "given.safetensors", "worker.log", "arrays"}
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".partial"))]


def test_a_record_is_judged_and_passes(tmp_path, capsys):
    record(tmp_path)
    capsys.readouterr()
    assert judge(tmp_path) == EXIT_PASS
    assert "PASS: 1 implementation agrees with the oracle on 4 case results" in (
        capsys.readouterr().out
    )


def test_the_same_record_made_again_holds_the_same_bits(tmp_path):
    record(tmp_path / "a")
    record(tmp_path / "b")
    a, b = (all_arrays(tmp_path / name / "numpy-cpu") for name in "ab")
    assert a.keys() == b.keys()
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_only_the_dtype_that_was_asked_for_is_recorded(tmp_path):
    record(tmp_path, "--dtype", "float32")
    assert data_of(tmp_path)["dtypes"] == ["float32"]
    assert [path.name for path in (tmp_path / "numpy-cpu/arrays/equations").iterdir()] == [
        "float32"
    ]
    code, verdict = verdict_of(tmp_path)
    assert code == EXIT_PASS
    assert {result["dtype"] for result in verdict["results"]} == {"float32"}


def test_a_new_record_replaces_the_earlier_one_altogether(tmp_path):
    record(tmp_path, cases=("lstm-L1",))
    record(tmp_path, cases=("lstm-L2",))
    assert data_of(tmp_path)["cases"] == ["lstm-L2"]
    files = {path.name for path in (tmp_path / "numpy-cpu").rglob("lstm*")}
    assert files == {"lstm-L2.safetensors"}


def test_generated_cases_are_recorded_and_can_be_replayed_alone(tmp_path):
    record(tmp_path / "all", "--random", "2", "--seed", "5", cases=("random-*",))
    assert data_of(tmp_path / "all")["cases"] == ["random-5-0", "random-5-1"]
    assert judge(tmp_path / "all") == EXIT_PASS
    record(tmp_path / "one", cases=("random-5-1",))
    together, alone = (all_arrays(tmp_path / name / "numpy-cpu") for name in ("all", "one"))
    assert alone
    assert all(together[name].tobytes() == array.tobytes() for name, array in alone.items())


def test_somebodys_weights_are_recorded_and_judged(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_weights(path, SPEC, initialise(SPEC, "pytorch", 4))
    out = tmp_path / "results"
    assert record(out, "--weights", str(path), cases=("weights", "lstm-L1")) == EXIT_PASS
    spec, params = load_weights(path)
    recorded, _ = read_arrays(arrays_file(out / "numpy-cpu", "weights", "float32"))
    assert spec == SPEC
    for name, array in params.items():
        assert np.array_equal(recorded[f"weights/{name}"], array)
    path.unlink()  # the record holds its own copy
    code, verdict = verdict_of(out)
    assert code == EXIT_PASS
    assert {result["case"] for result in verdict["results"]} == {"weights", "lstm-L1"}
    assert verdict["records"][0]["weights"]


def test_other_weights_than_the_records_are_refused_by_the_judge(tmp_path, capsys):
    mine, other = tmp_path / "mine.safetensors", tmp_path / "other.safetensors"
    save_weights(mine, SPEC, initialise(SPEC, "pytorch", 4))
    save_weights(other, SPEC, initialise(SPEC, "pytorch", 5))
    out = tmp_path / "results"
    record(out, "--weights", str(mine), cases=("weights",))
    assert judge(out, "--weights", str(mine)) == EXIT_PASS
    capsys.readouterr()
    assert judge(out, "--weights", str(other), "--quiet") == EXIT_BAD_INPUT
    assert "weights: expected" in assert_one_line(capsys.readouterr().err)


def test_changed_weights_in_a_record_are_refused(tmp_path, capsys):
    path = tmp_path / "mine.safetensors"
    save_weights(path, SPEC, initialise(SPEC, "pytorch", 4))
    out = tmp_path / "results"
    record(out, "--weights", str(path), cases=("weights",))

    def give_another_digest(data: dict) -> None:
        data["entries"]["equations"]["float64"]["weights"]["digest"] = "0" * 64

    edit_record(out / "numpy-cpu", give_another_digest)
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert "digest of weights" in assert_one_line(capsys.readouterr().err)


def test_weights_that_were_lost_from_a_record_are_refused(tmp_path, capsys):
    path = tmp_path / "mine.safetensors"
    save_weights(path, SPEC, initialise(SPEC, "pytorch", 4))
    out = tmp_path / "results"
    record(out, "--weights", str(path), cases=("weights",))
    given = out / "numpy-cpu" / "given.safetensors"
    arrays, metadata = read_arrays(given)
    del arrays["weights/layer2.b_hh"]
    write_arrays(given, arrays, metadata)
    capsys.readouterr()
    assert judge(out, "--quiet") == EXIT_BAD_INPUT
    assert f"{given}: layer2.b_hh: expected shape (6,)" in assert_one_line(capsys.readouterr().err)


def test_a_file_where_the_results_folder_should_be_is_one_line_and_stays(tmp_path, capsys):
    out = tmp_path / "results"
    out.write_text("mine", encoding="utf-8")
    assert record(out) == EXIT_BAD_INPUT
    assert str(out) in assert_one_line(capsys.readouterr().err)
    assert out.read_text(encoding="utf-8") == "mine"


def test_a_results_folder_that_is_not_there_is_made_with_its_parents(tmp_path):
    assert record(tmp_path / "a" / "b", cases=("lstm-L1",)) == EXIT_PASS
    assert (tmp_path / "a" / "b" / "numpy-cpu" / "record.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_results_folder_that_may_not_be_written_is_one_line(tmp_path, capsys):
    tmp_path.chmod(0o500)
    try:
        assert record(tmp_path) == EXIT_BAD_INPUT
    finally:
        tmp_path.chmod(0o700)
    assert "ermission" in assert_one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_at_the_end_leaves_the_earlier_record(tmp_path, capsys, monkeypatch):
    record(tmp_path)
    before = fingerprint(tmp_path / "numpy-cpu")
    capsys.readouterr()

    def no_space(path, value):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("conformance.run.ladder.write_json", no_space)
    assert record(tmp_path, "--quiet") == EXIT_BAD_INPUT
    assert "No space left" in assert_one_line(capsys.readouterr().err)
    assert fingerprint(tmp_path / "numpy-cpu") == before
    monkeypatch.undo()
    assert judge(tmp_path) == EXIT_INCOMPLETE  # what is interrupted lies beside a whole record


def test_a_record_made_by_a_relative_path_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert record(Path("results"), cases=("lstm-L1",)) == EXIT_PASS
    assert judge(tmp_path / "results") == EXIT_PASS
