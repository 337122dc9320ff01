"""The corpus against D2L 0.17's facts and a literal transcription of its algorithms."""

import hashlib
import os
import random
import string
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.corpus import (
    Corpus,
    Order,
    Vocabulary,
    load_corpus,
    minibatches,
    one_hot,
    preprocess,
)
from common.errors import BadInput
from common.texts import SAMPLE, TIME_MACHINE

ORDERS: tuple[Order, ...] = ("sequential", "random")
# Some that lower, case-fold, split or encode in ways of their own; a short list is fast.
CHARACTERS = (
    string.printable + "\0\x1c\x85\u00df\u00e9\u0130\u017f\u2028\u212a\u4e2d\ufeff\U0001d11e"
)
Batches = list[tuple[list[list[int]], list[list[int]]]]


def corpus_of(length: int) -> Corpus:
    """A corpus in which a token tells its place (up to 251, a prime)."""
    tokens = (np.arange(length) % 251).astype(np.uint8)
    return Corpus("numbers", "", Vocabulary(tuple(map(str, range(251)))), tokens)


def d2l_minibatches(corpus: list[int], n: int, T: int, order: Order, seed: int) -> Batches:
    """D2L's algorithms with lists and loops, batch-major; they draw from the global ``random``."""
    random.seed(seed)
    batches: Batches = []
    if order == "sequential":
        offset = random.randint(0, T)
        width = (len(corpus) - offset - 1) // n
        for batch in range(width // T):
            at = [offset + row * width + batch * T for row in range(n)]
            batches.append(
                ([corpus[j : j + T] for j in at], [corpus[j + 1 : j + 1 + T] for j in at])
            )
    else:
        corpus = corpus[random.randint(0, T - 1) :]
        pieces = (len(corpus) - 1) // T
        at = [piece * T for piece in range(pieces)]
        random.shuffle(at)
        for _ in range(pieces // n):
            now, at = at[:n], at[n:]
            batches.append(
                ([corpus[j : j + T] for j in now], [corpus[j + 1 : j + 1 + T] for j in now])
            )
    return batches


@pytest.fixture(scope="module")
def time_machine() -> Path:
    beside_the_repository = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("DEEP_RNN_DATA", beside_the_repository)) / "timemachine.txt"
    if not path.is_file():
        pytest.skip(f"{path} is absent; DEEP_RNN_DATA names the folder that has it")
    return path


def test_the_pinned_download_is_the_file_that_d2l_pins(time_machine: Path) -> None:
    data = time_machine.read_bytes()
    assert hashlib.sha1(data).hexdigest() == "090b5e7e70c295757f55df93cb0a180b9691891a"
    assert TIME_MACHINE.is_whole(data)


def test_the_time_machine_has_d2ls_characters_and_vocabulary(time_machine: Path) -> None:
    corpus = load_corpus(time_machine, max_tokens=None)
    assert corpus.name == "timemachine.txt"
    assert len(corpus.tokens) == 170_580
    assert corpus.sha256.startswith("3b4cba3f")
    assert corpus.vocabulary.tokens == ("<unk>", *" etainoshrdlmucfwgypbvkxzjq")


def test_the_first_10000_characters_are_d2ls_with_the_full_texts_vocabulary(
    time_machine: Path,
) -> None:
    corpus = load_corpus(time_machine)
    text = corpus.vocabulary.decode(corpus.tokens)
    assert len(text) == 10_000
    assert text.startswith("the time machine by h g wells")
    assert hashlib.sha256(text.encode()).hexdigest().startswith("a264255f")
    assert corpus.vocabulary == load_corpus(time_machine, max_tokens=None).vocabulary
    assert corpus.vocabulary != Vocabulary.of(text)


def test_d2ls_epoch_is_8960_tokens_whatever_the_offset() -> None:
    corpus = load_corpus(max_tokens=10_000)
    offsets = set()
    for seed in range(300):
        offsets.add(random.Random(seed).randint(0, 35))
        batches = list(minibatches(corpus, 32, 35, "sequential", random.Random(seed)))
        assert [X.size for X, _ in batches] == [1120] * 8
    assert offsets == set(range(36))


def test_lines_are_stripped_and_joined_with_nothing_between_them() -> None:
    assert preprocess("  The Time,\nMachine -- by\r\nH.G. Wells [1895]\rI\n\n_end_") == (
        "the timemachine byh g wellsiend"
    )


def test_only_the_ends_of_lines_that_a_text_file_knows_are_dropped() -> None:
    assert preprocess("a\x0cb\x0bc\x85d\u2028e") == "a b c d e"


def test_a_letter_outside_ascii_separates_words() -> None:
    assert preprocess("caf\u00e9 na\u00efve \u212a") == "caf na ve"  # U+212A lowers to an ASCII k


@given(st.text(CHARACTERS))
def test_preprocessing_keeps_the_letters_and_single_spaces(raw: str) -> None:
    characters = preprocess(raw)
    letters = [c for c in raw if c in string.ascii_letters]
    assert characters.replace(" ", "") == "".join(letters).lower()
    assert "  " not in characters
    assert characters == characters.strip()
    assert preprocess(characters) == characters


def test_preprocessing_is_that_of_a_file_read_line_by_line() -> None:
    with open(SAMPLE, encoding="ascii") as file:
        lines = ["".join(c if c.isalpha() else " " for c in line).lower().split() for line in file]
    expected = "".join(" ".join(words) for words in lines)
    assert preprocess(SAMPLE.read_text("ascii")) == expected


def test_vocabulary_is_by_falling_frequency_with_ties_in_order_of_appearance() -> None:
    vocabulary = Vocabulary.of("zebra bee")
    assert vocabulary.tokens == ("<unk>", "e", "b", "z", "r", "a", " ")
    assert len(vocabulary) == 7


@given(st.text(st.characters(min_codepoint=32, max_codepoint=40)))
def test_vocabulary_is_d2ls_stable_sort(text: str) -> None:
    by_frequency = sorted(Counter(text).items(), key=lambda item: item[1], reverse=True)
    assert Vocabulary.of(text).tokens == ("<unk>", *(token for token, _ in by_frequency))


@given(st.text(CHARACTERS))
def test_what_is_encoded_decodes_to_the_same(text: str) -> None:
    vocabulary = Vocabulary.of(text)
    numbers = vocabulary.encode(text)
    assert numbers.shape == (len(text),)
    assert numbers.dtype == np.int64
    assert 0 not in numbers
    assert vocabulary.decode(numbers) == text


def test_unknown_characters_are_number_0() -> None:
    vocabulary = Vocabulary.of("aab")
    assert vocabulary.encode("bXa!").tolist() == [2, 0, 1, 0]
    assert vocabulary.decode([2, 0, 1]) == "b<unk>a"


def test_the_corpus_is_the_beginning_of_the_text() -> None:
    full, cut = load_corpus(max_tokens=None), load_corpus("sample", max_tokens=123)
    text = preprocess(SAMPLE.read_text("ascii"))
    assert full.vocabulary.decode(full.tokens) == text
    assert full.tokens.dtype == cut.tokens.dtype == np.uint8
    assert cut.tokens.tolist() == full.tokens[:123].tolist()
    assert (cut.name, cut.vocabulary) == ("sample", full.vocabulary)
    assert cut.sha256 == full.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert len(load_corpus().tokens) == 10_000


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_a_corpus_of_no_tokens_is_refused(max_tokens: int) -> None:
    with pytest.raises(BadInput, match=f"max_tokens: expected at least 1, found {max_tokens}"):
        load_corpus(max_tokens=max_tokens)


@pytest.mark.parametrize("order", ORDERS)
@given(
    n=st.integers(1, 5), T=st.integers(1, 6), more=st.integers(0, 150), seed=st.integers(0, 2**32)
)
def test_minibatches_are_the_transpose_of_d2ls(
    order: Order, n: int, T: int, more: int, seed: int
) -> None:
    corpus = corpus_of(n * T + T + 1 + more)
    expected = d2l_minibatches(corpus.tokens.tolist(), n, T, order, seed)
    found = list(minibatches(corpus, n, T, order, random.Random(seed)))
    assert expected
    assert len(found) == len(expected)
    for pair, expected_pair in zip(found, expected, strict=True):
        for batch, expected_batch in zip(pair, expected_pair, strict=True):
            assert batch.shape == (T, n)
            assert batch.dtype == np.int64
            assert batch.flags.c_contiguous
            assert batch.T.tolist() == expected_batch


def test_an_epoch_goes_on_drawing_from_the_same_generator() -> None:
    corpus, rng = corpus_of(200), random.Random(7)
    epochs = [[X.tolist() for X, _ in minibatches(corpus, 3, 5, "random", rng)] for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]


def test_sequential_minibatches_carry_on_where_the_last_one_ended() -> None:
    batches = list(minibatches(corpus_of(250), 4, 6, "sequential", random.Random(0)))
    assert len(batches) > 1
    for (X, Y), (following, _) in pairwise(batches):
        assert (Y[:-1] == X[1:]).all()
        assert (following[0] == Y[-1]).all()


@pytest.mark.parametrize("order, needed", [("sequential", 17), ("random", 16)])
def test_a_text_shorter_than_one_minibatch_is_refused(order: Order, needed: int) -> None:
    line = f"numbers: expected at least {needed} characters for {order} minibatches of 3 x 4, "
    with pytest.raises(BadInput, match=f"^{line}found {needed - 1}$"):
        minibatches(corpus_of(needed - 1), 3, 4, order, random.Random(0))
    for seed in range(50):
        assert list(minibatches(corpus_of(needed), 3, 4, order, random.Random(seed)))
    one_too_few = list(range(needed - 1))
    assert [] in [d2l_minibatches(one_too_few, 3, 4, order, seed) for seed in range(50)]


def test_one_hot_has_ones_at_the_tokens_places() -> None:
    ones = one_hot(np.array([[0, 2], [1, 1], [2, 0]]), 4, np.float32)
    assert ones.shape == (3, 2, 4)
    assert ones.dtype == np.float32
    assert ones.tolist() == [
        [[1, 0, 0, 0], [0, 0, 1, 0]],
        [[0, 1, 0, 0], [0, 1, 0, 0]],
        [[0, 0, 1, 0], [1, 0, 0, 0]],
    ]


@given(st.integers(1, 30), st.data())
def test_one_hot_is_undone_by_argmax(q: int, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, q - 1), max_size=12))
    assume(len(tokens) % 2 == 0)
    batch = np.array(tokens, dtype=np.uint8).reshape(-1, 2)
    ones = one_hot(batch, q, np.float64)
    assert ones.sum() == batch.size
    assert ones.argmax(axis=2).tolist() == batch.tolist()
