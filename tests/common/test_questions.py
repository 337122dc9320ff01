"""What a step of training is asked: the task's blanks, ends of words and masks, drawn as data."""

import dataclasses
import random

import numpy as np
import pytest

from common.corpus import Vocabulary, epochs, load_corpus, minibatches
from common.dropout import Dropout
from common.errors import BadInput
from common.questions import (
    BLANK,
    Epoch,
    Question,
    blanked,
    check_task,
    questions,
    shard,
    whole_words,
)
from common.recipe import WIDER, Recipe
from common.spec import ModelSpec

CORPUS = load_corpus(max_tokens=3000)
SPEC = ModelSpec("lstm", CORPUS.q, 5, CORPUS.q, 3, directions=2)
RECIPE = Recipe(
    1.0, 1.0, epochs=3, n=8, T=12, order="random", task="restore", words=True, dropout=0.25
)
NEXT = dataclasses.replace(RECIPE, task="next", words=False, dropout=0.0)
ONE_WAY = dataclasses.replace(SPEC, directions=1)


def asked(spec: ModelSpec = SPEC, recipe: Recipe = RECIPE, first: int = 0) -> list[Epoch]:
    return list(questions(spec, recipe, CORPUS, first))


def same(one: Question, other: Question) -> bool:
    flat = [[*q[:3], q[3].masks] for q in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*flat, strict=True))


def test_of_a_language_model_it_is_the_text_s_minibatches_and_nothing_else() -> None:
    wanted = list(epochs(CORPUS, NEXT))
    for epoch, batches in zip(asked(ONE_WAY, NEXT), wanted, strict=True):
        assert len(epoch) == len(batches)
        for question, pair in zip(epoch, batches, strict=True):
            assert len(question) == 2
            assert all(np.array_equal(a, b) for a, b in zip(question, pair, strict=True))


def test_what_is_to_be_restored_is_the_text_and_a_quarter_of_it_is_blanked() -> None:
    share = []
    for epoch, batches in zip(asked(), epochs(CORPUS, RECIPE), strict=True):
        for (X, Y, *_), (text, _) in zip(epoch, batches, strict=True):
            assert np.array_equal(Y, text) and (Y != BLANK).all()
            assert ((X == Y) | (X == BLANK)).all()
            share.append((X == BLANK).mean())
    assert 0.2 < np.mean(share) < 0.3


def test_examples_end_with_their_last_whole_word() -> None:
    found = set()
    for epoch in asked():
        for _, Y, lengths, _ in epoch:
            found |= {*map(int, lengths)}
            for column, length in zip(Y.T, lengths, strict=True):
                text = CORPUS.vocabulary.decode(map(int, column))
                assert length == (text.rindex(" ") + 1 if " " in text else len(text))
        assert epoch.predictions == sum(int(question[2].sum()) for question in epoch)
    assert len(found) > 4 and max(found) == RECIPE.T
    [letter] = CORPUS.vocabulary.encode("e")
    assert whole_words(np.full((4, 2), letter), CORPUS).tolist() == [4, 4]


def test_masks_keep_as_much_as_the_rate_says_and_are_others_at_every_step() -> None:
    masks = [dropout.masks for epoch in asked() for *_, dropout in epoch]
    assert {mask.shape for mask in masks} == {(2, RECIPE.T, RECIPE.n, 10)}
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert abs(np.mean(masks) - 0.75) < 0.01


def test_a_run_that_is_resumed_is_asked_what_it_would_have_been() -> None:
    for epoch, again in zip(asked()[2:], asked(first=2), strict=True):
        assert epoch.number == again.number == 3
        assert all(same(a, b) for a, b in zip(epoch, again, strict=True))
        assert all(same(a, b) for a, b in zip(epoch, epoch, strict=True)), "asked twice"


def test_another_seed_asks_something_else() -> None:
    other = asked(recipe=dataclasses.replace(RECIPE, seed=2))
    for mine, theirs in zip(asked()[0], other[0], strict=True):
        assert not np.array_equal(mine[0] == BLANK, theirs[0] == BLANK)
        assert not np.array_equal(mine[3].masks, theirs[3].masks)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "next"}, "recipe: task: expected restore, of two directions: the next character"),
        ({"spec": dataclasses.replace(SPEC, L=1)}, "recipe: dropout: expected 0 of one layer"),
        ({"corpus": dataclasses.replace(CORPUS, vocabulary=Vocabulary(("<unk>", "a")))},
         "sample: words: expected a text with spaces, found none"),
    ],
    ids=["a bidirectional language model", "dropout of one layer", "no spaces"],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(changes: dict, line: str) -> None:
    recipe = dataclasses.replace(RECIPE, task=changes.get("task", RECIPE.task))
    with pytest.raises(BadInput) as refused:
        check_task(changes.get("spec", SPEC), recipe, changes.get("corpus", CORPUS))
    assert str(refused.value).startswith(line)


def test_every_wider_recipe_asks_what_its_network_can_be_asked() -> None:
    for name, named in WIDER.items():
        for cell, recipe in named.recipes.items():
            reset = "after" if cell == "gru" else None
            plain = ModelSpec(cell, CORPUS.q, named.h, CORPUS.q, named.L, reset=reset)
            check_task(dataclasses.replace(plain, **named.model), recipe, CORPUS)
            assert named.model and recipe.epochs > 1, name


def test_every_third_character_is_blanked_to_show_what_is_restored() -> None:
    assert blanked(np.arange(7)).tolist() == [False, False, True, False, False, True, False]


def test_a_worker_s_share_has_its_own_lengths_and_masks() -> None:
    whole = next(iter(asked()[0]))
    shares = [shard(whole, rank, 4) for rank in range(4)]
    for place, axis in ((0, 1), (1, 1), (2, 0)):
        assert np.array_equal(np.concatenate([s[place] for s in shares], axis), whole[place])
    dropped: list[Dropout] = [share[3] for share in shares]
    assert np.array_equal(np.concatenate([d.masks for d in dropped], 2), whole[3].masks)
    assert {d.rate for d in dropped} == {0.25}
    assert shard(whole, 0, 1) is whole


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_shares_of_all_workers_are_the_minibatch(size):
    corpus = load_corpus()
    for X, Y in list(minibatches(corpus, 8, 5, "sequential", random.Random(1)))[:3]:
        shares = [shard((X, Y), rank, size) for rank in range(size)]
        assert all(x.shape == y.shape == (5, 8 // size) for x, y in shares)
        assert np.array_equal(np.concatenate([x for x, _ in shares], axis=1), X)
        assert np.array_equal(np.concatenate([y for _, y in shares], axis=1), Y)


def test_a_minibatch_that_cannot_be_shared_is_refused():
    X = np.zeros((5, 8), dtype="int64")
    with pytest.raises(BadInput, match="workers: expected a divisor of the 8 examples"):
        shard((X, X), 0, 3)
