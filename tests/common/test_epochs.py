"""The minibatches of a recipe, against D2L's own iterators written out here."""

import dataclasses
import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.corpus import Corpus, Vocabulary, epochs, in_rows, load_corpus
from common.recipe import Recipe

CORPUS = load_corpus(max_tokens=1500)
RECIPE = Recipe(1.0, 1.0, epochs=4, n=4, T=7, seed=3)


def d2l_sequential(corpus: list[int], batch_size: int, num_steps: int):
    """D2L 0.17, section 8.3: seq_data_iter_sequential, on lists."""
    offset = random.randint(0, num_steps)
    num_tokens = ((len(corpus) - offset - 1) // batch_size) * batch_size
    length = num_tokens // batch_size
    Xs = [corpus[offset + i * length : offset + (i + 1) * length] for i in range(batch_size)]
    Ys = [
        corpus[offset + 1 + i * length : offset + 1 + (i + 1) * length] for i in range(batch_size)
    ]
    for i in range(0, num_steps * (length // num_steps), num_steps):
        yield [row[i : i + num_steps] for row in Xs], [row[i : i + num_steps] for row in Ys]


def d2l_random(corpus: list[int], batch_size: int, num_steps: int):
    """D2L 0.17, section 8.3: seq_data_iter_random, on lists."""
    corpus = corpus[random.randint(0, num_steps - 1) :]
    num_subseqs = (len(corpus) - 1) // num_steps
    initial_indices = list(range(0, num_subseqs * num_steps, num_steps))
    random.shuffle(initial_indices)
    num_batches = num_subseqs // batch_size
    for i in range(0, batch_size * num_batches, batch_size):
        chosen = initial_indices[i : i + batch_size]
        yield (
            [corpus[j : j + num_steps] for j in chosen],
            [corpus[j + 1 : j + 1 + num_steps] for j in chosen],
        )


D2L = {"sequential": d2l_sequential, "random": d2l_random}


def d2l(corpus: Corpus, recipe: Recipe) -> list[list]:
    """Every epoch of D2L's, drawn one after another from the module's own generator."""
    state = random.getstate()
    try:
        random.seed(recipe.seed)
        tokens = corpus.tokens.tolist()
        return [list(D2L[recipe.order](tokens, recipe.n, recipe.T)) for _ in range(recipe.epochs)]
    finally:
        random.setstate(state)


def as_lists(batches: list) -> list:
    """Minibatches as D2L has them, one example a row."""
    return [(X.T.tolist(), Y.T.tolist()) for X, Y in batches]


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["sequential", "random"]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 11),
    st.integers(1, 4),
)
def test_the_minibatches_are_d2ls(order, seed, n, T, count):
    recipe = Recipe(1.0, 1.0, epochs=count, n=n, T=T, order=order, seed=seed)
    wanted = d2l(CORPUS, recipe)
    found = [as_lists(batches) for batches in epochs(CORPUS, recipe)]
    assert len(found) == count
    assert all(batches for batches in found)
    assert found == wanted


def test_minibatches_are_whole_numbers_time_major():
    for batches in epochs(CORPUS, RECIPE):
        for batch in batches:
            for array in batch:
                assert (array.shape, array.dtype) == ((7, 4), np.int64)
                assert array.flags.c_contiguous


@pytest.mark.parametrize("order", D2L)
@pytest.mark.parametrize("first", range(6))
def test_a_resumed_run_sees_what_it_would_have_seen(order, first):
    recipe = dataclasses.replace(RECIPE, order=order)
    whole = [as_lists(batches) for batches in epochs(CORPUS, recipe)]
    rest = [as_lists(batches) for batches in epochs(CORPUS, recipe, first=first)]
    assert len(whole) == 4
    assert rest == whole[first:]


@pytest.mark.parametrize("order", D2L)
def test_epochs_differ_from_one_another_and_with_the_seed(order):
    recipe = dataclasses.replace(RECIPE, order=order, epochs=12)
    first = [as_lists(batches) for batches in epochs(CORPUS, recipe)]
    second = [as_lists(batches) for batches in epochs(CORPUS, dataclasses.replace(recipe, seed=4))]
    assert first != second
    # Offsets are few; orders are many.
    different = [batches for k, batches in enumerate(first) if batches not in first[:k]]
    assert len(different) == 12 if order == "random" else 4 < len(different) <= 8


def test_the_order_that_is_drawn_is_nobody_elses_business():
    random.seed(0)
    before = random.getstate()
    list(epochs(CORPUS, RECIPE))
    assert random.getstate() == before


def test_in_order_every_example_goes_on_where_it_ended():
    for batches in epochs(CORPUS, RECIPE):
        for (_, Y), (X, _) in itertools.pairwise(batches):
            assert X[0].tolist() == Y[-1].tolist()


def test_at_random_every_character_is_seen_at_most_once_in_an_epoch():
    tokens = np.arange(200, dtype=np.uint8)
    corpus = Corpus("numbers", "", Vocabulary(tuple(map(str, range(200)))), tokens)
    for batches in epochs(corpus, dataclasses.replace(RECIPE, order="random")):
        seen = [number for X, _ in batches for number in X.ravel().tolist()]
        assert len(seen) == len(set(seen)) > 150
        assert all((X + 1).tolist() == Y.tolist() for X, Y in batches)


@given(st.integers(2, 60), st.integers(1, 5), st.integers(1, 8))
def test_a_text_in_rows_is_the_text_without_its_end(length, n, T):
    tokens = np.arange(length, dtype=np.uint8)
    batches = list(in_rows(tokens, n, T))
    of_a_row = (length - 1) // n
    assert len(batches) == of_a_row // T
    for row in range(n):
        read = [int(number) for X, _ in batches for number in X[:, row]]
        assert read == list(range(row * of_a_row, row * of_a_row + len(batches) * T))
    assert all((X + 1).tolist() == Y.tolist() for X, Y in batches)
