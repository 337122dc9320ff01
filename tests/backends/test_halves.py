"""Half precision on a CPU: what passes, what is told all the same, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from backends.protocol import Implementation
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from common.parameters import Arrays
from conformance.__main__ import main
from conformance.cases.halves import HALVES, NATIVE, in_precision
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import compare_all
from conformance.judge.required import load_matrix
from conformance.oracle.truth import Answer
from conformance.worker.ladder import answer, answer_invariances
from tests.answers import right_once

CASES = (
    "lstm-L2",
    "gru-after-bidirectional-L2",
    "rnn-tanh-bidirectional-lengths-L2",
    "lstm-dropout-bidirectional-L3",
)
"""One of every kind of cell; both ways, lengths and dropout."""

TIERS = ("bfloat16", "mixed", "float16")
BOUNDS = load_bounds()["cpu"]


@pytest.fixture
def made(backend, implementation):
    """The implementation in a tier, where the backend has it."""

    def found(tier: str) -> Implementation:
        if tier not in getattr(backend, "HALVES", ()):
            pytest.skip("has no half precision")
        return backend.implementation(implementation, "cpu", tier)

    return found


def climb(one: Implementation, wanted: Answer) -> tuple[Arrays, dict[str, str]]:
    """The answers to a case, and which invariances it cannot express."""
    if reason := one.unsupported(wanted.case.spec, *wanted.case.needs):
        pytest.skip(f"unsupported: {reason}")
    got, inapplicable = answer(one, wanted.case, wanted.numbers), {}
    if wanted.case.invariances:
        more, inapplicable = answer_invariances(one, wanted.case, wanted.numbers)
        got |= more
    return got, inapplicable


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_every_rung_holds_in_half_precision(name, tier, made, sample):
    one = made(tier)  # before the reference, which takes longer to compute than this does to skip
    wanted = right_once(name, sample, tier)
    got, inapplicable = climb(one, wanted)
    assert all(array.dtype == "float32" for array in got.values())
    compared = compare_all(got, wanted, tier, BOUNDS[tier], inapplicable)
    assert [(c.tensor, c.problem) for c in compared if not c.passed] == []
    # It is half precision: in float32 the outputs would be a hundred times as near.
    assert max(c.ratio for c in compared if c.tensor == "forward/O") > 0.02


@pytest.mark.parametrize("tier", TIERS)
def test_weights_are_those_of_the_format(tier, made, sample):
    one = made(tier)
    wanted = right_once("lstm-L2", sample, tier)
    case = right_once("lstm-L2", sample)
    back = one.model(case.case.spec, case.numbers.params).parameters()
    format_s = in_precision(case.numbers, tier).params
    assert all(np.array_equal(back[name], format_s[name]) for name in back)
    kept = all(np.array_equal(back[name], case.numbers.params[name]) for name in back)
    assert kept == (tier not in NATIVE) and wanted.digest == case.digest


def swapped(params: Arrays, one: str, other: str) -> Arrays:
    """The weights of one gate in the place of another's, in every layer."""

    def moved(name: str) -> str:
        layer, _, own = name.rpartition(".")
        gate = {one: other, other: one}.get(own[-1], own[-1])
        return f"{layer}.{own[:-1]}{gate}" if layer.startswith("layer") else name

    return {name: params[moved(name)] for name in params}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("one", "other"), [("i", "f"), ("f", "o"), ("c", "o")])
def test_gates_in_another_order_are_told_in_half_precision(one, other, tier, made, sample):
    """By the outputs, which are right in the right order."""
    implementation = made(tier)
    wanted = right_once("lstm-L2", sample, tier)
    numbers, passed = wanted.numbers, []
    for params in (swapped(numbers.params, one, other), numbers.params):
        given = dataclasses.replace(numbers, params=params)
        got = answer(implementation, wanted.case, given, "outputs")
        compared = compare_all(got, wanted, tier, BOUNDS[tier], {})
        passed.append(all(c.passed for c in compared if c.rung == "outputs"))
    assert passed == [False, True]


def test_who_has_half_precision_is_in_the_matrix(backend, backend_name):
    assert load_matrix()[backend_name].halves == getattr(backend, "HALVES", ())
    assert getattr(backend, "HALVES", TIERS) == TIERS


def run(*options: str) -> int:
    return main([*options, "--quiet"])


def test_a_record_in_half_precision_is_judged_by_itself(backend, backend_name, tmp_path, capsys):
    """One case that is asked and one that is left out, through the two commands."""
    out = str(tmp_path / "results")
    asked = ["--cases", "rnn-tanh-L1", "saturated-lstm", "--dtype", "bfloat16"]
    command = ["record", "--backend", backend_name, *asked, "--out", out]
    if not getattr(backend, "HALVES", ()):
        assert run(*command) == EXIT_BAD_INPUT
        line = f"{backend_name}: dtype: expected one of float64, float32, found bfloat16\n"
        assert (
            capsys.readouterr().err == line and not (tmp_path / "results" / "record.json").exists()
        )
        return
    assert run(*command) == EXIT_PASS
    record = tmp_path / "results" / f"{backend_name}-cpu" / "record.json"
    entries = json.loads(record.read_text(encoding="utf-8"))["entries"]["equations"]["bfloat16"]
    assert [entries[name]["status"] for name in asked[1:3]] == ["recorded", "unsupported"]
    assert run("judge", out, "--expect", backend_name, *asked) == EXIT_PASS
    assert "PASS: 2 implementations agree" in capsys.readouterr().out
    # What is asked of both dtypes is not answered by half precision.
    assert run("judge", out, "--expect", backend_name, *asked[:3]) == EXIT_FAIL


def test_runs_are_trained_in_their_own_precisions_after_a_record_in_half(backend_name, tmp_path):
    if backend_name != "pytorch":
        pytest.skip("how a command starts its worker is no framework's own: PyTorch's starts soon")
    asked = ["--backend", backend_name, "--quick", "--training", "--dtype", "float16"]
    assert run("record", *asked, "--out", str(tmp_path)) == EXIT_PASS
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("training/*/*/run.json")]
    assert {made["numerics"] for made in runs} >= {"lattice"}
    assert all(made["status"] == "finished" for made in runs)


def test_a_mode_is_not_asked_in_half_precision(backend, backend_name, tmp_path, capsys):
    if not (getattr(backend, "HALVES", ()) and getattr(backend, "MODES", ())):
        pytest.skip("has no modes, or no half precision")
    command = ["record", "--backend", backend_name, "--cases", "rnn-tanh-L1", "--dtype", "float16"]
    command += ["--modes", f"{backend_name}:*", "--out", str(tmp_path / "results")]
    assert run(*command) == EXIT_BAD_INPUT
    expected = "expected float64 or float32 beside --modes, found float16"
    assert capsys.readouterr().err == f"--dtype: {expected}\n"


def test_every_tier_is_asked_of_somebody():
    asked = {tier for required in load_matrix().values() for tier in required.halves}
    assert asked == set(HALVES) - {"tf32"}
