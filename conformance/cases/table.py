"""The table of cases. A case is data: its name alone gives its spec, its numbers and its recipe.

A case can tell two functions apart if nothing in it is special: weights and biases are random and
different for every gate, sizes are pairwise different, states are not zero. Cases that are special
on purpose (batch 1, one step, zero state, one hidden unit) come beside these, never instead.
"""

import fnmatch
import itertools
import random
import re
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from common.corpus import Corpus, minibatches, one_hot
from common.dropout import Dropout, check_dropout, mask_shape
from common.errors import BadInput
from common.lengths import check_lengths
from common.parameters import (
    Arrays,
    initialise,
    only_own,
    parameter_shapes,
    state_shapes,
    zero_state,
)
from common.spec import ACTIVATIONS, ModelSpec
from conformance.cases.case import (
    CLIPPED,
    DTYPES,
    FAMILIES,
    UNCLIPPED,
    Case,
    Material,
    make_spec,
)
from conformance.cases.given import WEIGHTS_N, WEIGHTS_T, Given
from conformance.cases.halves import PRECISIONS
from conformance.cases.points import case_named
from conformance.cases.regimes import LARGE as LARGE_REGIMES
from conformance.cases.regimes import LAYERS, REGIMES, in_its_regime
from conformance.cases.wider import LARGE_WIDER, WIDER
from conformance.options import program

__all__ = ["CURATED", "DTYPES", "FAMILIES", "PRECISIONS", "TEXT_CASES", "Case", "Material"]


def _mixed(*activations: str) -> Case:
    spec = ModelSpec("rnn", 5, 7, 4, len(activations), activations=activations)
    return Case("rnn-" + "-".join(activations), spec, invariances=True)


def _curated() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        two = make_spec(family, 5, 7, 4, 2)
        for L in (1, 2, 3, 4):
            cases.append(Case(f"{family}-L{L}", make_spec(family, 5, 7, 4, L), invariances=True))
        cases += [
            Case(f"{family}-zero-state", two, zero_state=True),
            Case(f"{family}-batch-1", two, n=1),
            Case(f"{family}-one-step", two, T=1),
            Case(f"{family}-one-step-zero-state", two, T=1, zero_state=True),
            Case(f"{family}-long", two, n=6, T=24),
            Case(f"{family}-wide", make_spec(family, 17, 6, 11, 2), n=4, T=5),
            Case(f"{family}-one-unit", make_spec(family, 4, 1, 3, 2), n=5, T=6),
            Case(f"{family}-unclipped", two, recipe=UNCLIPPED),
        ]
    cases += [
        _mixed("sigmoid"),
        _mixed("identity"),
        _mixed("sigmoid", "tanh"),
        _mixed("tanh", "relu"),
        _mixed("relu", "tanh"),
        _mixed("sigmoid", "sigmoid"),
        _mixed("tanh", "identity", "relu"),
        _mixed("relu", "sigmoid", "relu"),
        _mixed("tanh", "tanh", "relu", "tanh"),
        _mixed("tanh", "relu", "sigmoid", "identity"),
        Case("rnn-tanh-L12", make_spec("rnn-tanh", 5, 7, 4, 12), regimes=(LAYERS,)),
        Case("gru-after-L12", make_spec("gru-after", 5, 7, 4, 12), regimes=(LAYERS,)),
        Case("lstm-L12", make_spec("lstm", 5, 7, 4, 12), regimes=(LAYERS,)),
    ]
    return cases + WIDER


CURATED = _curated()
LARGE = [*LARGE_REGIMES, *LARGE_WIDER]
"""Of ``--cases 'large-*'`` alone."""

TEXT_CASES = ("rnn-tanh", "gru-before", "gru-after", "lstm")
"""At D2L's sizes, on minibatches of the text: ``text-<family>``."""


def text_case(family: str, q: int) -> Case:
    """n = 32, T = 35, h = 256, L = 2 and d = q = the size of the vocabulary (28 for D2L's)."""
    spec = make_spec(family, q, 256, q, 2)
    return Case(f"text-{family}", spec, n=32, T=35, K=2, zero_state=True, text=True)


def weights_case(given: Given, spec: ModelSpec, params: Arrays) -> Case:
    """Somebody's own weights: on the text if they take its characters, else on random inputs; of
    examples of one length, or of those that are given."""
    text = spec.d == spec.q == given.corpus.q
    case = Case("weights", spec, n=WEIGHTS_N, T=WEIGHTS_T, K=2, zero_state=text, text=text)
    return replace(case, lengths=given.lengths, params=params)


# One name for each case: no leading zeros, and no digits of other scripts.
GENERATED = re.compile(r"(random|wider)-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})")


def random_case(seed: int, index: int) -> Case:
    """A generated case; ``random-<seed>-<index>`` is all it takes to make it again."""
    draw = random.Random(f"{seed} {index}")
    cell = draw.choice(("rnn", "gru", "lstm"))
    d, h, q = draw.randint(1, 9), draw.randint(2, 9), draw.randint(2, 9)
    L, n, T = draw.randint(1, 4), draw.randint(1, 6), draw.randint(1, 12)
    activations = tuple(draw.choice(ACTIVATIONS) for _ in range(L)) if cell == "rnn" else ()
    reset = draw.choice(("before", "after")) if cell == "gru" else None
    spec = ModelSpec(cell, d, h, q, L, activations, reset)
    zero = draw.random() < 0.25
    recipe = draw.choice((CLIPPED, UNCLIPPED))
    off = "relu" in activations
    name = f"random-{seed}-{index}"
    return Case(name, spec, n, T, zero_state=zero, vanishing=off, recipe=recipe)


def wider_case(seed: int, index: int) -> Case:
    """Likewise ``wider-<seed>-<index>``: in two directions, of examples of different length, or
    both; and some of layers of different sizes, with a projection, with dropout, with peepholes.

    A projection to one number, or a mask over a few rows, may leave a tensor one element whose
    terms cancel: rounding alone then moves it by more than the bound's 1e-4, and nobody's float32
    could be held to it. They are not drawn. Nor is a clip of gates: at κ a gradient jumps, and a
    pre-activation that is nearer to κ than float32's rounding may fall on either side of it."""
    draw = random.Random(f"wider {seed} {index}")
    drawn = random_case(draw.randrange(10**8), index)
    directions, ragged = draw.choice(((2, False), (1, True), (2, True), (2, True)))
    lengths = tuple(draw.randint(1, drawn.T) for _ in range(drawn.n)) if ragged else ()
    more: dict[str, Any] = {"directions": directions}
    sizes = tuple(draw.randint(2, 9) for _ in range(drawn.spec.L))
    if draw.random() < 0.4 and len(set(sizes)) > 1:
        more |= {"sizes": sizes, "h": max(sizes)}
    smallest = min(more.get("sizes", (drawn.spec.h,)))
    if drawn.spec.cell == "lstm" and draw.random() < 0.5 and smallest > 2:
        more["p"] = draw.randint(2, smallest - 1)
    drops = drawn.spec.L > 1 and drawn.n * drawn.T > 5 and draw.random() < 0.6
    rate = draw.choice((0.1, 0.3, 0.5)) if drops else 0.0
    if drawn.spec.cell == "lstm":
        more["peepholes"] = draw.random() < 0.5
    return replace(
        drawn,
        name=f"wider-{seed}-{index}",
        spec=replace(drawn.spec, **more),
        lengths=lengths,
        dropout=rate,
        vanishing=drawn.vanishing or rate > 0,
    )


def suite_cases() -> list[str]:
    """The names of all cases of the main job."""
    curated = [case.name for case in (*CURATED, *REGIMES)]
    return curated + [f"text-{family}" for family in TEXT_CASES]


def find_case(name: str, given: Given) -> Case:
    """The case of that name; BadInput if there is none."""
    for case in (*CURATED, *REGIMES, *LARGE):
        if case.name == name:
            return case
    if match := GENERATED.fullmatch(name):
        made = {"random": random_case, "wider": wider_case}[match[1]]
        return made(int(match[2]), int(match[3]))
    if point := case_named(name):
        return point
    if name.startswith("text-") and name.removeprefix("text-") in TEXT_CASES:
        return text_case(name.removeprefix("text-"), given.corpus.q)
    if name == "weights" and given.weights is not None:
        return weights_case(given, *given.weights)
    raise BadInput("cases", "", f"the name of a case (see: {program()} cases)", name)


def select(
    globs: list[str],
    randoms: int,
    seed: int,
    weights: bool = False,
    kind: str = "random",
) -> list[str]:
    """The names that the patterns choose (all but ``large-…``, if there are none), then N generated
    ones; BadInput if a pattern chooses none. A pattern may be the whole name of a generated case or
    of a point. Large cases are chosen by patterns that begin with ``large-`` only.

    kind: of the generated ones: random, regime (drawn in regimes) or wider (two directions,
    lengths, sizes, a projection, dropout, peepholes)"""
    names = suite_cases() + (["weights"] if weights else [])
    if any(glob.startswith("large-") for glob in globs):
        names += [case.name for case in LARGE]
    names += [glob for glob in globs if GENERATED.fullmatch(glob) or case_named(glob)]
    generated = [f"{kind}-{seed}-{index}" for index in range(randoms)]
    for glob in globs:
        if not fnmatch.filter(names + generated, glob):
            raise BadInput("--cases", "", "patterns that choose at least one case each", repr(glob))
    chosen = [n for n in names if not globs or any(fnmatch.fnmatchcase(n, g) for g in globs)]
    return list(dict.fromkeys(chosen + generated))


def material(case: Case, corpus: Corpus) -> Material:
    """Draw the numbers of a case; the name is the seed. ``RandomState``'s uniform draws are the
    same on every NumPy and every platform."""
    seed = zlib.crc32(case.name.encode())
    rng = np.random.RandomState(seed)
    spec, K, T, n = case.spec, case.K, case.T, case.n

    def uniform(*shape: int) -> np.ndarray:
        return (2 * rng.random_sample(shape) - 1).astype("float32").astype("float64")

    params = initialise(spec, "uniform", seed) if case.params is None else case.params
    params = {
        name: params[name].astype("float32").astype("float64") for name in parameter_shapes(spec)
    }
    if case.text:
        numbers = _text_minibatches(case, corpus, seed)
    else:
        numbers = uniform(K, T, n, spec.d), rng.randint(0, spec.q, (K, T, n))
    X, Y = numbers
    state = zero_state(spec, n, "float64")
    if not case.zero_state:
        drawn = {part: uniform(*shape) for part, shape in state_shapes(spec, n).items()}
        state = only_own(spec, drawn)
    dropout = tuple(_dropout(case, rng) for _ in range(K if case.dropout else 0))
    return in_its_regime(case, Material(params, X, Y, state, _lengths(case), dropout))


def _lengths(case: Case) -> np.ndarray | None:
    """(K, n): those of the case, one example later with every minibatch."""
    if not case.lengths:
        return None
    first = check_lengths(case.lengths, case.n, case.T, case.name)
    return np.stack([np.roll(first, k) for k in range(case.K)])


def _dropout(case: Case, rng: np.random.RandomState) -> Dropout:
    """Masks in which every number is kept with the probability 1 − r."""
    kept = rng.random_sample(mask_shape(case.spec, case.n, case.T)) >= case.dropout
    return check_dropout(Dropout(case.dropout, kept), case.spec, case.n, case.T, case.name)


def _text_minibatches(case: Case, corpus: Corpus, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first K sequential minibatches, one-hot."""
    batches = minibatches(corpus, case.n, case.T, "sequential", random.Random(seed))
    pairs = list(itertools.islice(batches, case.K))
    if len(pairs) < case.K:
        expected = f"characters for {case.K} minibatches of {case.n} × {case.T}"
        raise BadInput(corpus.name, "", expected, f"{len(corpus.tokens)} characters")
    X = np.stack([one_hot(X, case.spec.d, "float64") for X, _ in pairs])
    return X, np.stack([Y for _, Y in pairs]).astype("int64")
