"""Every case, climbed by this backend alone and compared with the oracle.

Implementations take turns where a case has nothing new to them, and where a case takes long it is
left out then: the main job asks each of them every case, in both dtypes."""

import functools
from collections import Counter

import pytest

from backends import registry
from common.corpus import load_corpus
from common.spec import ACTIVATIONS
from conformance.cases.given import Given
from conformance.cases.quick import quick_cases
from conformance.cases.table import Case, find_case, suite_cases
from conformance.closeness.compare import load_bounds
from conformance.judge.ladder import compare_all, judging_as
from conformance.oracle.truth import Answer
from conformance.verdict.deviations import load_deviations, unexcused
from conformance.worker.ladder import answer, answer_invariances
from tests.answers import right_once
from tests.backends.made import DEAR, made_by

BOUNDS = load_bounds()
NAMES = suite_cases()
GENERATED = [f"random-2026-{index}" for index in range(30)]
TEXT = "text-lstm"
"""Of the sizes that a user's model has."""


def rows() -> list[tuple[str, str]]:
    """Every case in float64, whose bounds are the narrow ones. In float32 those in which its range
    and its rounding matter, and the fewest that tell every wrong convention: what is wrong in
    float32 alone is not so in one network only, and the main job asks all of them. Generated cases
    take turns, a specification each."""
    quick = quick_cases()
    others = [name for name in NAMES if name not in quick]
    narrow = [(name, "float64") for name in [*quick, *others, *GENERATED[::2]]]
    return narrow + [(name, "float32") for name in [*asked_of_all(), *GENERATED[1::2]]]


@functools.cache
def asked_of_all() -> list[str]:
    """In float32, of every implementation."""
    cases = [find_case(name, Given(load_corpus())) for name in NAMES]
    magnitudes = [case.name for case in cases if case.elementwise or case.undefined]
    return list(dict.fromkeys([*quick_cases(), *magnitudes, TEXT]))


def parts(case: Case) -> set[tuple]:
    """What it has that not every case has, which counts anew in every cell."""
    spec = case.spec
    has = {
        f"{spec.L} layers": spec.L <= 4,
        "zero state": case.zero_state,
        "one example": case.n == 1,
        "one step": case.T == 1,
        "invariances": case.invariances,
        "two directions": spec.directions == 2,
        "lengths": bool(case.lengths),
        "dropout": bool(case.dropout),
        "sizes": bool(spec.sizes),
        "projection": spec.p is not None,
        "peepholes": spec.peepholes,
        "clipped gates": spec.gate_clip is not None,
        **{name: name in spec.activations for name in ACTIVATIONS},
    }
    if case.text:
        return {("text",)}
    own = {(part, spec.cell, spec.reset) for part in has if has[part]}
    return own or {("more layers",)}


@functools.cache
def asked(backend: str) -> dict[tuple[str, str], list[str]]:
    """By case and dtype, the implementations that climb: whoever has not climbed a part of it; if
    all have, and they support it, who has climbed fewest. Where that is ``DEAR``, nobody, if the
    case is in no regime and none of the quick ones, which tell every wrong convention."""
    given, count = Given(load_corpus()), Counter[str]()
    names = registry.load(backend).IMPLEMENTATIONS
    climbed: dict[str, set[tuple]] = {name: set() for name in names}
    found = {}
    for name, dtype in rows():
        case = find_case(name, given)
        able = [
            kind
            for kind in names
            if not made_by(backend, kind, "cpu", dtype).unsupported(case.spec, *case.needs)
        ]
        chosen = [kind for kind in able if parts(case) - climbed[kind]]
        if dtype == "float32" and name in asked_of_all():
            chosen = able
        spared = backend in DEAR and not (case.regimes or name in (*quick_cases(), *GENERATED))
        found[name, dtype] = chosen or sorted(able, key=lambda kind: count[kind])[: not spared]
        for kind in found[name, dtype]:
            climbed[kind] |= parts(case)
            count[kind] += 1
    return found


def climb(name: str, implementation: str, device: str, dtype: str, right: Answer) -> None:
    """Every failure must be one that a declared deviation excuses."""
    made = made_by(name, implementation, device, dtype)
    if reason := made.unsupported(right.case.spec, *right.case.needs):
        pytest.skip(f"unsupported: {reason}")
    got, inapplicable = answer(made, right.case, right.numbers), {}
    if right.case.invariances:
        more, inapplicable = answer_invariances(made, right.case, right.numbers)
        got |= more
    compared = compare_all(got, right, dtype, BOUNDS[device][dtype], inapplicable)
    assert len(compared) > len(right.case.spec.states)
    row = f"{name}:{implementation}", device, dtype
    judged_as = judging_as(got, right, BOUNDS[device], inapplicable)
    left, _ = unexcused(row, right.case, compared, load_deviations(), judged_as)
    assert [(c.tensor, c.problem) for c in left] == []


@pytest.mark.parametrize(("name", "dtype"), rows())
def test_every_rung_of_every_case_holds(
    backend_name: str, name: str, dtype: str, sample: Given
) -> None:
    chosen = asked(backend_name)[name, dtype]
    if not chosen:
        pytest.skip("nobody supports it, or it has nothing new: the main job asks for it")
    for implementation in chosen:
        climb(backend_name, implementation, "cpu", dtype, right_once(name, sample))


def test_what_was_compiled_of_a_layer_serves_every_stack_that_has_one(
    backend_name: str, implementation: str, sample: Given
) -> None:
    if backend_name != "jax":
        pytest.skip("compiles no layer before it runs")
    backend = registry.load(backend_name)
    made = backend.implementation(implementation, "cpu", "float64")
    programs = []
    for name in ("gru-after-L1", "gru-after-L2", "gru-after-L4"):
        right, before = right_once(name, sample), backend.compiled()["programs"]
        answer(made, right.case, right.numbers)
        programs.append(backend.compiled()["programs"] - before)
    # Of L2 a layer over a layer, forward and backward; of L4 the initial state's shape is new.
    assert programs[0] > programs[1] == 2 and programs[2] == 0


@pytest.mark.usefixtures("there_is_a_gpu")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_rung_holds_on_a_gpu(
    backend_name: str, implementation: str, dtype: str, name: str, sample: Given
) -> None:
    climb(backend_name, implementation, "gpu", dtype, right_once(name, sample))
