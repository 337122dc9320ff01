"""Cross-entropies that are wrong for large outputs, or with a NaN, each with its own gradient."""

import numpy as np

from conformance.oracle.equations import Value


def loss_of(logs):
    """Cross-entropy as −mean of ``logs(O, Y)``, (n,), which also gives its derivative by O."""

    def loss(O: Value, Y: np.ndarray, count: int, weights: np.ndarray | None = None) -> Value:
        value, slope = logs(O.data, Y)
        if weights is not None:
            weights = weights.astype(O.data.dtype)
            value, slope = weights * value, weights[:, None] * slope
        number = O.data.dtype.type(count)
        return Value(-value.sum() / number, ((O, lambda g: -g * slope / number),))

    return loss


def softmax(O: np.ndarray) -> np.ndarray:
    e = np.exp(O - O.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def chosen(p: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p[Y], and δ − p."""
    slope, rows = -p, np.arange(len(Y))
    slope[rows, Y] += 1
    return p[rows, Y], slope


def unshifted(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = np.exp(O)
    p, slope = chosen(e / e.sum(axis=1, keepdims=True), Y)
    return np.log(p), slope


def floored(added: float):
    """log(p + ε), as some write it."""

    def logs(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, slope = chosen(softmax(O), Y)
        return np.log(p + added), slope * (p / (p + added))[:, None]

    return logs


def between(least: float):
    """Probabilities held between ε and 1 − ε, as Keras' losses on probabilities do."""

    def logs(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, slope = chosen(softmax(O), Y)
        inside = (p >= least) & (p <= 1 - least)
        return np.log(np.clip(p, least, 1 - least)), slope * inside[:, None]

    return logs


def capped(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value stops at −log 10⁻⁸ = 18.42, the gradient does not (MXNet's operator)."""
    p, slope = chosen(softmax(O), Y)
    return np.log(np.maximum(p, 1e-8)), slope


def half(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, slope = chosen(softmax(O), Y)
    logs = np.log(p).astype("float16").astype(O.dtype)
    return logs, slope


def no_nan(O: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, slope = chosen(softmax(O), Y)
    return np.nan_to_num(np.log(p)), np.nan_to_num(slope)
