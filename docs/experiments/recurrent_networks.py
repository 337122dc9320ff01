"""A recurrent layer, unrolled, and backpropagation through time by hand (BPTT-1 to BPTT-7)."""

import sys

import numpy as np

from backends import registry
from common.parameters import Arrays, initialise
from common.spec import ModelSpec
from docs.experiments import run
from docs.experiments.tools import Found, reference_only

SPEC = ModelSpec("rnn", d=5, h=4, q=3, L=1, activations=("tanh",))
T, N = 6, 2
SEEDS = 20
RADII = (0.7, 1.0, 1.5, 2.5)


def drawn() -> tuple[Arrays, np.ndarray, np.ndarray, np.ndarray]:
    """A small layer with its output, inputs (T, n, d), targets (T, n) and a first state (n, h)."""
    rng = np.random.RandomState(1)
    X, H_0 = rng.standard_normal((T, N, SPEC.d)), rng.standard_normal((N, SPEC.h)) / 2
    return initialise(SPEC, "pytorch", 1), X, rng.randint(0, SPEC.q, (T, N)), H_0


def forward(p: Arrays, X: np.ndarray, H_0: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """RNN-1 and OUT-1, step after step.   returns H_0 … H_T, each (n, h), and O (T, n, q)"""
    H = [H_0]
    for X_t in X:
        H.append(np.tanh(X_t @ p["layer1.W_xh"] + H[-1] @ p["layer1.W_hh"] + p["layer1.b_h"]))
    O = [H_t @ p["output.W_hq"] + p["output.b_q"] for H_t in H[1:]]
    return H, np.stack(O)


def loss(O: np.ndarray, Y: np.ndarray) -> tuple[float, np.ndarray]:
    """LOSS-1 and the gradient by O (BPTT-1).   returns ℓ, and dO (T, n, q)"""
    e = np.exp(O - O.max(-1, keepdims=True))
    softmax = e / e.sum(-1, keepdims=True)
    onehot = np.eye(O.shape[-1])[Y]
    return -np.log((softmax * onehot).sum(-1)).mean(), (softmax - onehot) / Y.size


def bptt(p: Arrays, X: np.ndarray, Y: np.ndarray, H_0: np.ndarray) -> Arrays:
    """The gradients of ℓ by every parameter and by H_0, from the last step to the first."""
    H, O = forward(p, X, H_0)
    _, dO = loss(O, Y)
    g = {name: np.zeros_like(value) for name, value in p.items()}
    B = np.zeros_like(H_0)  # nothing comes back from after the end
    for t in reversed(range(len(X))):
        g["output.W_hq"] += H[t + 1].T @ dO[t]
        g["output.b_q"] += dO[t].sum(0)
        D = dO[t] @ p["output.W_hq"].T + B  # BPTT-2: from this step's output, and from later steps
        delta = D * (1 - H[t + 1] ** 2)  # BPTT-3
        g["layer1.W_xh"] += X[t].T @ delta  # BPTT-6
        g["layer1.b_h"] += delta.sum(0)
        g["layer1.W_hh"] += H[t].T @ delta  # BPTT-7
        B = delta @ p["layer1.W_hh"].T  # BPTT-3: to the step before
    return g | {"H0": B[None]}


def unrolled(backend: str) -> None:
    """The loop above, and the backend's own network: the same outputs."""
    p, X, _, H_0 = drawn()
    _, O = forward(p, X, H_0)
    theirs, state = network(backend, p).outputs(X, {"H": H_0[None]})
    print(f"X {X.shape}   O {theirs.shape}   last state {state['H'].shape}")
    print("at most 1e-14 apart:", np.abs(O - theirs).max() <= 1e-14)


def network(backend: str, p: Arrays):
    """The same network in a backend's equations, in float64."""
    return registry.load(backend).implementation("equations", "cpu", "float64").model(SPEC, p)


def checked(backend: str) -> None:
    """The gradients by hand against the backend's own, and against small changes of a weight."""
    p, X, Y, H_0 = drawn()
    ours = bptt(p, X, Y, H_0)
    theirs = network(backend, p).loss_and_gradients(X, Y, {"H": H_0[None]}).gradients
    for name, gradient in ours.items():
        apart = np.abs(gradient - theirs[name]).max() / np.abs(gradient).max()
        print(f"d{name:12} {gradient.shape!s:10} at most 1e-12 apart: {apart <= 1e-12}")
    epsilon, k, j = 1e-6, 0, 1
    two = []
    for sign in (1, -1):
        W_hh = p["layer1.W_hh"].copy()
        W_hh[k, j] += sign * epsilon
        two.append(loss(forward(p | {"layer1.W_hh": W_hh}, X, H_0)[1], Y)[0])
    slope = (two[0] - two[1]) / (2 * epsilon)
    print(f"dW_hh[0, 1]: {ours['layer1.W_hh'][k, j]:.6f}, by small changes {slope:.6f}")


def truncated(backend: str) -> None:
    """The same six steps in one piece, and in two whose state is carried over as a number."""
    p, X, Y, H_0 = drawn()
    model = network(backend, p)
    whole = model.loss_and_gradients(X, Y, {"H": H_0[None]})
    first = model.loss_and_gradients(X[:3], Y[:3], {"H": H_0[None]})
    _, carried = model.outputs(X[:3], {"H": H_0[None]})
    second = model.loss_and_gradients(X[3:], Y[3:], carried)
    print(f"loss: {whole.loss:.6f}, mean of the pieces {(first.loss + second.loss) / 2:.6f}")
    for name in ("output.W_hq", "layer1.W_hh"):
        pieces = (first.gradients[name] + second.gradients[name]) / 2
        print(
            f"d{name}: ‖whole − pieces‖ / ‖whole‖ = {distance(pieces, whole.gradients[name]):.4f}"
        )
    print(
        f"what the cut leaves out: ‖dH0‖ of the second piece = {size(second.gradients['H0']):.4f}"
    )


def size(A: np.ndarray) -> float:
    return float(np.sqrt((A * A).sum()))


def distance(A: np.ndarray, B: np.ndarray) -> float:
    return 0.0 if np.abs(A - B).max() <= 1e-14 else size(A - B) / size(B)


def solution_1(backend: str) -> None:
    """Through the identity, a step back is one product with W_hhᵀ; its power is the whole way."""
    rng = np.random.RandomState(1)
    W_hh, B = rng.standard_normal((4, 4)) / 2, rng.standard_normal((1, 4))
    radius = np.abs(np.linalg.eigvals(W_hh)).max()
    print(f"spectral radius {radius:.3f}")
    for k in (1, 10, 100):
        norm = size(B @ np.linalg.matrix_power(W_hh.T, k))
        print(f"{k:3} steps back: norm {norm:.3g}, factor a step {(norm / size(B)) ** (1 / k):.3f}")


def solution_2(backend: str) -> None:
    """Shorter pieces: how much of the gradient by W_hh is lost."""
    p, X, Y, H_0 = drawn()
    model, state = network(backend, p), {"H": H_0[None]}
    whole = model.loss_and_gradients(X, Y, state).gradients["layer1.W_hh"]
    for steps in (6, 3, 2, 1):
        state, pieces = {"H": H_0[None]}, 0
        for at in range(0, T, steps):
            part = slice(at, at + steps)
            found = model.loss_and_gradients(X[part], Y[part], state)
            pieces = pieces + found.gradients["layer1.W_hh"] * steps / T
            _, state = model.outputs(X[part], state)
        print(f"pieces of {steps}: {distance(pieces, whole):.4f} of the gradient is missing")


def solution_3(backend: str) -> None:
    """A clip of the norm: the direction stays, and what has vanished does not come back."""
    g = np.array([30.0, 4e-9])
    clipped = g * min(1, 1 / size(g))
    print(f"before {g}, after {clipped}")
    print(f"the ratio of the two: {g[0] / g[1]:.3g}, and {clipped[0] / clipped[1]:.3g}")


@reference_only
def measure(short: bool) -> Found:
    """How ‖dℓ/dH‖ shrinks or grows on its way back, for W_hh of three spectral radii: the product
    of the Jacobians of BPTT-3, in layers that are drawn anew with every seed."""
    seeds, h, steps = (2, 8, 12) if short else (SEEDS, 64, 50)
    found, values = [], {"seeds": seeds, "h": h, "steps": steps}
    for radius in RADII:
        norms = np.stack([way_back(radius, seed, h, steps) for seed in range(seeds)])
        low, middle, high = np.quantile(norms, (0.1, 0.5, 0.9), axis=0)
        name = f"ρ = {radius}"
        found += [
            {"W_hh": name, "back": k, "norm": middle[k], "low": low[k], "high": high[k]}
            for k in range(steps)
        ]
        values[f"at_20_{10 * radius:.0f}"] = float(middle[min(20, steps - 1)])
    return {"tables": {"way_back": found}, "values": values}


def way_back(radius: float, seed: int, h: int, steps: int) -> np.ndarray:
    """The norms of B_T, B_{T−1}, … of one random layer, of which the first is 1.   (steps,)"""
    rng = np.random.RandomState(seed)
    W_hh = rng.standard_normal((h, h))
    W_hh *= radius / np.abs(np.linalg.eigvals(W_hh)).max()
    H, states = np.zeros(h), []
    for _ in range(steps):
        H = np.tanh(rng.standard_normal(h) / 4 + H @ W_hh)
        states.append(H)
    B, norms = rng.standard_normal(h), []
    B /= size(B)
    for H in reversed(states):
        norms.append(size(B))
        B = (B * (1 - H * H)) @ W_hh.T
    return np.array(norms)


EXAMPLES = (unrolled, checked, truncated, solution_1, solution_2, solution_3)


def main(words: list[str] | None = None) -> int:
    return run("recurrent-networks", EXAMPLES, measure, words)


if __name__ == "__main__":
    sys.exit(main())
