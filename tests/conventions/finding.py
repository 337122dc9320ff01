"""Which convention a framework's own layer follows, found by trying them all on what it computes.

Every weight but those that are tried is zero, so that a step is a formula of a few lines.
"""

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np

H = 3

LstmStep = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From the bias of each gate, (4, h) as stacked, and H and C, (1, h), to H′ and C′."""

GruStep = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From the input and recurrent bias of each gate, (3, h) as stacked, the recurrent weights of each
gate, (3, h, h), of which a row belongs to an old unit, and H, (1, h), to H′."""


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-2, 2, shape).astype("float32")


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    assert found.shape == wanted.shape
    return bool(np.abs(found - wanted).max() < 1e-5)


def lstm_orders(step: LstmStep) -> list[str]:
    """Every order of the gates that gives what the layer gives: i, f, o, and the candidate g."""
    a, H_0, C_0 = numbers(1, 4, H), numbers(2, 1, H), numbers(3, 1, H)
    H_1, C_1 = step(a, H_0, C_0)
    found = []
    for order in permutations("ifgo"):
        gate = dict(zip(order, a, strict=True))
        C = sigmoid(gate["f"]) * C_0 + sigmoid(gate["i"]) * np.tanh(gate["g"])
        if same(C_1, C) and same(H_1, sigmoid(gate["o"]) * np.tanh(C)):
            found.append(", ".join(order))
    return found


def gru_conventions(step: GruStep, two_biases: bool = True) -> list[tuple[str, str, str]]:
    """Every order of the gates (r, z, and the candidate n), place of the reset ("after" the matrix
    product or "before") and meaning of z (what it "keeps" or "takes") that give the same."""
    a, b, U, H_0 = numbers(1, 3, H), numbers(2, 3, H), numbers(3, 3, H, H), numbers(4, 1, H)
    b *= two_biases
    H_1 = step(a, b, U, H_0)
    found = []
    for order in permutations("rzn"):
        i = {gate: order.index(gate) for gate in order}
        r, z = (sigmoid(a[i[g]] + b[i[g]] + H_0 @ U[i[g]]) for g in "rz")
        products = {
            "after": r * (H_0 @ U[i["n"]] + b[i["n"]]),
            "before": (r * H_0) @ U[i["n"]] + b[i["n"]],
        }
        for reset, product in products.items():
            n = np.tanh(a[i["n"]] + product)
            updates = {"keeps": z * H_0 + (1 - z) * n, "takes": (1 - z) * H_0 + z * n}
            for meaning, H_t in updates.items():
                if same(H_1, H_t):
                    found.append((", ".join(order), reset, meaning))
    return found


SEQUENCE = np.array([0.1, 0.5, 0.9], "float32")
"""One number per step. A layer with one unit, no recurrence, and weights of 1 forward and −1
backward shows in which place and in which order either direction's outputs stand."""

SIDE_BY_SIDE = np.stack([np.tanh(SEQUENCE), -np.tanh(SEQUENCE)], axis=1)
"""(T, 2): forward, backward, each in the order of time."""

LAST = np.tanh(SEQUENCE[[-1, 0]]) * [1, -1]
"""Forward after step T, backward after step 1."""

LENGTH = 2
"""So many steps of the sequence belong to an example that is shorter."""

OWN, ON = np.tanh(SEQUENCE[LENGTH - 1]), np.tanh(SEQUENCE[LENGTH])
"""Its last output, and what comes of reading the padding."""

UNKNOWN = np.where(np.arange(len(SEQUENCE)) < LENGTH, SEQUENCE, np.nan).astype("float32")
"""The sequence with a NaN in the padding."""

RATE = 0.3
STEPS, EXAMPLES, UNITS = 20, 8, 64
"""So many units that no example keeps all of them at any step, or loses all, by chance."""


def mask_of(found: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Which numbers were kept: those are 1/(1 − r) times what they were, all others are 0."""
    mask = found != 0
    assert np.abs(found * (1 - RATE) - of * mask).max() <= 1e-6 * np.abs(of).max()
    assert mask.any(-1).all() and not mask.all(-1).any()
    return mask


def by_chance(mask: np.ndarray) -> bool:
    """Whether as few or as many dropped numbers come of RATE with a probability above 1e-9, each
    drawn alone: by the exact binomial distribution."""
    dropped, of = int((~mask).sum()), mask.size
    logs = [
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(RATE) + (of - k) * math.log1p(-RATE)
        for k in range(of + 1)
    ]  # fmt: skip
    chances = np.exp(logs)
    assert abs(chances.sum() - 1) < 1e-9
    return min(chances[: dropped + 1].sum(), chances[dropped:].sum()) > 1e-9


def gradient_of_W_hh(O: np.ndarray, handed_up: bool = False) -> np.ndarray:
    """dW_hh = Σ_t H_{t−1}ᵀ D_t (BPTT-7) of a lower layer H_t = 1 + H_{t−1} / 2, by the sum of its
    dropped H, which is O: D_t = M_t / (1 − r) + D_{t+1} / 2.

    handed_up: with the dropped H in the place of H"""
    H, D = np.zeros_like(O), np.zeros_like(O)
    for t in range(len(O)):
        H[t] = 1 + (H[t - 1] / 2 if t else 0)
    for t in reversed(range(len(O))):
        D[t] = (O[t] != 0) / (1 - RATE) + (D[t + 1] / 2 if t + 1 < len(O) else 0)
    return np.einsum("tni,tnj->ij", (O if handed_up else H)[:-1], D[1:])


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    return same(found / np.abs(wanted).max(), wanted / np.abs(wanted).max())
