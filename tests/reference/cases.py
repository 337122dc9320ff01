"""Models and data for the tests of the reference, and how far two sets of arrays are apart."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from common.dropout import Dropout, mask_shape
from common.parameters import initialise, only_own, state_shapes, zero_state
from common.spec import ACTIVATIONS, ModelSpec


@dataclass(frozen=True)
class Case:
    """A model and the sizes of its data. No two of n, d, h, q, T are equal unless one is 1."""

    spec: ModelSpec
    T: int = 6
    n: int = 2
    zero: bool = False
    lengths: tuple[int, ...] = ()
    rate: float = 0.0

    def parameters(self, dtype="float64"):
        return initialise(self.spec, "uniform", 1, dtype)

    def data(self, seed=2, dtype="float64"):
        """X, Y and the initial state."""
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((self.T, self.n, self.spec.d)).astype(dtype)
        Y = rng.randint(0, self.spec.q, (self.T, self.n))
        state = zero_state(self.spec, self.n, dtype)
        if not self.zero:
            for part, shape in state_shapes(self.spec, self.n).items():
                state[part] = (0.5 * rng.standard_normal(shape)).astype(dtype)
        return X, Y, only_own(self.spec, state)

    def dropout(self, seed=3):
        """What is dropped, None if nothing is."""
        if not self.rate:
            return None
        kept = np.random.RandomState(seed).random_sample(mask_shape(self.spec, self.n, self.T))
        return Dropout(self.rate, kept >= self.rate)


def specs(L, d=3, h=5, q=7):
    """Every cell and variant with L layers; the vanilla RNN begins with each activation in turn."""
    for first in range(len(ACTIVATIONS)):
        phis = tuple(ACTIVATIONS[(first + layer) % len(ACTIVATIONS)] for layer in range(L))
        yield f"rnn-{'-'.join(phis)}", ModelSpec("rnn", d, h, q, L, phis)
    yield f"gru-before-L{L}", ModelSpec("gru", d, h, q, L, reset="before")
    yield f"gru-after-L{L}", ModelSpec("gru", d, h, q, L, reset="after")
    yield f"lstm-L{L}", ModelSpec("lstm", d, h, q, L)


CASES = {name: Case(spec) for L in (1, 2, 3, 4) for name, spec in specs(L)}
BIDIRECTIONAL = {
    f"{name}-bidirectional": Case(dataclasses.replace(spec, directions=2))
    for L in (1, 2)
    for name, spec in specs(L)
}
CASES |= BIDIRECTIONAL
LENGTHS = {
    f"{name}-lengths": dataclasses.replace(case, n=4, lengths=(3, 6, 1, 5))
    for name, case in {**dict(list(CASES.items())[:8]), **BIDIRECTIONAL}.items()
    if case.spec.L == 1 or case.spec.directions == 2
}
UNEVEN = {
    f"{name}-uneven-{D}": Case(dataclasses.replace(spec, h=8, sizes=sizes, directions=D))
    for sizes, D in (((8, 2), 1), ((4, 8), 2))
    for name, spec in specs(2)
    if not name.startswith("rnn") or spec.activations[0] == "tanh"
}
PROJECTED = {
    f"lstm-projected-{what}": Case(ModelSpec("lstm", 3, 8, 7, **spec))
    for what, spec in {
        "L1": {"L": 1, "p": 4},
        "L3": {"L": 3, "p": 5},
        "both": {"L": 2, "p": 5, "directions": 2},
        "uneven": {"L": 2, "p": 4, "sizes": (5, 8)},
        "uneven-both": {"L": 2, "p": 4, "sizes": (8, 5), "directions": 2},
    }.items()
}
CASES |= UNEVEN | PROJECTED
CASES |= {
    f"lstm-{what}": Case(ModelSpec("lstm", 3, 5, 7, **spec))
    for what, spec in {
        "peepholes-L1": {"L": 1, "peepholes": True},
        "peepholes-L3": {"L": 3, "peepholes": True},
        "clipped-L3": {"L": 3, "gate_clip": 0.5},
        "clipped-both": {"L": 2, "gate_clip": 0.25, "directions": 2},
        "peepholes-clipped-projected": {"L": 2, "peepholes": True, "gate_clip": 0.5, "p": 4},
    }.items()
}
_BOTH_OPTIONS = ModelSpec("lstm", 3, 5, 7, 2, directions=2, peepholes=True, gate_clip=0.5)
LENGTHS["lstm-peepholes-clipped-lengths"] = Case(_BOTH_OPTIONS, n=4, lengths=(3, 6, 1, 5))
DROPOUT = {
    f"{name}-dropout": dataclasses.replace(case, rate=0.3)
    for name, case in (CASES | LENGTHS).items()
    if case.spec.L > 1 and (case.spec.L == 3 or case.spec.directions == 2 or name in UNEVEN)
}
for _name, _spec in specs(2):
    CASES |= {
        f"{_name}-one-step": Case(_spec, T=1),
        f"{_name}-one-example": Case(_spec, n=1),
        f"{_name}-zero-state": Case(_spec, zero=True),
    }


def disagreement(found, expected, may_vanish=False):
    """The largest error in any tensor, relative to the largest magnitude in that tensor.

    Names and shapes must be the same. An expected tensor of zeros would compare nothing, so it is
    refused, unless it may vanish: then the found one must be zero, too. NaN comes back as NaN.
    """
    assert found.keys() == expected.keys(), set(found) ^ set(expected)
    errors = []
    for name, right in expected.items():
        assert np.shape(found[name]) == np.shape(right), name
        scale = np.abs(right).max()
        if scale == 0:
            assert may_vanish, f"{name} is expected to be zero everywhere"
            assert not np.any(found[name]), name
        else:
            errors.append(np.abs(found[name] - right).max() / scale)
    return float(np.max(errors)) if errors else 0.0
