"""Several texts as one: what is trained on, and what is held out of each."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.corpus import load_corpus, load_texts
from common.errors import BadInput


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two texts of 40 and 20 characters; the second one alone has a z."""
    paths = [tmp_path / "first.txt", tmp_path / "second.txt"]
    paths[0].write_text("abcde fghi" * 4)
    paths[1].write_text("abcdefghiz" * 2)
    return paths


@pytest.mark.parametrize("max_tokens", [None, 1, 500])
def test_one_text_of_which_nothing_is_held_out_is_the_corpus(max_tokens: int | None) -> None:
    wanted = load_corpus("sample", max_tokens)
    found, held_out = load_texts(["sample"], max_tokens)
    assert (found.name, found.sha256, found.vocabulary) == (
        wanted.name,
        wanted.sha256,
        wanted.vocabulary,
    )
    assert found.tokens.dtype == wanted.tokens.dtype == np.uint8
    assert np.array_equal(found.tokens, wanted.tokens)
    assert held_out == {}


def test_a_book_of_which_nothing_is_held_out_is_the_corpus(data: Path) -> None:
    book = data / "timemachine.txt"
    wanted, (found, _) = load_corpus(book, None), load_texts([book], None)
    assert len(found.tokens) == 170_580
    assert found.sha256 == wanted.sha256
    assert np.array_equal(found.tokens, wanted.tokens)


def test_texts_follow_one_another_in_the_order_given(two: list[Path]) -> None:
    corpus, _ = load_texts(two, None)
    other, _ = load_texts(two[::-1], None)
    assert corpus.name == "first.txt + second.txt"
    assert corpus.vocabulary.decode(corpus.tokens) == "abcde fghi" * 4 + "abcdefghiz" * 2
    assert other.vocabulary.decode(other.tokens) == "abcdefghiz" * 2 + "abcde fghi" * 4
    assert corpus.sha256 != other.sha256


def test_the_share_is_held_out_of_the_end_of_each(two: list[Path]) -> None:
    corpus, held_out = load_texts(two, None, 0.25)
    decode = corpus.vocabulary.decode
    assert decode(corpus.tokens) == ("abcde fghi" * 4)[:30] + ("abcdefghiz" * 2)[:15]
    assert {name: decode(tokens) for name, tokens in held_out.items()} == {
        "first.txt": "abcde fghi",
        "second.txt": "fghiz",
    }
    assert all(tokens.dtype == np.uint8 for tokens in held_out.values())


def test_the_beginning_is_of_every_text_and_the_share_is_of_the_beginning(two: list[Path]) -> None:
    corpus, held_out = load_texts(two, 10, 0.2)
    assert corpus.vocabulary.decode(corpus.tokens) == "abcde fg" + "abcdefgh"
    assert corpus.vocabulary.decode(held_out["first.txt"]) == "hi"
    assert corpus.vocabulary.decode(held_out["second.txt"]) == "iz"


def test_the_vocabulary_and_the_hash_are_of_all_full_texts(two: list[Path]) -> None:
    full, _ = load_texts(two, None)
    part, _ = load_texts(two, 5, 0.4)
    assert "z" in part.vocabulary.tokens
    assert part.vocabulary == full.vocabulary
    assert part.sha256 == full.sha256


@given(st.floats(0.001, 0.999), st.integers(2, 3000))
def test_nothing_is_lost_and_nothing_is_both_trained_on_and_held_out(
    share: float, length: int
) -> None:
    wanted = load_corpus("sample", length).tokens
    try:
        corpus, held_out = load_texts(["sample"], length, share)
    except BadInput:
        assert round(share * length) in (0, length)
        return
    both = [corpus.tokens, held_out["sample"]]
    assert all(len(part) for part in both)
    assert np.array_equal(np.concatenate(both), wanted)
    assert abs(len(held_out["sample"]) - share * length) <= 0.5


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match=r"^held out: expected a share from 0"):
        load_texts(["sample"], None, share)


@pytest.mark.parametrize("share", [0.001, 0.99])
def test_a_share_that_leaves_nothing_on_one_side_names_the_text(
    two: list[Path], share: float
) -> None:
    with pytest.raises(BadInput, match=r"^first\.txt: held out: expected .* 40 characters"):
        load_texts(two, None, share)


def test_a_text_too_short_for_the_share_is_named_beside_one_that_is_not(two: list[Path]) -> None:
    with pytest.raises(BadInput, match=r"^second\.txt: held out: expected .* 20 characters"):
        load_texts(two, None, 0.02)


def test_two_texts_of_one_name_are_refused(two: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "first.txt"
    other.parent.mkdir()
    other.write_text("another text")
    with pytest.raises(BadInput, match=r"^text: first\.txt: expected texts of different names"):
        load_texts([*two, other])


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^text: expected at least one, found none"):
        load_texts([])


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_fewer_than_one_token_is_refused(max_tokens: int) -> None:
    with pytest.raises(BadInput, match=r"^max_tokens: expected at least 1"):
        load_texts(["sample"], max_tokens)


def test_a_text_that_is_not_there_is_named(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nobody\.txt: expected a text file, found no such file"):
        load_texts([*two, tmp_path / "nobody.txt"])
