"""Why depth: what each layer of a trained stack holds, and for how long.

Stacks of one, two and three layers are trained alike. In the tallest, three things are measured on
text that it was not trained on: how fast the state of each layer changes, which characters can be
read from it by a linear map, and how long the predictions miss it if it is replaced.
"""

import math
import sys

import numpy as np

from common.corpus import in_rows, load_texts
from common.parameters import Arrays, parameter_shapes
from common.recipe import Recipe
from common.spec import ModelSpec
from docs.experiments import run
from docs.experiments.tools import Found, Run, begin, reference_only, stack, time_machine, train

ROWS = 32
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
BACK = (-1, 0, 1, 2, 3, 4, 6, 8, 12)
"""Which character is read: −1 is the next one, which the network has not seen, 0 the last one."""
AFTER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
DEPTHS = (1, 2, 3)
SEEDS = (1, 2, 3, 4, 5, 6)
"""Of the first weights and of the minibatches: one run of each depth would tell luck, not depth."""


@reference_only
def measure(short: bool) -> Found:
    h, steps = (16, 6) if short else (64, 600)
    corpus, held_out = load_texts([time_machine(short)], None, 0.4 if short else 0.1)
    [test] = held_out.values()
    depths, ends, runs = [], {}, []
    for L in DEPTHS:
        runs = []
        for seed in SEEDS[:2] if short else SEEDS:
            one = begin(stack("gru", corpus, L, h), Recipe(4.0, 1.0, seed=seed))
            runs.append(train(one, corpus, steps))
        parameters = sum(array.size for array in runs[0].model.parameters().values())
        ends[L] = np.array([one.on(test) for one in runs])
        last = [one.lately(steps // 6) for one in runs]
        row = {"layers": L, "parameters": parameters, "training": float(np.mean(last))}
        row |= {"held out": float(ends[L].mean()), "±": float(ends[L].std(ddof=1))}
        depths.append(row | {"best": float(ends[L].min()), "worst": float(ends[L].max())})
    looks = [look(one, test) for one in runs]
    values = {"h": h, "steps": steps, "seeds": len(runs), "commonest": looks[0]["commonest"]}
    for layer in range(max(DEPTHS)):
        scales = np.array([time_scale(found["alike"][layer]) for found in looks])
        values[f"time_scale_{layer + 1}"] = float(scales.mean())
        values[f"time_scale_{layer + 1}_sd"] = float(scales.std(ddof=1))
        values[f"current_{layer + 1}"] = mean(looks, "read", layer, BACK.index(0))
        values[f"next_{layer + 1}"] = mean(looks, "read", layer, BACK.index(-1))
    values["in_order"] = sum(map(in_order, looks))
    values["missed_in_order"] = sum(
        found["missed"][0][0] < found["missed"][2][0] for found in looks
    )
    for more, fewer in ((2, 1), (3, 2)):
        values[f"gain_{more}"] = float((ends[fewer] - ends[more]).mean())
        values[f"gain_{more}_sd"] = float((ends[fewer] - ends[more]).std(ddof=1))
        values[f"better_{more}"] = int((ends[more] < ends[fewer]).sum())
    values |= {f"held_out_{row['layers']}": row["held out"] for row in depths}
    tables = {"depths": depths, "alike": spread(looks, "alike", "lag", LAGS)}
    tables |= {"read": spread(looks, "read", "back", BACK)}
    tables |= {"missed": spread(looks, "missed", "after", AFTER)}
    return {"values": values, "tables": tables}


def look(run: Run, test: np.ndarray) -> Found:
    """Into one trained stack: three curves for every layer."""
    X, H = states(run, test)
    layers = range(H.shape[1])
    return {
        "commonest": most_common(X),
        "alike": [autocorrelation(H[:, layer]) for layer in layers],
        "read": [reading(X, H[:, layer], run.spec.q) for layer in layers],
        "missed": [missed(run, X, H, which) for which in [*([k] for k in layers), list(layers)]],
    }


def mean(looks: list[Found], what: str, layer: int, k: int) -> float:
    return float(np.mean([found[what][layer][k] for found in looks]))


def in_order(found: Found) -> bool:
    """Whether the current character is read best at the bottom, and the next one at the top."""
    current, following = ([curve[BACK.index(back)] for curve in found["read"]] for back in (0, -1))
    return current == sorted(current, reverse=True) and following == sorted(following)


def spread(looks: list[Found], what: str, by: str, at: tuple[int, ...]) -> list[Found]:
    """A layer's curve in all runs: the mean, the lowest and the highest at every place."""
    rows = []
    for layer, curves in enumerate(zip(*(found[what] for found in looks), strict=True)):
        name = f"layer {layer + 1}" if layer < max(DEPTHS) else "all"
        for k, place in enumerate(at):
            there = [curve[k] for curve in curves]
            row = {"layer": name, by: place, "mean": float(np.mean(there))}
            rows.append(row | {"low": min(there), "high": max(there)})
    return rows


def states(run: Run, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The characters (T, n), and the state of every layer after each of them, (T, L, n, h)."""
    length = (len(tokens) - 1) // ROWS
    [(X, _)] = in_rows(tokens, ROWS, length)
    start = {"H": np.zeros((run.spec.L, ROWS, run.spec.h), "float32")}
    return X, run.model.forward(X, start).trace["H"]


def autocorrelation(H: np.ndarray) -> list[float]:
    """How alike a unit's values are, so many steps apart: 1 for equal, 0 for unrelated; the mean
    over the units. H: (T, n, h)"""
    H = H - H.mean(axis=(0, 1))
    power = (H * H).mean(axis=(0, 1))
    return [float(((H[lag:] * H[:-lag]).mean(axis=(0, 1)) / power).mean()) for lag in LAGS]


def time_scale(curve: list[float]) -> float:
    """After how many steps the curve is below 1/e, on straight lines between the lags."""
    lags, values = (0, *LAGS), (1.0, *curve)
    for k in range(1, len(lags)):
        if values[k] < np.exp(-1):
            share = (values[k - 1] - np.exp(-1)) / (values[k - 1] - values[k])
            return float(lags[k - 1] + share * (lags[k] - lags[k - 1]))
    return float("inf")


def reading(X: np.ndarray, H: np.ndarray, q: int) -> list[float]:
    """How often a linear map, fitted on half of the rows, reads the right character from H on the
    other half. X: (T, n)   H: (T, n, h)"""
    first, half, shares = max(BACK), X.shape[1] // 2, []
    for back in BACK:
        T = np.arange(first, len(X) - 1)
        states, wanted = H[T], X[T - back]
        fit, test = states[:, :half].reshape(-1, H.shape[-1]), states[:, half:]
        A = np.column_stack([fit, np.ones(len(fit))]).astype("float64")
        ridge = 1e-3 * len(A) * np.eye(A.shape[1])
        W = np.linalg.solve(A.T @ A + ridge, A.T @ np.eye(q)[wanted[:, :half].ravel()])
        read = (test @ W[:-1] + W[-1]).argmax(axis=-1)
        shares.append(float((read == wanted[:, half:]).mean()))
    return shares


def most_common(X: np.ndarray) -> float:
    """How often guessing the commonest character is right."""
    return float(np.bincount(X.ravel()).max() / X.size)


def missed(run: Run, X: np.ndarray, H: np.ndarray, layers: list[int]) -> list[float]:
    """By how much the loss is higher, so many characters after the state of some layers has been
    replaced by that of another place in the text; in nats."""
    span, worse, count = max(AFTER), np.zeros(max(AFTER)), 0
    for at in range(span, len(X) - span - 1, span):
        right = {"H": H[at]}
        wrong = {"H": H[at].copy()}
        wrong["H"][layers] = np.roll(H[at][layers], 1, axis=1)
        window, Y = X[at + 1 : at + 1 + span], X[at + 2 : at + 2 + span]
        worse += losses(run, window, Y, wrong) - losses(run, window, Y, right)
        count += 1
    return [float(worse[step - 1] / count) for step in AFTER]


def losses(run: Run, X: np.ndarray, Y: np.ndarray, state: Arrays) -> np.ndarray:
    """The loss of every step, averaged over the examples, (T,)."""
    O, _ = run.model.outputs(X, state)
    O = O.astype("float64") - O.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(O, Y[..., None], axis=-1)[..., 0]
    return (np.log(np.exp(O).sum(axis=-1)) - chosen).mean(axis=1)


def solution_1(backend: str) -> None:
    """The width at which one layer of GRU has as many numbers as three layers of 64."""
    q, h, L = 28, 64, 3

    def numbers(h: int, L: int) -> int:
        spec = ModelSpec("gru", q, h, q, L, (), "after")
        return sum(math.prod(shape) for shape in parameter_shapes(spec).values())

    wide = next(k for k in range(h, 10 * h) if numbers(k, 1) >= numbers(h, L))
    print(f"three layers of {h}: {numbers(h, L)}   one layer of {wide}: {numbers(wide, 1)}")


def solution_2(backend: str) -> None:
    """The time scale of a made state: one that keeps a share z of itself at every step."""
    rng = np.random.RandomState(1)
    for z in (0.0, 0.5, 0.9):
        H = np.zeros((2000, ROWS, 4))
        for t in range(1, len(H)):
            H[t] = z * H[t - 1] + (1 - z) * rng.standard_normal(H[t].shape)
        expected = "0" if z == 0 else f"{-1 / math.log(z):.1f}"
        print(f"z = {z}: time scale {time_scale(autocorrelation(H)):.1f}, −1 / log z = {expected}")


def main(words: list[str] | None = None) -> int:
    return run("why-depth", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
