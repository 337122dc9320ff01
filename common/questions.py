"""What every step of a training run is asked: minibatches of text, made into a recipe's task.

All of it is data, the same for every backend: which characters are blanked, where examples end, and
what is dropped between layers are drawn here, from the recipe's seed and the minibatch's place in
the run. No framework draws a number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.corpus import Corpus, Minibatch, epochs
from common.dropout import Dropout, as_few, as_two, check_dropout, mask_shape
from common.errors import BadInput
from common.recipe import Recipe
from common.spec import ModelSpec

BLANK = 0
"""The number that stands in the place of a blanked character: that of <unk>, which no text has."""

BLANKED = 0.25
"""How likely a character is to be blanked."""

SPACE = " "

Question = tuple[Any, ...]
"""X and Y (T, n), and as few words more as say it: the lengths (n,), or lengths and dropout."""


@dataclass(frozen=True)
class Epoch:
    """The questions of one epoch, each made when it is asked for: masks are large.

    number:      from 1
    minibatches: of the text, (X, Y), Y being X one character later
    """

    spec: ModelSpec
    recipe: Recipe
    corpus: Corpus
    number: int
    minibatches: list[Minibatch]

    def __len__(self) -> int:
        return len(self.minibatches)

    def __iter__(self) -> Iterator[Question]:
        for k, batch in enumerate(self.minibatches, start=1):
            X, Y = self.asked(k, *batch)
            lengths, dropout = self.lengths(batch[0]), self.dropout(k)
            yield (X, Y, *as_few(lengths, dropout))

    @property
    def predictions(self) -> int:
        """How many there are in all: of every step of every example that is its own."""
        if not self.recipe.words:
            return sum(Y.size for _, Y in self.minibatches)
        return sum(int(whole_words(X, self.corpus).sum()) for X, _ in self.minibatches)

    def asked(self, k: int, X: NDArray[Any], Y: NDArray[Any]) -> Minibatch:
        """X and Y as the task has them."""
        if self.recipe.task == "next":
            return X, Y
        blanks = self.rng(k, 1).random_sample(X.shape) < BLANKED
        return np.where(blanks, BLANK, X), X

    def lengths(self, X: NDArray[Any]) -> NDArray[np.int64] | None:
        return whole_words(X, self.corpus) if self.recipe.words else None

    def dropout(self, k: int) -> Dropout | None:
        """Masks in which every number is kept with the probability 1 − r   (DROP-1)"""
        rate, recipe = self.recipe.dropout, self.recipe
        if not rate:
            return None
        kept = self.rng(k, 2).random_sample(mask_shape(self.spec, recipe.n, recipe.T)) >= rate
        return check_dropout(Dropout(rate, kept), self.spec, recipe.n, recipe.T)

    def rng(self, k: int, purpose: int) -> np.random.RandomState:
        """For one purpose at one place of the run, so that a resumed run draws the same."""
        return np.random.RandomState([self.recipe.seed, self.number, k, purpose])


def questions(spec: ModelSpec, recipe: Recipe, corpus: Corpus, first: int = 0) -> Iterator[Epoch]:
    """Every epoch of a training run but the ``first`` ones, which are drawn and left out."""
    check_task(spec, recipe, corpus)
    for number, batches in enumerate(epochs(corpus, recipe, first), start=first + 1):
        yield Epoch(spec, recipe, corpus, number, batches)


def check_task(spec: ModelSpec, recipe: Recipe, corpus: Corpus) -> None:
    """BadInput where a recipe asks what makes no sense of this model or text."""
    if spec.directions == 2 and recipe.task == "next":
        expected = "restore, of two directions: the next character is among the inputs"
        raise BadInput("recipe", "task", expected, "'next'")
    if recipe.dropout and spec.L == 1:
        raise BadInput(
            "recipe", "dropout", "0 of one layer: there is nothing between", recipe.dropout
        )
    if recipe.words and SPACE not in corpus.vocabulary.tokens:
        raise BadInput(corpus.name, "words", "a text with spaces", "none")


def whole_words(X: NDArray[Any], corpus: Corpus) -> NDArray[np.int64]:
    """How many steps of each example are up to its last space, that one with them; all, if it has
    none.   X: (T, n), characters of a text   returns (n,)"""
    [space] = corpus.vocabulary.encode(SPACE)
    spaces, T = space == X, len(X)
    return np.where(spaces.any(0), T - spaces[::-1].argmax(0), T).astype("int64")


def blanked(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Which characters of a text are blanked to show what a network restores: every third one."""
    return np.arange(len(numbers)) % 3 == 2


def shard(question: Question, rank: int, size: int) -> Question:
    """The examples of one worker: n / size of the n columns of X and Y (T, n), with what else is
    said of them.

    rank: from 0     size: how many workers there are; a divisor of n

    Column i stays column i of the next minibatch, so a worker carries the state of its own ones.
    """
    X, Y, *more = question
    n = X.shape[1]
    if n % size:
        raise BadInput("workers", "", f"a divisor of the {n} examples of a minibatch", size)
    if size == 1:
        return question
    own = slice(rank * n // size, (rank + 1) * n // size)
    lengths, dropout = as_two(more)
    if dropout is not None:
        dropout = Dropout(dropout.rate, np.ascontiguousarray(dropout.masks[:, :, own]))
    pair = (np.ascontiguousarray(array[:, own]) for array in (X, Y))
    return (*pair, *as_few(None if lengths is None else lengths[own], dropout))
