"""From scratch: two layers out of the step of one (exercise 1), held against the backends."""

import sys

import numpy as np

from backends import registry
from common.parameters import Arrays, initialise, layer_parameters, zero_state
from common.spec import ModelSpec
from docs.experiments import run

SPEC = ModelSpec("lstm", d=28, h=16, q=28, L=2)
T, N = 35, 32


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def lstm_step(p: Arrays, X: np.ndarray, H: np.ndarray, C: np.ndarray) -> tuple:
    """One step of one layer, LSTM-1 to LSTM-6.   X: (n, d or h)   H, C: (n, h)"""
    i = sigmoid(X @ p["W_xi"] + H @ p["W_hi"] + p["b_i"])
    f = sigmoid(X @ p["W_xf"] + H @ p["W_hf"] + p["b_f"])
    o = sigmoid(X @ p["W_xo"] + H @ p["W_ho"] + p["b_o"])
    candidate = np.tanh(X @ p["W_xc"] + H @ p["W_hc"] + p["b_c"])
    C = f * C + i * candidate
    return o * np.tanh(C), C


def two_layers(params: Arrays, X: np.ndarray) -> np.ndarray:
    """Exercise 1: the step of one layer, used twice.   X: (T, n, d)   returns O: (T, n, q)"""
    first, second = layer_parameters(params, 1), layer_parameters(params, 2)
    H1 = C1 = H2 = C2 = np.zeros((X.shape[1], first["W_hi"].shape[0]))
    outputs = []
    for X_t in X:
        H1, C1 = lstm_step(first, X_t, H1, C1)
        H2, C2 = lstm_step(second, H1, H2, C2)
        outputs.append(H2 @ params["output.W_hq"] + params["output.b_q"])
    return np.stack(outputs)


def exercise_1(backend: str) -> None:
    """Ours against the backend's own stack, in float64."""
    params = initialise(SPEC, "pytorch", 1)
    X = np.eye(SPEC.d)[np.random.RandomState(1).randint(0, SPEC.d, (T, N))]
    ours = two_layers(params, X)
    for name in registry.load(backend).IMPLEMENTATIONS:
        model = registry.load(backend).implementation(name, "cpu", "float64").model(SPEC, params)
        theirs, _ = model.outputs(X, zero_state(SPEC, N, "float64"))
        apart = np.abs(ours - theirs).max() / np.abs(ours).max()
        print(f"{backend}:{name}  O {theirs.shape}  at most 1e-14 apart: {apart <= 1e-14}")


def one_above_the_other(backend: str) -> None:
    """Two stacks of one layer are one stack of two: the second reads what the first gives."""
    params = initialise(SPEC, "pytorch", 1)
    X = np.eye(SPEC.d)[np.random.RandomState(1).randint(0, SPEC.d, (T, N))]
    implementation = registry.load(backend).implementation("equations", "cpu", "float64")
    output = {name: params[name] for name in ("output.W_hq", "output.b_q")}
    H = X
    for layer in (1, 2):
        spec = ModelSpec("lstm", d=SPEC.inputs_of(layer), h=SPEC.h, q=SPEC.q, L=1)
        own = {f"layer1.{k}": v for k, v in layer_parameters(params, layer).items()}
        alone = implementation.model(spec, own | output)
        made = alone.forward(H, zero_state(spec, N, "float64"))
        H = made.trace["H"][:, 0]
        print(f"layer {layer}: reads (T, n, {spec.d}), gives {H.shape}")
    whole, _ = implementation.model(SPEC, params).outputs(X, zero_state(SPEC, N, "float64"))
    print("at most 1e-14 apart:", np.abs(whole - made.outputs).max() <= 1e-14)


def solution_1(backend: str) -> None:
    """Two vanilla layers out of the step of one, and the backend's own."""
    spec = ModelSpec("rnn", d=28, h=16, q=28, L=2, activations=("tanh", "tanh"))
    params = initialise(spec, "pytorch", 1)
    X = np.eye(spec.d)[np.random.RandomState(1).randint(0, spec.d, (T, N))]

    def step(p: Arrays, X_t: np.ndarray, H: np.ndarray) -> np.ndarray:
        return np.tanh(X_t @ p["W_xh"] + H @ p["W_hh"] + p["b_h"])

    first, second = layer_parameters(params, 1), layer_parameters(params, 2)
    H1 = H2 = np.zeros((N, spec.h))
    outputs = []
    for X_t in X:
        H1 = step(first, X_t, H1)
        H2 = step(second, H1, H2)
        outputs.append(H2 @ params["output.W_hq"] + params["output.b_q"])
    model = registry.load(backend).implementation("equations", "cpu", "float64")
    theirs, _ = model.model(spec, params).outputs(X, zero_state(spec, N, "float64"))
    print("at most 1e-14 apart:", np.abs(np.stack(outputs) - theirs).max() <= 1e-14)


def solution_2(backend: str) -> None:
    """The two lines of the loop exchanged: which outputs does the input of step 3 change?"""
    params = initialise(SPEC, "pytorch", 1)
    first, second = layer_parameters(params, 1), layer_parameters(params, 2)

    def exchanged(X: np.ndarray) -> np.ndarray:
        H1 = C1 = H2 = C2 = np.zeros((1, SPEC.h))
        states = []
        for X_t in X:
            H2, C2 = lstm_step(second, H1, H2, C2)
            H1, C1 = lstm_step(first, X_t, H1, C1)
            states.append(H2)
        return np.stack(states)

    X = np.random.RandomState(1).standard_normal((6, 1, SPEC.d))
    other = X.copy()
    other[2] += 1
    for name, network in (("right", lambda X: two_layers(params, X)), ("exchanged", exchanged)):
        changed = (network(X) != network(other)).any(axis=(1, 2))
        print(f"{name:9}", " ".join(f"t={t + 1}" for t in range(6) if changed[t]))


EXAMPLES = (exercise_1, one_above_the_other, solution_1, solution_2)


def main(words: list[str] | None = None) -> int:
    return run("from-scratch", EXAMPLES, None, words)


if __name__ == "__main__":
    sys.exit(main())
