"""How to check your own model: a fault is put into an LSTM's weights, and ``diagnose`` finds it."""

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.weights import write_arrays
from conformance.__main__ import main as conformance
from docs.experiments import run
from docs.experiments.from_scratch import lstm_step

D, H, L, T, N = 6, 8, 2, 7, 3
GATES = ("i", "f", "c", "o")
"""PyTorch's order of the four blocks: i, f, g, o."""

Arrays = dict[str, np.ndarray]


def torch_weights() -> Arrays:
    """Random weights of two layers, as ``nn.LSTM`` would save them: (4h, in) and two biases."""
    rng, found, d = np.random.RandomState(1), {}, D
    for layer in range(L):
        found |= {
            f"weight_ih_l{layer}": rng.uniform(-0.5, 0.5, (4 * H, d)),
            f"weight_hh_l{layer}": rng.uniform(-0.5, 0.5, (4 * H, H)),
            f"bias_ih_l{layer}": rng.uniform(-0.5, 0.5, 4 * H),
            f"bias_hh_l{layer}": rng.uniform(-0.5, 0.5, 4 * H),
        }
        d = H
    return found


def my_model(weights: Arrays, X: np.ndarray, gates: tuple = GATES) -> np.ndarray:
    """Somebody's own port of it: it cuts every tensor into four blocks and names them ``gates``."""
    for layer in range(L):
        p = {}
        for place, gate in enumerate(gates):
            block = slice(place * H, (place + 1) * H)
            p[f"W_x{gate}"] = weights[f"weight_ih_l{layer}"][block].T
            p[f"W_h{gate}"] = weights[f"weight_hh_l{layer}"][block].T
            p[f"b_{gate}"] = (
                weights[f"bias_ih_l{layer}"][block] + weights[f"bias_hh_l{layer}"][block]
            )
        state, outputs = (np.zeros((N, H)), np.zeros((N, H))), []
        for X_t in X:
            state = lstm_step(p, X_t, *state)
            outputs.append(state[0])
        X = np.stack(outputs)
    return X


def ask(model: Callable[[Arrays, np.ndarray], np.ndarray]) -> None:
    """Save the weights, an input and what the model makes of it, and have them diagnosed."""
    weights, X = torch_weights(), np.random.RandomState(2).standard_normal((T, N, D))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_arrays(Path("mine.safetensors"), weights, {})
        write_arrays(Path("io.safetensors"), {"X": X, "outputs": model(weights, X)}, {})
        files = ["--weights", "mine.safetensors", "--io", "io.safetensors"]
        print("exit code", conformance(["diagnose", "--quiet", "--layout", "pytorch", *files]))


def a_right_model(backend: str) -> None:
    """The blocks are named in PyTorch's order."""
    ask(my_model)


def a_wrong_order(backend: str) -> None:
    """The blocks are named in the order of ONNX."""
    ask(lambda weights, X: my_model(weights, X, ("i", "o", "f", "c")))


def mended(backend: str) -> None:
    """The line of the answer, run on every tensor, makes up for it."""

    def mend(W: np.ndarray) -> np.ndarray:
        return W.reshape(4, H, -1)[[0, 3, 1, 2]].reshape(W.shape)

    def model(weights: Arrays, X: np.ndarray) -> np.ndarray:
        changed = {name: mend(W) for name, W in weights.items()}
        return my_model(changed, X, ("i", "o", "f", "c"))

    ask(model)


def unknown(backend: str) -> None:
    """A fault that is in no catalogue."""
    ask(lambda weights, X: my_model(weights, np.sin(3 * X)))


def solution_1(backend: str) -> None:
    """The second bias is forgotten."""

    def model(weights: Arrays, X: np.ndarray) -> np.ndarray:
        dropped = {name: 0 * W if name.startswith("bias_hh") else W for name, W in weights.items()}
        return my_model(dropped, X)

    ask(model)


def solution_2(backend: str) -> None:
    """The recurrent weights are transposed: they are square, so every shape fits."""

    def model(weights: Arrays, X: np.ndarray) -> np.ndarray:
        changed = {
            name: np.concatenate([block.T for block in np.split(W, 4)])
            if name.startswith("weight_hh")
            else W
            for name, W in weights.items()
        }
        return my_model(changed, X)

    ask(model)


EXAMPLES = (a_right_model, a_wrong_order, mended, unknown, solution_1, solution_2)


def main(words: list[str] | None = None) -> int:
    return run("your-own-model", EXAMPLES, None, words)


if __name__ == "__main__":
    sys.exit(main())
