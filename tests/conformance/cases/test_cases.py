"""The table of cases: that it covers what it must, and that nothing in it hides a mistake."""

import dataclasses
import fnmatch
import itertools

import numpy as np
import pytest

from common.errors import BadInput
from common.parameters import state_shapes
from common.spec import ACTIVATIONS, RESETS
from conformance.cases.regimes import REGIMES
from conformance.cases.table import (
    CURATED,
    TEXT_CASES,
    Case,
    find_case,
    material,
    random_case,
    select,
    wider_case,
)
from conformance.oracle.equations import expected
from tests.conformance.helpers import curated, curated_names, numbers, sample

SPECIAL = ("*-batch-1", "*-one-step", "*-one-step-zero-state", "*-zero-state", "*-one-unit")
"""Names of the cases that are special on purpose."""

DIGESTS = {
    "rnn-tanh-L1": "8081b8e4aa67f8c80cebb28a3d25a61b2fb43da7595bbad67e3d0cbd87d091fa",
    "rnn-tanh-relu": "a40185194aceb89e8da4603847154b13bc245801b72f0c11a16fac657def0d27",
    "gru-before-L3": "5b6e81ed6870bc1e5c03e8743a5a709bc3feeea310ddf537e057a89c12888a42",
    "gru-after-batch-1": "a9d758f73d6910dfc368f59cdeb6abcb0d87d4c9ca898c19e36bc1b49322c02e",
    "lstm-L4": "861a7f3c8251a162dc228f1e657b2b0872469eccd1998633fb0aec34a399057e",
    "lstm-one-step-zero-state": "5534b6c44f50770a577466348c70a5866545f6014fb275650026272cf26c2441",
    "text-lstm": "ed8805881c6ef7461c2236bc2d999cbe951256d78cbe203c44098f5e38652c7a",
    "random-7-3": "b9e2872f68d7816e6dfd6d5f29e6715fcc27d2fc187bd5f242ca8a18e3e8f585",
}
"""Drawn with NumPy 1.23 and with NumPy 2.4."""


def is_special(case: Case) -> bool:
    return any(fnmatch.fnmatchcase(case.name, pattern) for pattern in SPECIAL)


def variant(case: Case) -> tuple:
    return case.spec.cell, case.spec.reset


def test_there_are_at_least_sixty_curated_cases_with_names_of_their_own():
    names = curated_names()
    assert len(names) >= 60
    assert len(set(names)) == len(names)


def test_every_cell_and_variant_has_one_to_four_layers():
    found = {(*variant(case), case.spec.L) for case in CURATED if not is_special(case)}
    variants = {("rnn", None), ("gru", "before"), ("gru", "after"), ("lstm", None)}
    assert found >= {(*v, L) for v in variants for L in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("what", "has_it"),
    [
        ("a batch of 1", lambda case: case.n == 1 and case.T > 1),
        ("a single step", lambda case: case.T == 1 and case.n > 1),
        ("a zero state", lambda case: case.zero_state and case.T > 1),
        ("a random state", lambda case: not case.zero_state),
        ("a single hidden unit", lambda case: case.spec.h == 1),
        ("more inputs than hidden units", lambda case: case.spec.d > case.spec.h > 1),
        ("many steps", lambda case: case.T >= 20),
    ],
)
def test_every_cell_and_variant_meets(what, has_it):
    variants = {variant(case) for case in CURATED}
    assert {variant(case) for case in CURATED if has_it(case)} == variants, what


def test_every_activation_is_alone_at_the_bottom_on_top_and_between_others():
    stacks = [case.spec.activations for case in CURATED]
    mixed = [stack for stack in stacks if len(set(stack)) > 1]
    assert {stack[0] for stack in stacks if len(stack) == 1} == set(ACTIVATIONS)
    assert {stack[0] for stack in mixed} >= {"tanh", "relu"}
    assert {stack[-1] for stack in mixed} >= {"tanh", "relu", "identity"}
    assert {phi for stack in mixed for phi in stack} == set(ACTIVATIONS)


def test_sizes_that_could_be_confused_are_pairwise_different_unless_a_case_is_special():
    for case in CURATED:
        sizes = {"n": case.n, "T": case.T, "d": case.spec.d, "h": case.spec.h, "q": case.spec.q}
        for (a, size_a), (b, size_b) in itertools.combinations(sizes.items(), 2):
            assert size_a != size_b or is_special(case), f"{case.name}: {a} = {b} = {size_a}"


def test_a_case_that_is_not_special_has_several_examples_and_steps():
    for case in CURATED:
        assert is_special(case) or (case.n >= 2 and case.T >= 3 and case.K >= 2), case.name


def test_every_depth_of_every_cell_is_checked_for_its_invariances():
    checked = {(*variant(case), case.spec.L) for case in CURATED if case.invariances}
    assert {(*variant(case), L) for case in CURATED for L in (1, 2, 3, 4)} <= checked
    assert all(case.n >= 2 and case.T >= 3 for case in CURATED if case.invariances)


@pytest.mark.parametrize("name", curated_names())
def test_the_numbers_of_a_case_are_float32_values_of_the_right_shapes_and_none_is_repeated(name):
    case = curated(name)
    given = numbers(case)
    spec = case.spec
    assert given.X.shape == (case.K, case.T, case.n, spec.d)
    assert given.Y.shape == (case.K, case.T, case.n)
    assert set(np.unique(given.Y)) <= set(range(spec.q))
    assert {part: a.shape for part, a in given.state.items()} == state_shapes(spec, case.n)
    assert set(given.state) == set(spec.states)
    for array in (*given.params.values(), given.X, *given.state.values()):
        assert array.dtype == np.float64
        assert np.array_equal(array, array.astype("float32").astype("float64"))
    drawn = np.concatenate([array.ravel() for array in given.params.values()])
    # Uniform draws with 24 bits: a few hundred collide now and then, whole tensors never.
    assert len(np.unique(drawn)) > 0.99 * len(drawn)
    assert all(array.any() for array in given.params.values())
    assert all(array.any() != case.zero_state for array in given.state.values())


@pytest.mark.parametrize("name", DIGESTS)
def test_the_numbers_of_a_case_are_the_same_everywhere_and_always(name):
    assert numbers(curated(name)).digest() == DIGESTS[name]


@pytest.mark.parametrize("part", ["parameter", "input", "class", "state"])
def test_the_digest_tells_one_changed_number(part):
    case = curated("lstm-L2")
    given, changed = numbers(case), numbers(case)
    if part == "parameter":
        changed.params["layer2.W_hf"][3, 4] += 2.0**-30
    elif part == "input":
        changed.X[2, 5, 2, 4] += 2.0**-30
    elif part == "class":
        changed.Y[2, 5, 2] ^= 1
    else:
        changed.state["C"][1, 2, 6] += 2.0**-30
    assert changed.digest() != given.digest()


def test_two_cases_of_equal_sizes_have_different_numbers():
    assert not np.array_equal(numbers(curated("lstm-L2")).X, numbers(curated("gru-after-L2")).X)


@pytest.mark.parametrize("name", curated_names())
def test_what_a_case_declares_as_zero_is_zero_and_nothing_else_is(name):
    case = curated(name)
    answers = expected(case, numbers(case))
    gradients = {t: a for t, a in answers.items() if t.split("/")[0] in ("gradients", "clip")}
    assert all(a.any() for t, a in answers.items() if t not in gradients)
    for tensor, array in gradients.items():
        short = tensor.split("/")[1]
        declared = any(fnmatch.fnmatchcase(short, pattern) for pattern in case.zeros())
        assert declared != bool(array.any()), tensor


def test_only_a_single_step_from_a_zero_state_declares_zeros():
    declaring = {case.name for case in CURATED if case.zeros()}
    assert declaring == {name for name in curated_names() if name.endswith("one-step-zero-state")}


def test_a_training_case_clips_and_an_unclipped_one_does_not():
    for name, clips in (("lstm-L2", True), ("lstm-unclipped", False)):
        case = curated(name)
        norm = expected(case, numbers(case))["clip/norm"]
        assert bool(norm > case.recipe.clip) is clips


@pytest.mark.parametrize("family", TEXT_CASES)
def test_a_case_on_text_has_the_sizes_of_the_seed_and_one_hot_characters(family):
    case = curated(f"text-{family}")
    spec, given = case.spec, numbers(case)
    assert (case.n, case.T, spec.d, spec.h, spec.q, spec.L) == (32, 35, 28, 256, 28, 2)
    assert np.array_equal(np.unique(given.X), [0, 1])
    assert (given.X.sum(axis=-1) == 1).all()
    # The next character is what is to be predicted.
    assert np.array_equal(given.X.argmax(axis=-1)[:, 1:], given.Y[:, :-1])
    # The next minibatch goes on where this one ended.
    assert np.array_equal(given.X[1, 0].argmax(axis=-1), given.Y[0, -1])


def test_a_generated_case_is_made_again_from_its_name():
    for index in range(20):
        case = random_case(11, index)
        again = find_case(case.name, sample())
        assert again == case
        assert numbers(again).digest() == material(case, sample().corpus).digest()


def test_generated_cases_cover_every_cell_reset_activation_and_depth():
    cases = [random_case(0, index) for index in range(200)]
    specs = [case.spec for case in cases]
    assert {spec.cell for spec in specs} == {"rnn", "gru", "lstm"}
    assert {spec.reset for spec in specs} == {None, *RESETS}
    assert {phi for spec in specs for phi in spec.activations} == set(ACTIVATIONS)
    assert {spec.L for spec in specs} == {1, 2, 3, 4}
    assert {case.zero_state for case in cases} == {True, False}
    assert {case.n == 1 for case in cases} == {case.T == 1 for case in cases} == {True, False}
    assert len({case.recipe for case in cases}) == 2
    assert len({(case.spec, case.n, case.T) for case in cases}) > 190


def test_wider_cases_have_two_directions_or_lengths_in_any_order():
    cases = [wider_case(0, index) for index in range(200)]
    assert all(case.spec.directions == 2 or case.lengths for case in cases)
    assert {case.spec.directions for case in cases} == {1, 2}
    lengths = [case.lengths for case in cases if case.lengths]
    assert any(max(ls) < case.T for case in cases if (ls := case.lengths))
    assert any(list(ls) != sorted(ls, reverse=True) for ls in lengths) and any(
        1 in ls for ls in lengths
    )
    assert {not case.spec.even for case in cases} == {case.dropout > 0 for case in cases}
    assert {case.spec.p is None for case in cases} == {case.dropout > 0 for case in cases}
    assert all(case.spec.L > 1 for case in cases if case.dropout)
    assert {case.spec.peepholes for case in cases if case.spec.cell == "lstm"} == {True, False}
    assert not any(case.spec.gate_clip for case in cases)
    assert min(case.spec.p for case in cases if case.spec.p) == 2
    again = find_case(cases[7].name, sample())
    assert again == cases[7] and numbers(again).digest() == numbers(cases[7]).digest()
    assert select(["lstm-L1"], 2, 7, kind="wider") == ["lstm-L1", "wider-7-0", "wider-7-1"]


def test_lengths_go_on_to_another_example_with_every_minibatch():
    case = find_case("lstm-lengths-L2", sample())
    assert numbers(case).lengths.tolist() == [[4, 6, 1], [1, 4, 6], [6, 1, 4]]
    none_whole = find_case("lstm-bidirectional-lengths-L1", sample())
    assert max(none_whole.lengths) < none_whole.T


def test_lengths_are_part_of_what_is_asked():
    case = find_case("lstm-lengths-L2", sample())
    asked = numbers(case)
    other = dataclasses.replace(asked, lengths=np.ones_like(asked.lengths))
    assert (
        len({asked.digest(), other.digest(), dataclasses.replace(asked, lengths=None).digest()})
        == 3
    )


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((4, 6), "expected 3, one for each example, found 2"),
        ((4, 0, 6), "expected 1 to 6, the steps that there are, found [4, 0, 6]"),
        ((4, 7, 6), "expected 1 to 6, the steps that there are, found [4, 7, 6]"),
        ((4, 2.5, 6), "expected whole numbers, found [4.0, 2.5, 6.0]"),
    ],
)
def test_bad_lengths_are_one_line(lengths, said):
    case = dataclasses.replace(find_case("lstm-lengths-L2", sample()), lengths=lengths)
    with pytest.raises(BadInput) as error:
        material(case, sample().corpus)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_other_seeds_give_other_cases():
    assert random_case(0, 1).spec != random_case(1, 0).spec
    assert numbers(random_case(0, 1)).digest() != numbers(random_case(1, 1)).digest()


def test_without_a_pattern_every_case_is_chosen():
    texts = [f"text-{family}" for family in TEXT_CASES]
    regimes = [case.name for case in REGIMES]
    assert select([], 0, 0) == [*curated_names(), *regimes, *texts]
    assert select([], 2, 5)[-2:] == ["random-5-0", "random-5-1"]
    assert select([], 0, 0, weights=True)[-1] == "weights"


def test_patterns_choose_cases_each_of_them_once():
    layers = [f"lstm-L{L}" for L in (1, 2, 3, 4)]
    assert select(["lstm-L[1-4]"], 0, 0) == layers
    assert select(["lstm-L2", "lstm-L[1-4]", "lstm-L2"], 0, 0) == layers
    assert select(["random-*"], 3, 9) == ["random-9-0", "random-9-1", "random-9-2"]


def test_a_generated_case_named_in_full_is_chosen_though_none_was_asked_for():
    assert select(["random-3-14", "lstm-L1"], 0, 0) == ["lstm-L1", "random-3-14"]
    assert select(["random-0-1"] * 2, 0, 0) == ["random-0-1"]


def test_generated_cases_come_beside_the_chosen_ones_each_of_them_once():
    assert select(["lstm-L1"], 2, 7) == ["lstm-L1", "random-7-0", "random-7-1"]
    assert sorted(select(["random-7-1"], 3, 7)) == [f"random-7-{index}" for index in (0, 1, 2)]


@pytest.mark.parametrize(
    "patterns",
    [["nothing-*"], ["lstm-L1", "lstm-L99"], ["random-*"], ["weights"], [""], ["LSTM-L1"]],
)
def test_a_pattern_that_chooses_nothing_is_bad_input(patterns):
    with pytest.raises(BadInput, match="--cases"):
        select(patterns, 0, 0)


@pytest.mark.parametrize(
    "name",
    ["lstm-L99", "", "text-", "text-rnn-relu", "weights", "../lstm-L1", "random-1", "random-a-1"],
)
def test_an_unknown_case_is_bad_input(name):
    with pytest.raises(BadInput, match="the name of a case"):
        find_case(name, sample())


@pytest.mark.parametrize("name", ["random-01-1", "random-1-٣", "random-1-1234567890"])
def test_a_generated_case_has_one_name_only(name):
    with pytest.raises(BadInput, match="the name of a case"):
        find_case(name, sample())
