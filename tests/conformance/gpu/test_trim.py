"""Records made small: of some cases, and of what was answered before a stop."""

import shutil
import signal

import pytest

from conformance.__main__ import main
from conformance.cases.quick import quick_cases
from conformance.gpu.evidence import judged_records
from conformance.gpu.trim import (
    WITNESSES,
    came_back,
    copy_records,
    is_quick,
    leave_out_what_is_unsupported,
    records,
)
from conformance.run import ladder as run_ladder

pytestmark = pytest.mark.once

RUN_CASE = run_ladder._run_case


def test_of_a_record_the_cases_are_kept_that_are_asked_for_and_came_back(tmp_path):
    """And what is left is a record that is judged like any other."""
    one_quick = next(name for name in quick_cases() if "nan" not in name and "sizes" not in name)
    asked_for = [one_quick, "lstm-L3", "lstm-L2"]
    assert not {*asked_for[1:]} & {*quick_cases(), *WITNESSES}
    options = ["--backend", "numpy", "--dtype", "float32", "--cases", *asked_for, "--quiet"]
    assert main(["record", *options, "--out", str(tmp_path / "whole" / "numpy-float32")]) == 0
    arrays = tmp_path / "whole" / "numpy-float32" / "numpy-cpu" / "arrays"
    (arrays / "equations" / "float32" / "lstm-L2.safetensors").unlink()
    copy_records(tmp_path / "whole", tmp_path / "back", came_back)
    found = judged_records(tmp_path / "back")["numpy-float32"]
    assert found["outcome"] == "PASS" and found["rows"]["numpy:equations float32"]["pass"] == 2
    copy_records(tmp_path / "back", tmp_path / "quick", is_quick)
    found = judged_records(tmp_path / "quick")["numpy-float32"]
    assert found["outcome"] == "PASS" and found["rows"]["numpy:equations float32"]["pass"] == 1
    copy_records(tmp_path / "back", tmp_path / "none", lambda case, files: False)
    assert not (tmp_path / "none").exists()


def test_of_a_record_that_was_stopped_what_was_answered_is_kept(tmp_path, monkeypatch):
    """By dtype, the cases that every implementation answered."""
    asked_for = ["--backend", "numpy", "--cases", "lstm-L1", "lstm-L2", "--quiet", "--out"]
    with monkeypatch.context() as patch:
        made = []

        def stop(*_):
            made.append(1)
            if len(made) == 4:  # the last of float32
                raise KeyboardInterrupt
            return RUN_CASE(*_)

        patch.setattr(run_ladder, "_run_case", stop)
        assert (
            main(["record", *asked_for, str(tmp_path / "whole" / "numpy")]) == 128 + signal.SIGINT
        )
    assert list((tmp_path / "whole" / "numpy").glob(".numpy-cpu.partial"))
    copy_records(tmp_path / "whole", tmp_path / "kept", came_back)
    found = judged_records(tmp_path / "kept")
    assert {name: verdict["outcome"] for name, verdict in found.items()} == {
        "numpy-float64": "PASS",
        "numpy-float32": "PASS",
    }
    passed = {
        name: [row["pass"] for row in verdict["rows"].values()] for name, verdict in found.items()
    }
    assert passed == {"numpy-float64": [2], "numpy-float32": [1]}
    # What was recorded whole since, in a process of its own or in the same, counts instead.
    whole = str(tmp_path / "whole" / "numpy-float32")
    assert main(["record", *asked_for, whole, "--dtype", "float32"]) == 0
    assert {place.parent.name for *_, place in records(tmp_path / "whole")} == {*found}
    copy_records(tmp_path / "whole", tmp_path / "newer", came_back)
    row = judged_records(tmp_path / "newer")["numpy-float32"]["rows"]["numpy:equations float32"]
    assert row["pass"] == 2
    shutil.copytree(tmp_path / "whole/numpy-float32/numpy-cpu", tmp_path / "whole/numpy/numpy-cpu")
    places = [place.parent.name for *_, place in records(tmp_path / "whole")]
    assert places == ["numpy", "numpy-float32"]


def test_an_implementation_that_could_express_nothing_is_left_out():
    record = {
        "implementations": ["equations", "keras"],
        "entries": {
            "equations": {"float32": {"a": {"status": "recorded"}}},
            "keras": {"float32": {"a": {"status": "unsupported"}}},
        },
    }
    leave_out_what_is_unsupported(record)
    assert record["implementations"] == list(record["entries"]) == ["equations"]
