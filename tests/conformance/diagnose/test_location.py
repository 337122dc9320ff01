"""Where a failure begins, down to the gate, without errors that only follow from earlier ones."""

import dataclasses

import numpy as np
import pytest

from common.corpus import load_corpus
from common.parameters import GATES, prefix
from conformance.cases.given import gather
from conformance.diagnose.location import local_errors, locate_forward
from conformance.mutants import CATALOGUE
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import evaluate
from tests.answers import right_once

GIVEN = gather(load_corpus(None), None)
LIMIT = 1e-12
GATED = [(name, gate) for name in ("lstm-L3", "gru-before-L3", "gru-after-L3")
         for gate in GATES[name.split("-")[0]]]  # fmt: skip


def wrong_in(answer, tensor: str) -> dict[str, np.ndarray]:
    """The answers of an implementation that reads one tensor 1.01 times as large."""
    params = answer.numbers.params
    numbers = dataclasses.replace(answer.numbers, params=params | {tensor: 1.01 * params[tensor]})
    return evaluate(TRUTH, answer.case, numbers)


@pytest.mark.once
@pytest.mark.parametrize(("name", "gate"), GATED)
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_fault_in_one_gate_is_located_in_layer_and_gate(name, gate, layer):
    answer = right_once(name, GIVEN)
    got = wrong_in(answer, f"layer{layer}.W_h{gate}")
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert (found.direction, found.step, found.layer) == ("forward", 1, layer)
    # The GRU's reset gate acts through the candidate: they cannot be told apart.
    either = answer.case.spec.cell == "gru" and gate in "rh"
    assert found.gates == (("r", "h") if either else (gate,))


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("layer", [1, 2])
def test_of_two_directions_the_wrong_one_is_named_and_its_first_step(layer, backward):
    answer = right_once("lstm-bidirectional-L2", GIVEN)
    got = wrong_in(answer, f"{prefix(layer, backward)}W_hf")
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    first = answer.case.T if backward else 1
    assert (found.step, found.layer, found.backward) == (first, layer, backward)
    # Above the first layer there are more inputs than rows, so that any gate fits.
    assert found.gates == (("f",) if layer == 1 else ("i", "f", "c"))
    assert ("backward direction" in str(found)) == backward
    errors = local_errors(answer.case, answer.numbers, got)["C"]
    wrong = answer.case.spec.row(layer, backward)
    assert errors.shape == (answer.case.T, 4)
    assert np.all(errors[:, wrong] > 1e-6)
    assert np.all(np.delete(errors, wrong, axis=1) < LIMIT)


@pytest.mark.parametrize("backward", [False, True])
def test_of_shorter_examples_too_a_wrong_gate_is_named_where_each_of_them_starts(backward):
    answer = right_once("lstm-bidirectional-lengths-L1", GIVEN)
    got = wrong_in(answer, f"{prefix(1, backward)}W_hf")
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    # The lengths are 2, 5 and 3: nothing is read at step 6.
    assert (found.step, found.layer, found.backward) == (5 if backward else 1, 1, backward)
    assert "f" in found.gates


def test_what_is_left_behind_an_end_is_no_fault_of_a_gate():
    answer = right_once("lstm-lengths-L2", GIVEN)
    got = evaluate(TRUTH, answer.case, answer.numbers)
    got["trace/H"][4, 0, 0] = got["trace/H"][3, 0, 0]  # the first example has four steps
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert (found.step, found.layer, found.gates) == (5, 1, ())
    assert "H behind the end of an example" in str(found)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("dropout ignored", "step 1, layer 2, C, or what is dropped of its input"),
        ("one mask for all steps", "step 2, layer 2, C, or what is dropped of its input"),
        ("one mask for all layers", "step 1, layer 3, C, or what is dropped of its input"),
        ("dropout of X, too", "step 1, layer 1, C"),
        ("dropout of H_{t−1}", "step 2, layer 1, C"),
        ("last H dropped", None),
        ("mask forgotten backward", None),
    ],
)
def test_what_is_dropped_wrongly_is_located_where_it_is_read(fault, said):
    answer = right_once("large-dropout-lstm-L3", GIVEN)
    (wrong,) = [mutant.conventions for mutant in CATALOGUE if mutant.name == fault]
    got = evaluate(wrong, answer.case, answer.numbers)
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert found is None if said is None else str(found) == f"forward, {said}"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("peepholes read as i,o,f", "C, or a peephole or the clip"),
        ("output gate's peephole dropped", "H, or a peephole or the clip, gate o"),
        ("output gate sees C_{t−1}", "H, or a peephole or the clip"),
        ("candidate not clipped", "C, or a peephole or the clip, gate c"),
        ("clip 1 % too high", "C, or a peephole or the clip"),
        ("f is 1 − f", "C, or a peephole or the clip, gate f"),
        ("peepholes forgotten backward", None),
    ],
)
def test_wrong_peepholes_and_clips_are_located_where_they_act(fault, said):
    answer = right_once("lstm-peepholes-clipped-L2", GIVEN)
    (wrong,) = [mutant.conventions for mutant in CATALOGUE if mutant.name == fault]
    got = evaluate(wrong, answer.case, answer.numbers)
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert found is None if said is None else str(found) == f"forward, step 1, layer 1, {said}"


def test_errors_do_not_add_up_over_layers_and_steps():
    """Every layer above a wrong one has wrong states, and all of them are right locally."""
    answer = right_once("lstm-L3", GIVEN)
    got = wrong_in(answer, "layer2.W_xf")
    errors = local_errors(answer.case, answer.numbers, got)
    for part in ("H", "C"):
        assert errors[part].shape == (answer.case.T, 3)
        assert np.all(errors[part][:, 1] > 1e-6)
        assert np.all(errors[part][:, [0, 2]] < LIMIT)
    top = got["trace/H"][:, 2] - answer.wanted["trace/H"][:, 2]
    assert np.abs(top).max() > 1e-6


def test_a_fault_at_one_step_is_located_there():
    answer = right_once("gru-after-L2", GIVEN)
    got = evaluate(TRUTH, answer.case, answer.numbers)
    got["trace/H"][4, 0] += 1e-6
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert (found.step, found.layer, found.part) == (5, 1, "H")


def test_a_nan_is_located():
    answer = right_once("lstm-L2", GIVEN)
    got = evaluate(TRUTH, answer.case, answer.numbers)
    got["trace/C"][2, 1, 0, 0] = np.nan
    found = locate_forward(answer.case, answer.numbers, got, LIMIT)
    assert (found.step, found.layer, found.part, found.gates) == (3, 2, "C", ())


def test_what_is_right_has_no_place():
    answer = right_once("lstm-L2", GIVEN)
    assert locate_forward(answer.case, answer.numbers, answer.wanted, LIMIT) is None


def test_no_gate_is_named_where_two_are_wrong():
    answer = right_once("lstm-L2", GIVEN)
    wrong = next(m for m in CATALOGUE if m.name == "gates read as i,o,f,g")
    got = evaluate(wrong.conventions, answer.case, answer.numbers)
    assert locate_forward(answer.case, answer.numbers, got, LIMIT).gates == ()
