"""Workers that differ are refused before the first step, each of them with the same words."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common.errors import BadInput
from conformance.worker.agreement import ALONE, agree, fingerprint, gather, of_the_first

FACTS = {"suite": "1", "recipe": {"n": 32, "seed": 1}, "initial weights": "abc", "tokens": "def"}


class Thread:
    """A worker that is a thread; the sum is made in memory that all of them share."""

    def __init__(self, rank: int, barrier: threading.Barrier, board: dict) -> None:
        self.rank, self.size = rank, barrier.parties
        self.barrier, self.board = barrier, board

    def total(self, array: np.ndarray) -> np.ndarray:
        self.board[self.rank] = array
        self.barrier.wait(10)
        found = sum(self.board[rank] for rank in range(self.size))
        self.barrier.wait(10)
        return found


def together(size: int, work) -> list:
    """What ``work`` returns, or raises as BadInput, in each of so many workers."""
    barrier, board = threading.Barrier(size), {}

    def one(rank: int):
        try:
            return work(Thread(rank, barrier, board))
        except BadInput as error:
            return str(error)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_everybody_hears_every_text(size):
    texts = ["", "H^(0) = X", "σ", "a longer one " * 99][:size]
    assert together(size, lambda w: gather(w, texts[w.rank])) == [texts] * size


def test_no_text_at_all_is_heard_as_such():
    assert together(2, lambda w: gather(w, "")) == [["", ""]] * 2
    assert gather(ALONE, "alone") == ["alone"]


def test_workers_that_have_everything_in_common_agree():
    assert together(4, lambda w: agree(w, FACTS)) == [None] * 4


@pytest.mark.parametrize(
    ("field", "other", "said"),
    [
        ("suite", "2", "suite: expected 1, found 2"),
        ("recipe", {"n": 32, "seed": 7}, "recipe: expected seed 1, found seed 7"),
        ("initial weights", "xyz", "initial weights: expected abc, found xyz"),
        ("tokens", None, "tokens: expected def, found None"),
    ],
)
@pytest.mark.parametrize("rank", [1, 3])
def test_one_that_differs_is_named_by_all(rank, field, other, said):
    found = together(4, lambda w: agree(w, FACTS | ({field: other} if w.rank == rank else {})))
    assert found == [f"worker {rank} of 4: {said}"] * 4


def test_the_first_worker_s_arrays_reach_the_others_to_the_bit():
    rng = np.random.RandomState(3)
    arrays = [{"W": rng.randn(4, 5), "b": rng.randn(3).astype("float32")} for _ in range(3)]
    for found in together(3, lambda w: of_the_first(w, arrays[w.rank])):
        for name, array in arrays[0].items():
            assert found[name].astype(array.dtype).tobytes() == array.tobytes()
    assert of_the_first(ALONE, arrays[1]) is arrays[1]


def test_a_fingerprint_tells_one_bit_and_not_the_layout():
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint({"a": array}) == fingerprint({"a": np.asfortranarray(array)})
    changed = array.copy()
    changed[1, 2] = np.nextafter(5.0, 6.0)
    assert fingerprint({"a": array}) != fingerprint({"a": changed})
