"""What a failure is put down to: named, if it reproduces everything; else not."""

import numpy as np
import pytest

from common.corpus import load_corpus
from conformance.cases.given import gather
from conformance.closeness.compare import load_bounds
from conformance.diagnose.explain import Evidence, explain, sentence
from conformance.mutants import EVERY, of_regimes
from conformance.oracle.conventions import TRUTH
from conformance.oracle.evaluation import evaluate
from tests.answers import right_once

GIVEN = gather(load_corpus(None), None)
BOUNDS = load_bounds()["cpu"]
BY_NAME = {mutant.name: mutant for mutant in EVERY}


def evidence(answer, conventions, dtype="float64", change=None) -> Evidence:
    with np.errstate(all="ignore"):
        got = evaluate(conventions, answer.case, answer.numbers, dtype)
    if change:
        change(got)
    given = answer.case, answer.numbers, got, answer.noise, BOUNDS[dtype], dtype
    return Evidence(*given, allowed=answer.allowed.get(dtype, {}))


@pytest.mark.once
def test_what_no_convention_explains_is_not_put_down_to_one():
    answer = right_once("lstm-L2", GIVEN)

    def off(got: dict) -> None:
        for array in got.values():
            array *= 1 + 1e-9  # far above the float64 bound

    for conventions in (TRUTH, BY_NAME["gates read as i,g,f,o"].conventions):
        assert explain(evidence(answer, conventions, change=off)) == []


def test_nothing_is_named_if_a_tensor_is_missing():
    answer = right_once("gru-after-L1", GIVEN)
    wrong = BY_NAME["reset before"].conventions
    assert explain(evidence(answer, wrong))[0].names == ("reset before",)
    assert explain(evidence(answer, wrong, change=lambda got: got.pop("gradients/X"))) == []


def test_a_fault_in_float32_is_named_within_the_bounds_of_float32():
    answer = right_once("lstm-L2", GIVEN)
    wrong = BY_NAME["forget bias 1 at run time"].conventions
    found = explain(evidence(answer, wrong, "float32"))
    assert found[0].names == ("forget bias 1 at run time",)
    assert 1e-9 < found[0].error < 1e-4


@pytest.mark.parametrize("name", ["masks one step late", "scale forgotten backward"])
def test_what_is_dropped_wrongly_is_named(name):
    answer = right_once("large-dropout-gru-after-bidirectional-L2", GIVEN)
    found = explain(evidence(answer, BY_NAME[name].conventions))
    assert [one.names for one in found] == [(name,)]


@pytest.mark.parametrize(
    "name", ["peepholes read as i,o,f", "output gate sees C_{t−1}", "clip of C, too",
             "clip 1 % too high", "clipped gates have gradients"]
)  # fmt: skip
def test_wrong_peepholes_and_clips_are_named(name):
    answer = right_once("lstm-peepholes-clipped-L2", GIVEN)
    found = explain(evidence(answer, BY_NAME[name].conventions))
    assert [one.names for one in found] == [(name,)]


def test_the_sentence_says_how_close_and_what_to_do():
    answer = right_once("lstm-L2", GIVEN)
    found = explain(evidence(answer, BY_NAME["gates read as i,g,f,o"].conventions))
    said = sentence("pytorch:layers", found, "forward, step 1, layer 1")
    assert said.startswith("pytorch:layers agrees with the oracle to ")
    assert said.endswith("the gates i,f,o,g are taken for i,o,g,f")
    assert sentence("x:y", [], "forward, layer 2") == (
        "no known convention explains this; the first difference is at: forward, layer 2"
    )


def test_what_is_known_is_tried_before_the_catalogue_is_searched():
    answer = right_once("lstm-L1", GIVEN)
    wrong = BY_NAME["biases doubled"]
    found = evidence(answer, wrong.conventions)
    assert explain(found, [(wrong,)], search=False)[0].names == ("biases doubled",)
    assert explain(found, [(BY_NAME["no clip"],)], search=False) is None


def test_what_is_known_is_tried_in_cases_of_other_regimes():
    """Where it need not show, and does: some inputs are small by chance."""
    answer = right_once("sizes-lstm", GIVEN)
    wrong = BY_NAME["inputs below 1e-4 flushed"]
    assert wrong not in of_regimes(answer.case)
    found = evidence(answer, wrong.conventions)
    assert explain(found, [(wrong,)], search=False)[0].names == ("inputs below 1e-4 flushed",)


def test_a_convention_shows_where_it_changes_an_answer():
    answer = right_once("rnn-tanh-L2", GIVEN)
    found = evidence(answer, BY_NAME["biases doubled"].conventions)
    assert found.error_of(answer.wanted) is None
    assert found.shows((BY_NAME["no clip"],), answer.wanted)
    assert not found.shows((BY_NAME["inputs below 1e-4 flushed"],), answer.wanted)
    assert not found.shows((BY_NAME["H without tanh(C)"],), answer.wanted), "it has no C"


def test_a_fault_of_closed_gates_alone_is_not_put_down_to_what_no_tensor_shows():
    """Beside a tensor's largest element a closed gate is nothing: nearly all conventions that this
    case does not show would explain it."""
    answer = right_once("saturated-lstm", GIVEN)

    def off(got: dict) -> None:
        for tensor, array in got.items():
            closed = np.abs(array) < 1e-7 * np.abs(array).max()
            got[tensor] = np.where(closed, array * (1 + 1e-6), array)

    found = evidence(answer, TRUTH, change=off)
    assert found.error(TRUTH) is None and found.ways == [found]
    assert explain(found) == []


def test_what_other_equations_round_elsewhere_is_named_by_the_tensors():
    """In a case of closed gates: an order of gates that closes others."""
    answer = right_once("saturated-lstm", GIVEN)
    wrong = BY_NAME["gates read as i,f,g,o"].conventions

    def rounded(got: dict) -> None:
        for tensor in got:
            if not tensor.startswith("weights/"):
                got[tensor] = got[tensor] * (1 + 2.0**-48)

    found = evidence(answer, wrong, change=rounded)
    assert found.error(wrong) is None
    assert [one.names for one in explain(found)] == [("gates read as i,f,g,o",)]
