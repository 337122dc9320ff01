"""What the tensors may be that a layout gives no place: nothing is passed over in silence."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from common.parameters import GATES, Arrays
from conformance.models.network import Network

WORDS = (
    (r"reverse|backward|\bbw\b", "a backward direction"),
    (r"weight_[ih]h|bias_[ih]h|[ih]2h_|recurrent_kernel", "of a second RNN"),
    (r"batch_?norm|running_|\bbn\d*\b", "batch normalisation"),
    (r"norm|\bln\d*\b|_ln|gamma|beta", "a layer normalisation"),
    (r"peep|diag|\bP\b|w_?[ifo]c\b|w_?c[ifo]\b|weight_c[ifo]", "peepholes"),
    (r"weight_hr|projection|h2r", "a projection of the hidden state"),
    (r"embed|token", "an embedding"),
    (r"atten|query|score", "an attention"),
    (r"initial|\bh_?0\b|\bc_?0\b", "an initial state that is learned"),
    (r"scale|zero_point|packed", "what a quantised network is scaled with"),
    (r"num_batches|seed|counter|step", "a counter"),
    (r"mask|dropout", "a dropout"),
)
"""What a name gives away, the first that fits."""

OUTPUT = r"fc|linear|dense|out|logit|head|classif|proj|decoder|predict|affine|softmax|W_hq|b_q"


@dataclass(frozen=True)
class Head:
    """Two tensors that may be an output layer: W (p, q), b (q,), and their names."""

    W: np.ndarray
    b: np.ndarray
    names: tuple[str, ...]


def heads(left: Arrays, sizes: set[int], q: int) -> Iterator[Head]:
    """The leftovers that make q outputs of a state of one of these sizes: matrices (p, q) or
    (q, p), each with the bias that stands beside it, or with the only one of that size."""
    for name, W in left.items():
        if W.ndim != 2:
            continue
        stem = re.split(r"[._/](?=[^._/]*$)", name)[0]
        beside = [
            n for n, b in left.items() if n != name and n.startswith(stem) and b.shape == (q,)
        ]
        others = [n for n, b in left.items() if b.shape == (q,)]
        beside = beside or (others if len(others) == 1 else [])
        b = left[beside[0]].astype("float64") if beside else np.zeros(q)
        for M in (W, W.T) if W.shape[0] != W.shape[1] else (W.T, W):
            if M.shape[0] in sizes and M.shape[1] == q:
                yield Head(M.astype("float64"), b, (name, *beside[:1]))


def guess(name: str, array: np.ndarray, network: Network) -> str:
    """In words, from its name and its shape."""
    low = name.lower()
    for pattern, words in WORDS:
        if re.search(pattern, low if pattern != r"\bP\b" else name):
            return words
    G, h = len(GATES[network.cell]), network.h(-1)
    p = sum(half.p for half in network.layers[-1])
    if array.ndim == 2 and (re.search(OUTPUT, low) or p in array.shape):
        recurrent = {(G * h, h), (h, G * h)}
        if array.shape in recurrent and not re.search(OUTPUT, low):
            return "a second RNN's matrix"
        return "an output layer"
    if array.ndim == 1 and re.search(OUTPUT, low):
        return "an output layer's bias"
    if array.ndim == 2 and max(array.shape) % (3 * min(array.shape)) == 0:
        return "a second RNN's matrix"
    if array.shape == (h,):
        return "one number for each unit: a peephole, or a normalisation's gain or shift"
    return "nothing that is known here"


def normalised(
    left: Arrays, network: Network, order: str
) -> tuple[Network, tuple[str, ...]] | None:
    """The network with a gain and a shift for each layer, if the leftovers hold such of the size of
    all gates together; and their names. order: of the gates in the file"""
    size = len(GATES[network.cell]) * network.h()
    like = {
        n: a
        for n, a in left.items()
        if a.shape == (size,) and guess(n, a, network).startswith("a l")
    }
    gains = [n for n in like if re.search(r"weight|gamma|scale|gain|_g\b", n.lower())]
    shifts = [n for n in like if n not in gains]
    if network.directions > 1 or not len(gains) == len(shifts) == network.L:
        return None
    into = [order.index(gate) for gate in network.gates]

    def sorted_(a: np.ndarray) -> np.ndarray:
        return a.astype("float64").reshape(len(order), -1)[into].reshape(-1)

    layers = tuple(
        (replace(layer[0], gain=sorted_(like[g]), shift=sorted_(like[s])),)
        for layer, g, s in zip(network.layers, sorted(gains), sorted(shifts), strict=True)
    )
    return replace(network, layers=layers), (*gains, *shifts)
