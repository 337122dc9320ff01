"""The bounds of a GPU's rows: another order of the sums stays within them, and TF32 does not."""

import numpy as np
import pytest

from conformance.closeness.compare import load_bounds
from conformance.oracle.truth import EVALUATIONS, UNIT_IN_THE_LAST_PLACE

pytestmark = pytest.mark.once

RATIO = load_bounds()["gpu"]["float32"]["gradients"].ratio
SIZES = {256: 2, 512: 4, 1120: 4, 2048: 6}
"""K, the products in a sum: h of D2L's recipe; two such products at once; T·n, the longest sum of
its gradients; h = 1,024 twice. And a multiple of the noise floor that it stays below."""


def one_after_another(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A B in float32, every product rounded and added to the sum so far."""
    total = np.zeros((len(A), B.shape[1]), "float32")
    for k in range(A.shape[1]):
        total += A[:, k : k + 1] * B[k]
    return total


def to_tf32(array: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits behind the point."""
    bits = array.astype("float32").view("uint32")
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view("float32")


def moved(array: np.ndarray, seed: int) -> np.ndarray:
    """As the oracle's neighbours (oracle/truth.py)."""
    sides = np.random.RandomState(seed).randint(-1, 2, array.shape)
    return (array * (1 + UNIT_IN_THE_LAST_PLACE * sides)).astype("float32")


def ratios(K: int, product) -> list[float]:
    """Errors of a product of matrices in multiples of the noise floor, for some of them."""
    found = []
    for draw in range(5):
        rng = np.random.RandomState(draw)
        A = rng.uniform(-1, 1, (32, K)).astype("float32")
        B = rng.uniform(-1, 1, (K, 64)).astype("float32")
        right = A.astype("float64") @ B.astype("float64")
        pairs = [(A, B), *((moved(A, s), moved(B, s + 100)) for s in range(1, EVALUATIONS))]
        floor = max(np.max(np.abs(a @ b - right)) for a, b in pairs)
        found.append(float(np.max(np.abs(product(A, B) - right)) / floor))
    return found


@pytest.mark.parametrize("K", SIZES)
def test_the_worst_order_of_a_sum_is_within_the_bound(K):
    worst = max(ratios(K, one_after_another))
    assert worst < SIZES[K] < RATIO


def test_the_ratio_grows_with_the_length_of_the_sum():
    least, largest = (np.median(ratios(K, one_after_another)) for K in (256, 2048))
    assert largest > 1.5 * least


@pytest.mark.parametrize("K", SIZES)
def test_tf32_is_far_outside(K):
    assert min(ratios(K, lambda A, B: to_tf32(A) @ to_tf32(B))) > 20 * RATIO


def test_a_gpu_has_the_ratio_of_a_cpu_on_every_rung():
    bounds = load_bounds()
    for dtype in ("float64", "float32"):
        assert bounds["gpu"][dtype] == bounds["cpu"][dtype]
