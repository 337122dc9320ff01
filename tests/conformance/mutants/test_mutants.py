"""The catalogue of wrong conventions, and the certificate that every one of them is told."""

from pathlib import Path

import numpy as np
import pytest

from common.corpus import load_corpus
from conformance.calibrate import certify
from conformance.calibrate.certify import markdown
from conformance.cases.given import gather
from conformance.cases.regimes import REGIMES as MAIN
from conformance.cases.table import CURATED, LARGE, find_case, material
from conformance.cases.wider import LARGE_WIDER
from conformance.mutants import CATALOGUE, EVERY, REGIMES, Mutant, applicable, held_to
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.equations import expected
from conformance.oracle.evaluation import AFTER_THE_GRADIENTS, begin, evaluate
from conformance.oracle.tape import Value, without_tape
from conformance.progress import Progress

GIVEN = gather(load_corpus(None), None)
PAGE = Path(__file__).parents[3] / "docs" / "detecting-power.md"
COVERING = ["rnn-tanh-relu-sigmoid-identity", "gru-before-L3", "gru-after-L3", "lstm-L3",
            "gru-after-bidirectional-lengths-L2", "lstm-uneven-L3",
            "lstm-projected-L2", "lstm-dropout-bidirectional-L3",
            "lstm-peepholes-clipped-L2"]  # fmt: skip
"""Every mutant applies to one of them."""

DEEP = ["rnn-tanh-L12"]
ALL = [*CURATED, *MAIN, *LARGE]

SMALL = [case.name for case in (*CURATED, *LARGE_WIDER) if case.spec.L <= 4]

of_the_catalogue = pytest.mark.once
"""The covering cases show every mutant to both versions of NumPy."""


@pytest.mark.once
@pytest.mark.parametrize("case", CURATED, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_right_conventions_give_the_oracles_answers_bit_for_bit(case, dtype):
    numbers = material(case, GIVEN.corpus)
    wanted, got = expected(case, numbers, dtype), evaluate(TRUTH, case, numbers, dtype)
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_array_equal(got[name], array, name)


def test_the_forward_pass_alone_gives_the_same():
    case = find_case("lstm-L3", GIVEN)
    numbers = material(case, GIVEN.corpus)
    whole, part = evaluate(TRUTH, case, numbers), evaluate(TRUTH, case, numbers, K=0)
    assert {name.split("/")[0] for name in part} == {"weights", "forward", "trace"}
    for name, array in part.items():
        np.testing.assert_array_equal(array, whole[name], name)


def test_a_forward_pass_alone_keeps_no_tape_and_the_next_one_does():
    one = Value(np.ones(2))
    with without_tape():
        assert not (one + one).parents
        with pytest.raises(ZeroDivisionError), without_tape():
            raise ZeroDivisionError
        assert not (one * one).parents
    assert [parent for parent, _ in (one + one).parents] == [one, one]


@pytest.mark.once
@pytest.mark.parametrize("name", ["rnn-tanh-relu", "gru-before-L2", "gru-after-L2", "lstm-L2"])
def test_what_mutants_of_training_share_is_what_they_would_make_themselves(name):
    """Their forward pass is the right one, and a first minibatch may be computed once for all."""
    case = find_case(name, GIVEN)
    numbers = material(case, GIVEN.corpus)
    begun, right = begin(case, numbers), evaluate(TRUTH, case, numbers, K=0)
    shared = 0
    for mutant in [m for m in applicable(case.spec) if not m.forward]:
        shared += mutant.conventions.changed() <= AFTER_THE_GRADIENTS
        alone = evaluate(mutant.conventions, case, numbers)
        together = evaluate(mutant.conventions, case, numbers, begun=begun)
        for tensor, array in alone.items():
            np.testing.assert_array_equal(together[tensor], array, f"{mutant.name}: {tensor}")
            if tensor in right:
                np.testing.assert_array_equal(right[tensor], array, f"{mutant.name}: {tensor}")
    assert shared > 20


def test_gradients_that_go_back_into_earlier_minibatches_change_only_what_comes_later():
    case = find_case("gru-after-L2", GIVEN)
    numbers = material(case, GIVEN.corpus)
    right = evaluate(TRUTH, case, numbers)
    wrong = evaluate(Conventions(detached=False), case, numbers)
    differ = {n for n in right if not np.array_equal(right[n], wrong[n])}
    assert differ and {name.split("/")[0] for name in differ} == {"step-K"}


def test_the_catalogue_names_every_mutant_once():
    names = [mutant.name for mutant in EVERY]
    assert len(names) == len(set(names)) and len(CATALOGUE) >= 100 and len(REGIMES) >= 25
    assert len({mutant.says for mutant in EVERY}) == len(names)
    assert sum(name.startswith("gates read as") for name in names) == 23 + 5
    assert all(mutant.conventions.changed() for mutant in EVERY)
    assert not any(m.regimes for m in CATALOGUE) and all(m.regimes for m in REGIMES)


def test_two_choices_combine_unless_they_are_the_same_one():
    by_name = {mutant.name: mutant.conventions for mutant in CATALOGUE}
    both = by_name["no clip"].with_also(by_name["loss summed"])
    assert both.changed() == {"clip", "count"}
    assert by_name["no clip"].with_also(by_name["clip per tensor"]) is None
    twice = by_name["biases doubled"].with_also(by_name["W_h transposed"])
    assert len(twice.read) == 2


def test_every_mutant_is_killed_by_the_cases_that_cover_the_catalogue():
    found = certify.certify(COVERING, Progress(quiet=True))
    assert [(p.case, p.mutant, p.multiple) for p in found.survivors()] == []
    assert {p.mutant for p in found.pairs if p.killed} == {m.name for m in CATALOGUE}


def of_cases(whole: certify.Certificate, names: list[str]) -> certify.Certificate:
    """The pairs of these cases, each of which is in the certificate."""
    found = certify.Certificate([pair for pair in whole.pairs if pair.case in names])
    assert {pair.case for pair in found.pairs} == set(names)
    return found


@of_the_catalogue
def test_every_fault_of_a_regime_is_killed_in_every_case_of_it_that_the_main_job_has(certificate):
    found = of_cases(certificate, [*(case.name for case in MAIN), *DEEP])
    pairs = [pair for pair in found.pairs if pair.mutant in {m.name for m in REGIMES}]
    assert [(p.case, p.mutant, p.multiple) for p in pairs if not p.killed] == []
    assert {pair.mutant for pair in pairs} == {m.name for m in REGIMES}
    # Three cases each, with the large ones, which the page is made with.
    enough = {m.name: [c.name for c in ALL if m in held_to(c)] for m in REGIMES}
    assert all(len(cases) >= 3 for cases in enough.values()), enough


@of_the_catalogue
def test_every_pair_is_killed_or_declared_silent(certificate):
    assert [(p.case, p.mutant, p.multiple) for p in certificate.survivors()] == []


@of_the_catalogue
def test_enough_cases_kill_every_mutant_by_a_hundred_bounds(certificate):
    assert certificate.holds
    # With the small cases alone, too.
    small = certify.Certificate([pair for pair in certificate.pairs if pair.case in SMALL])
    assert {pair.case for pair in small.pairs} == set(SMALL)
    of_regimes = {mutant.name for mutant in REGIMES}
    assert certificate.weak() == [name for name in small.weak() if name not in of_regimes] == []


@of_the_catalogue
def test_epsilon_in_the_clip_is_told_where_the_norm_is_clipped_and_only_there(certificate):
    told = {p.case: p for p in certificate.pairs if p.mutant == "epsilon in the clip"}
    assert told["lstm-L2"].rung == "clip" and told["lstm-L2"].killed
    assert not told["lstm-unclipped"].killed and "rung clip" in told["lstm-unclipped"].silence


def test_a_mutant_that_changes_nothing_breaks_the_certificate(monkeypatch):
    harmless = Mutant(
        "harmless", "nothing is wrong", Conventions(order=lambda L: [*range(1, L + 1)])
    )
    monkeypatch.setattr(certify, "held_to", lambda case: [harmless])
    monkeypatch.setattr(certify, "EVERY", [harmless])
    found = certify.certify(["lstm-L2"], Progress(quiet=True))
    assert [pair.mutant for pair in found.survivors()] == ["harmless"]
    assert found.weak() == ["harmless"]
    assert not found.holds


def test_a_certificate_of_nothing_does_not_hold():
    assert not certify.Certificate().holds


@of_the_catalogue
def test_a_case_that_kills_no_more_than_another_is_redundant(certificate):
    redundant = certificate.redundant()
    assert redundant["lstm-batch-1"] in {"lstm-L2", "lstm-L3", "lstm-L4", "lstm-long", "lstm-wide"}
    for case, other in redundant.items():
        killed = {p.mutant for p in certificate.pairs if p.case == case and p.killed}
        assert killed <= {p.mutant for p in certificate.pairs if p.case == other and p.killed}
    assert set(redundant) < {pair.case for pair in certificate.pairs}


@of_the_catalogue
def test_the_page_is_of_this_catalogue(certificate):
    """``python -m conformance certify --markdown docs/detecting-power.md`` makes it again."""
    page = PAGE.read_text(encoding="utf-8")
    here = markdown(certificate)
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    assert [r for r in rows if r in {f"| {m.name}" for m in EVERY}] == [
        f"| {m.name}" for m in EVERY
    ]
    assert page.count(" 0 unexplained") == 2 and here.splitlines()[0] == page.splitlines()[0]


def test_every_case_has_mutants():
    for case in CURATED:
        assert len(applicable(case.spec)) > 40, case.name
