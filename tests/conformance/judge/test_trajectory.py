"""Training on the lattice, judged: who parts from whom, where, and whether it is a fault."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from backends import registry
from common.corpus import epochs, load_corpus
from common.errors import BadInput
from common.lattice import UNITS, to_lattice
from common.parameters import Arrays, parameter_shapes, zero_state
from common.recipe import RECIPES, initial_parameters
from common.spec import ModelSpec
from common.storage.files import read_json, write_json
from common.storage.sums import sealed
from common.weights import read_arrays, write_arrays
from conformance.cases.given import Given
from conformance.closeness.compare import compare_on_lattice, load_bounds
from conformance.judge.lattice import describe, judge_step
from conformance.judge.training import judge_training
from conformance.records.difference import DIFFERENCE, replay
from conformance.records.training import load_runs
from conformance.records.witness import make_witnesses
from conformance.verdict.outcome import FAIL, NOT_COMPARED, NOT_RUN, PASS, STRADDLE
from conformance.verdict.results import TrainingResult
from conformance.worker.ladder import answer
from tests.conformance.lattice_helpers import (
    RECIPE,
    SPEC,
    Implementation,
    scaled,
    train_here,
    witness,
)

LIMITS = load_bounds()["cpu"]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The digests of a sound run."""
    made = train_here(tmp_path_factory.mktemp("right"), "mxnet", Implementation())
    return tuple(row["digest"] for row in made["epochs"])


def judged(out: Path, digests: tuple[str, ...]) -> TrainingResult:
    (found,) = judge_training(out, witnesses=[witness(digests)] if digests else [], ensembles=[])
    return found


def test_a_sound_run_agrees_with_the_witness(tmp_path: Path, right: tuple[str, ...]) -> None:
    train_here(tmp_path, "pytorch", Implementation(), right)
    found = judged(tmp_path, right)
    assert (found.status, found.agreed, found.epochs) == (PASS, 4, 4)
    assert not (
        tmp_path / "training" / "pytorch-cpu" / "layers-lstm-quick-lattice" / DIFFERENCE
    ).exists()


@pytest.mark.once
def test_a_shorter_run_is_held_against_the_beginning_of_the_witness(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    train_here(
        tmp_path, "pytorch", Implementation(), right, recipe=dataclasses.replace(RECIPE, epochs=2)
    )
    found = judged(tmp_path, right)
    assert (found.status, found.agreed, found.epochs) == (PASS, 2, 2)


@pytest.mark.once
def test_a_gradient_wrong_by_a_ten_thousandth_is_located_and_named(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    fault = Implementation(of_gradients=scaled("layer1.W_xf", 1 + 1e-4))
    train_here(tmp_path, "pytorch", fault, right)
    found = judged(tmp_path, right)
    assert found.status == FAIL
    assert found.place.startswith("epoch 1, step ")
    assert found.reason.startswith("gradients: layer 1, forget gate, W_xf [")


@pytest.mark.once
def test_a_wrong_forward_pass_is_located_in_its_layer(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    fault = Implementation(of_parameters=scaled("layer2.W_hi", 1.001))
    train_here(tmp_path, "pytorch", fault, right)
    found = judged(tmp_path, right)
    assert found.status == FAIL
    assert found.reason.startswith("outputs: begins forward, step 2, layer 2, C, gate i; worst in ")


@pytest.mark.once
def test_a_fault_that_begins_late_is_found_in_its_epoch(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    """It shows only where a gradient is large, so the epochs before are trained again to get
    there."""

    def late(gradients: Arrays) -> Arrays:
        large = np.abs(gradients["layer2.W_ho"]).max() > 0.0032
        return gradients | {"layer2.b_o": gradients["layer2.b_o"] * (1.01 if large else 1.0)}

    made = train_here(tmp_path, "pytorch", Implementation(of_gradients=late), right)
    unlike = [row["digest"] != wanted for row, wanted in zip(made["epochs"], right, strict=True)]
    assert not unlike[0] and any(unlike)
    found = judged(tmp_path, right)
    assert found.status == FAIL
    assert found.agreed == unlike.index(True)
    assert found.place.startswith(f"epoch {found.agreed + 1}, step ")
    assert "layer 2, output gate, b_o" in found.reason


@pytest.mark.once
def test_two_runs_without_a_witness_are_held_against_each_other(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    for backend in ("mxnet", "pytorch"):
        train_here(tmp_path, backend, Implementation())
    train_here(tmp_path, "tensorflow", Implementation(scaled("layer1.W_xf", 1.01)))
    found = {r.implementation: r for r in judge_training(tmp_path, witnesses=[], ensembles=[])}
    assert [found[f"{name}:layers"].status for name in ("mxnet", "pytorch")] == [PASS, PASS]
    odd = found["tensorflow:layers"]
    assert odd.status == FAIL
    assert "--against" in odd.reason  # how to find the step, which nobody looked for


@pytest.mark.once
def test_a_run_that_nothing_can_be_held_against_is_not_a_pass(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    train_here(tmp_path, "pytorch", Implementation())
    assert judged(tmp_path, ()).status == NOT_COMPARED


@pytest.mark.once
def test_an_expected_backend_that_did_not_train_is_a_failure(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    train_here(tmp_path, "pytorch", Implementation(), right)
    expect = ("pytorch", "mxnet")
    found = judge_training(tmp_path, expect, [witness(right)], [])
    assert [(r.implementation, r.status) for r in found] == [
        ("mxnet:equations", NOT_RUN),
        ("mxnet:layers", NOT_RUN),
        ("pytorch:equations", NOT_RUN),
        ("pytorch:layers", PASS),
    ]


def step_evidence() -> tuple[Arrays, dict]:
    """A sound first step as locate.py writes it down."""
    before = initial_parameters(SPEC, RECIPE)
    state = zero_state(SPEC, RECIPE.n, "float64")
    X, Y = next(epochs(load_corpus(), RECIPE))[0]
    return evidence(before, state, X, Y), {"spec": SPEC, "recipe": RECIPE, "epoch": 1, "step": 1}


def evidence(before: Arrays, state: Arrays, X: np.ndarray, Y: np.ndarray) -> Arrays:
    case, numbers = replay(SPEC, RECIPE, before, state, (X, Y))
    answers = answer(Implementation(), case, numbers)
    after = to_lattice({name: answers[f"step-1/{name}"] for name in parameter_shapes(SPEC)})
    end = to_lattice({part: answers[f"forward/{part}"] for part in SPEC.states})
    arrays = {"X": X, "Y": Y}
    for prefix, found in (
        ("before", before),
        ("state before", state),
        ("answers", answers),
        ("after", after),
        ("state after", end),
    ):
        arrays |= {f"{prefix}/{name}": array for name, array in found.items()}
    return arrays


def judge_evidence(arrays: Arrays, about: dict) -> TrainingResult:
    result = TrainingResult("pytorch:layers", "cpu", "lattice", "quick-lstm", FAIL)
    judge_step(result, arrays, about, LIMITS)
    return result


def test_a_value_in_the_middle_of_two_lattice_points_is_a_straddle() -> None:
    arrays, about = step_evidence()
    before = {n.removeprefix("before/"): a for n, a in arrays.items() if n.startswith("before/")}
    state = zero_state(SPEC, RECIPE.n, "float64")
    # Move one bias until its value after the step lies in the middle, to the last bit.
    middle = (np.floor(arrays["after/output.b_q"][5] * UNITS) + 0.5) / UNITS
    for _ in range(60):
        arrays = evidence(before, state, arrays["X"], arrays["Y"])
        before["output.b_q"][5] += middle - arrays["answers/step-1/output.b_q"][5]
    arrays = evidence(before, state, arrays["X"], arrays["Y"])
    assert abs(arrays["answers/step-1/output.b_q"][5] - middle) < 1e-16
    lower = middle - 0.5 / UNITS
    other = lower if arrays["after/output.b_q"][5] > middle else lower + 1 / UNITS
    arrays["after/output.b_q"][5] = other
    found = judge_evidence(arrays, about)
    assert found.status == STRADDLE
    assert "1 values straddle" in found.reason
    assert "output.b_q [5]" in found.reason


def test_a_value_that_is_rounded_to_the_wrong_point_is_a_fault() -> None:
    arrays, about = step_evidence()
    arrays["after/layer1.b_f"][2] += 1 / UNITS
    found = judge_evidence(arrays, about)
    assert found.status == FAIL
    assert found.reason == (
        "rounding to the lattice: layer 1, forget gate, b_f [2]: not the nearest point"
    )


def test_a_carried_state_that_is_not_rounded_is_a_fault() -> None:
    arrays, about = step_evidence()
    arrays["state after/C"] = arrays["answers/forward/C"]
    found = judge_evidence(arrays, about)
    assert found.status == FAIL
    assert "state C" in found.reason


def test_a_step_that_is_right_alone_blames_the_trainer() -> None:
    found = judge_evidence(*step_evidence())
    assert found.status == FAIL
    assert "trainer" in found.reason


def test_only_what_lies_in_the_middle_is_excused() -> None:
    exact = np.array([1.25, 2.0, 0.5]) + np.array([0.5, 0.3, 0.5]) / UNITS
    right = np.rint(exact * UNITS) / UNITS
    got = right + np.array([1.0, 1.0, 0.0]) / UNITS
    got[0] = exact[0] * 2 - right[0]
    differing, unexplained = compare_on_lattice(got, right, exact)
    assert (differing, unexplained) == ([(0,), (1,)], [(1,)])
    nan = np.array([np.nan, *right[1:]])
    assert compare_on_lattice(nan, right, exact) == ([(0,)], [(0,)])


def test_an_element_is_named_in_words() -> None:
    assert describe(SPEC, "gradients/layer2.W_hf", (3, 7)) == "layer 2, forget gate, W_hf [3, 7]"
    assert describe(SPEC, "trace/C", (4, 1, 0, 2)) == "layer 2, time step 5, C [0, 2]"
    assert describe(SPEC, "loss/loss", ()) == "loss/loss"
    both = dataclasses.replace(SPEC, directions=2)
    said = "layer 2, backward direction, forget gate, W_hf [3, 7]"
    assert describe(both, "gradients/layer2.backward.W_hf", (3, 7)) == said
    said = "layer 1, backward direction, time step 5, C [0, 2]"
    assert describe(both, "trace/C", (4, 1, 0, 2)) == said


@pytest.mark.once
def test_a_witness_needs_three_frameworks_that_agree(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    for backend in ("numpy", "mxnet", "pytorch"):
        train_here(tmp_path, backend, Implementation())
    with pytest.raises(BadInput, match="whole runs by 3 frameworks, found"):
        make_witnesses(load_runs(tmp_path))
    train_here(tmp_path, "tensorflow", Implementation())
    made = make_witnesses(load_runs(tmp_path))["quick-lstm"]
    assert [row["digest"] for row in made["epochs"]] == list(right)
    assert len(made["confirmed"]) == 4
    assert "tokens" not in json.dumps(made)
    path = tmp_path / "training" / "mxnet-cpu" / "layers-lstm-quick-lattice" / "run.json"
    data = read_json(path)
    data["epochs"][2]["digest"] = "0" * 64
    write_json(path, sealed(data))
    with pytest.raises(BadInput, match="digest of epoch 3"):
        make_witnesses(load_runs(tmp_path))


@pytest.mark.once
def test_evidence_that_is_not_whole_is_that_runs_failure(
    tmp_path: Path, right: tuple[str, ...]
) -> None:
    fault = Implementation(of_gradients=scaled("layer1.W_xf", 1.01))
    train_here(tmp_path, "pytorch", fault, right)
    path = tmp_path / "training" / "pytorch-cpu" / "layers-lstm-quick-lattice" / DIFFERENCE
    arrays, metadata = read_arrays(path)
    del arrays["before/layer1.W_xi"]
    write_arrays(path, arrays, metadata)
    assert "layer1.W_xi" in reason_in(tmp_path, right)
    write_arrays(path, arrays, {})
    assert "metadata 'about'" in reason_in(tmp_path, right)
    arrays["before/layer1.W_xi"] = arrays["after/layer1.W_xi"]
    write_arrays(path, arrays | {"X": arrays["X"] + 1000}, metadata)
    assert "X: expected whole numbers from 0, and below 28" in reason_in(tmp_path, right)


def reason_in(results: Path, right: tuple[str, ...]) -> str:
    """Why the run fails whose evidence was changed; the file is named, and no folder of ours."""
    failed = judged(results, right)
    assert failed.status == FAIL
    assert failed.reason.startswith(DIFFERENCE)
    return failed.reason


@pytest.mark.once
def test_a_float32_run_is_held_against_its_ensemble(tmp_path: Path) -> None:
    """With the reason for a rejection: here, a learning rate five percent too high."""
    recipe = RECIPES["quick"].recipes["rnn"]
    spec = ModelSpec("rnn", 28, 32, 28, 2, ("tanh", "tanh"))
    made = registry.load("numpy").implementation("equations", "cpu", "float32")
    options = {"numerics": "float32", "spec": spec, "given": Given(load_corpus())}
    train_here(tmp_path / "sound", "pytorch", made, recipe=recipe, **options)
    path = tmp_path / "sound" / "training" / "pytorch-cpu" / "layers-rnn-quick-float32" / "run.json"
    (found,) = judge_training(tmp_path / "sound")
    assert (found.status, found.against, found.reason) == (PASS, "ensemble quick-rnn", "")

    fast = dataclasses.replace(recipe, learning_rate=recipe.learning_rate * 1.05)
    train_here(tmp_path / "fast", "pytorch", made, recipe=fast, **options)
    other = tmp_path / "fast" / path.relative_to(tmp_path / "sound")
    data = read_json(other) | {"recipe": recipe.to_json()}  # as if nobody knew
    write_json(other, sealed(data))
    (found,) = judge_training(tmp_path / "fast")
    assert found.status == FAIL
    assert "step 2" in found.reason
