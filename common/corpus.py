"""Characters as numbers, in minibatches, exactly as D2L 0.17 makes them.

Source: D2L 0.17, sections 8.2 (text preprocessing) and 8.3 (language models and the dataset). The
one difference is that minibatches are time-major here. Letters: T time steps, n examples, q
vocabulary entries.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from common.errors import BadInput
from common.recipe import Order, Recipe
from common.texts import read_text

UNKNOWN = "<unk>"
MAX_TOKENS = 10_000

Minibatch = tuple[NDArray[np.int64], NDArray[np.int64]]


def preprocess(raw: str) -> str:
    """Keep the letters, in lower case, with one space for whatever is between them.

    Lines are stripped and then joined with nothing in between, so the last word of a line and the
    first word of the next become one.
    """
    # What a file opened as text takes for the end of a line; str.splitlines knows of more.
    lines = re.split("\r\n|\r|\n", raw)
    return "".join(re.sub("[^A-Za-z]+", " ", line).strip().lower() for line in lines)


@dataclass(frozen=True)
class Vocabulary:
    """The q tokens that a model knows; a token's number is its place. Number 0 is ``<unk>``."""

    tokens: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """A text's characters by falling frequency; ties stay in order of first appearance."""
        return cls((UNKNOWN, *(character for character, _ in Counter(text).most_common())))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> NDArray[np.int64]:
        """The numbers of a text's characters, 0 for one that is not in the vocabulary."""
        numbers = {token: number for number, token in enumerate(self.tokens)}
        return np.array([numbers.get(character, 0) for character in text], dtype=np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text that numbers stand for; 0 gives ``<unk>``."""
        return "".join(self.tokens[number] for number in numbers)


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text to train on.

    name:       what the text is called in reports
    sha256:     the hash of the full preprocessed text
    vocabulary: of the full preprocessed text
    tokens:     (characters,), the beginning of the text, as numbers
    """

    name: str
    sha256: str
    vocabulary: Vocabulary
    tokens: NDArray[np.uint8]

    @property
    def q(self) -> int:
        """How many tokens there are to predict: the size of the vocabulary."""
        return len(self.vocabulary)


def load_corpus(source: str | Path | None = None, max_tokens: int | None = MAX_TOKENS) -> Corpus:
    """Read a text (see ``read_text``) and number its first ``max_tokens`` characters; None: all.

    Raises BadInput if the text cannot be used or ``max_tokens`` is below 1.
    """
    if max_tokens is not None and max_tokens < 1:
        raise BadInput("max_tokens", "", "at least 1", max_tokens)
    text = read_text(source)
    characters = preprocess(text.raw)
    vocabulary = Vocabulary.of(characters)
    return Corpus(
        name=text.name,
        sha256=hashlib.sha256(characters.encode("ascii")).hexdigest(),
        vocabulary=vocabulary,
        tokens=vocabulary.encode(characters[:max_tokens]).astype(np.uint8),
    )


def load_texts(
    sources: Sequence[str | Path], max_tokens: int | None = MAX_TOKENS, held_out: float = 0.0
) -> tuple[Corpus, dict[str, NDArray[np.uint8]]]:
    """Several texts as one to train on, one after another, and what is held out of each.

    max_tokens: of every text, as in ``load_corpus``
    held_out:   the share of these that is left out, from the end of each text; below 1

    The vocabulary and the hash are of all full texts together. Returns the corpus, and by the
    text's name its held-out tokens (no names if the share is 0). Raises BadInput as ``load_corpus``
    does, if two texts have the same name, and if the share leaves nothing of a text on either side.
    """
    if not 0 <= held_out < 1:
        raise BadInput("held out", "", "a share from 0 up to, and without, 1", held_out)
    if max_tokens is not None and max_tokens < 1:
        raise BadInput("max_tokens", "", "at least 1", max_tokens)
    texts: dict[str, str] = {}
    for text in map(read_text, sources):
        if text.name in texts:
            raise BadInput("text", text.name, "texts of different names", "two of this name")
        texts[text.name] = preprocess(text.raw)
    if not texts:
        raise BadInput("text", "", "at least one", "none")
    together = "".join(texts.values())
    vocabulary = Vocabulary.of(together)
    kept: list[NDArray[np.uint8]] = []
    left_out: dict[str, NDArray[np.uint8]] = {}
    for name, characters in texts.items():
        tokens = vocabulary.encode(characters[:max_tokens]).astype(np.uint8)
        first = len(tokens) - round(held_out * len(tokens))
        if held_out:
            if not 0 < first < len(tokens):
                expected = f"a share of its {len(tokens)} characters that leaves some on both sides"
                raise BadInput(name, "held out", expected, held_out)
            left_out[name] = tokens[first:]
        kept.append(tokens[:first])
    sha256 = hashlib.sha256(together.encode("ascii")).hexdigest()
    return Corpus(" + ".join(texts), sha256, vocabulary, np.concatenate(kept)), left_out


def minibatches(
    corpus: Corpus, n: int, T: int, order: Order, rng: random.Random
) -> Iterator[Minibatch]:
    """One epoch of minibatches (X, Y), where Y is X one character later.

    n, T:  at least 1
    order: "sequential": example i of a minibatch goes on where example i of the last one ended
           "random":     examples are pieces of the text in random order
    rng:   draws the offset at which the epoch begins, then the order; Python's ``random`` seeded
           alike makes D2L draw the same

    Yields X: (T, n)   Y: (T, n), the transpose of D2L's.
    Raises BadInput if the text would be too short for one minibatch at the largest offset.
    """
    draw, largest_offset = {"sequential": (_sequential, T), "random": (_random, T - 1)}[order]
    needed = largest_offset + n * T + 1
    if len(corpus.tokens) < needed:
        expected = f"at least {needed} characters for {order} minibatches of {n} x {T}"
        raise BadInput(corpus.name, "", expected, len(corpus.tokens))
    return draw(corpus.tokens, n, T, rng)


def _sequential(
    tokens: NDArray[np.uint8], n: int, T: int, rng: random.Random
) -> Iterator[Minibatch]:
    return in_rows(tokens[rng.randint(0, T) :], n, T)


def in_rows(tokens: NDArray[np.uint8], n: int, T: int) -> Iterator[Minibatch]:
    """A text in n rows, T characters at a time; what does not fill a minibatch is left out."""
    length = (len(tokens) - 1) // n * n
    X = tokens[:length].reshape(n, -1)
    Y = tokens[1 : 1 + length].reshape(n, -1)
    for start in range(0, X.shape[1] // T * T, T):
        yield _time_major(X[:, start : start + T]), _time_major(Y[:, start : start + T])


def _random(tokens: NDArray[np.uint8], n: int, T: int, rng: random.Random) -> Iterator[Minibatch]:
    tokens = tokens[rng.randint(0, T - 1) :]
    starts = list(range(0, (len(tokens) - 1) // T * T, T))
    rng.shuffle(starts)
    for first in range(0, len(starts) // n * n, n):
        chosen = starts[first : first + n]
        X = np.stack([tokens[start : start + T] for start in chosen])
        Y = np.stack([tokens[start + 1 : start + 1 + T] for start in chosen])
        yield _time_major(X), _time_major(Y)


def epochs(corpus: Corpus, recipe: Recipe, first: int = 0) -> Iterator[list[Minibatch]]:
    """The minibatches of every epoch of a recipe, the same for every backend; the epochs before
    ``first`` are drawn and left out, so that a resumed run sees what it would have seen."""
    rng = random.Random(recipe.seed)
    for epoch in range(recipe.epochs):
        batches = list(minibatches(corpus, recipe.n, recipe.T, recipe.order, rng))
        if epoch >= first:
            yield batches


def _time_major(batch: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, T) to (T, n), in memory too."""
    return np.array(batch.T, dtype=np.int64, order="C")


def one_hot(tokens: NDArray[np.integer], q: int, dtype: DTypeLike) -> NDArray[Any]:
    """Ones at the tokens' places, zeros elsewhere.

    tokens: (T, n), each below q   returns: (T, n, q)
    """
    return np.eye(q, dtype=dtype)[tokens]
