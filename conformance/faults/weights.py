"""Weights that are read wrongly: transpositions, biases, directions."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from conformance.faults.fault import Fault
from conformance.faults.orders import orders
from conformance.models.layouts import LAYOUTS, letters
from conformance.models.network import Direction, Network


def faults(network: Network, layout: str) -> Iterator[Fault]:
    """Those that can be made with a network, the likeliest first."""
    stacked = LAYOUTS[layout].order[network.cell]
    yield from transpositions(network, layout, stacked)
    yield from biases(network)
    # ncnn's fourth block of a GRU's bias, the candidate's recurrent one, has a place of its own.
    yield from orders(network, stacked, fixed=layout == "ncnn" and network.cell == "gru")
    yield from elsewhere(network)


def blocks(M: np.ndarray, G: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """change(block) of every gate."""
    return np.hstack([change(block) for block in np.split(M, G, axis=1)])


def transpositions(network: Network, layout: str, stacked: str) -> Iterator[Fault]:
    G, rows = len(network.gates), LAYOUTS[layout].form == "rows"

    def turn(M: np.ndarray) -> np.ndarray:
        return blocks(M, G, lambda B: B.T) if M.shape[0] * G == M.shape[1] else M

    def reshaped(M: np.ndarray) -> np.ndarray:
        """The file's block is (h, in), or (in, h), and is read as the other in memory order."""
        if rows:
            return blocks(M, G, lambda B: B.T.reshape(B.shape))
        return blocks(M, G, lambda B: B.reshape(B.shape[::-1]).T)

    def of(part: str, change) -> Callable[[Network], Network]:
        return lambda net: net.each(
            lambda half, _: replace(half, **{p: change(getattr(half, p)) for p in part})
        )

    square = any(half.p * G == half.U.shape[1] for half in network.halves)
    both = square and any(half.d * G == half.W.shape[1] for half in network.halves)
    if square:
        yield Fault("W_h transposed", "every recurrent matrix is transposed", of("U", turn),
                    decides=True)  # fmt: skip
    if both:
        which = "input matrices" if network.L == 1 else "square input matrices"
        yield Fault("W_x transposed", f"the {which} are transposed", of("W", turn), decides=True)
        yield Fault("all transposed", "all square matrices are transposed", of("WU", turn))
    oblong = any(half.d * G != half.W.shape[1] for half in network.halves)
    if oblong:
        how = "reshaped to the transposed shape instead of transposed (memory order kept)"
        yield Fault("W_x reshaped", f"the input matrix's blocks are {how}", of("W", reshaped))
        yield Fault("W_x and W_h reshaped", f"every matrix's blocks are {how}", of("WU", reshaped))
    if G > 1:
        for part, words in (("W", "input matrix is"), ("U", "recurrent matrix is"),
                            ("WU", "input and recurrent matrix are")):  # fmt: skip
            yield Fault(
                f"whole {part} reshaped",
                f"the whole {words} reshaped instead of transposed (memory order kept)",
                of(part, lambda M: whole_reshaped(M, network.gates, stacked, rows)),
            )
    if LAYOUTS[layout].form == "joint" and all(half.project is None for half in network.halves):
        yield Fault("rows of the kernel exchanged", "the kernel's rows are read as those of the "
                    "input above those of the state where the file has the state first, or the "
                    "reverse", lambda net: net.each(state_first))  # fmt: skip
    if any(half.W.shape == half.U.shape for half in network.halves):
        where = " above the first layer" if network.L > 1 and network.d != network.h() else ""

        def exchanged(half: Direction, _: int) -> Direction:
            same = half.W.shape == half.U.shape
            return replace(half, W=half.U, U=half.W) if same else half

        yield Fault("W_x and W_h exchanged", f"input and recurrent matrices are exchanged{where}",
                    lambda net: net.each(exchanged), decides=True)  # fmt: skip


def state_first(half: Direction, _: int) -> Direction:
    kernel = np.vstack([half.W, half.U])
    return replace(half, W=kernel[half.p :], U=kernel[: half.p])


def whole_reshaped(M: np.ndarray, gates: str, stacked: str, rows: bool) -> np.ndarray:
    G, wide = len(gates), M.shape[1]
    file = M.reshape(len(M), G, -1)[:, [gates.index(g) for g in stacked]].reshape(M.shape)
    read = file.T.reshape(M.shape) if rows else file.reshape(wide, len(M)).T
    return read.reshape(len(M), G, -1)[:, [stacked.index(g) for g in gates]].reshape(M.shape)


def biases(network: Network) -> Iterator[Fault]:
    gates, G = network.gates, len(network.gates)

    def of(change: Callable[[np.ndarray, np.ndarray], tuple]) -> Callable[[Network], Network]:
        def one(half: Direction, _: int) -> Direction:
            b_x, b_h = change(half.b_x, half.b_h)
            return replace(half, b_x=b_x, b_h=b_h)

        return lambda net: net.each(one)

    def only(gate: str, factor: float):
        at = gates.index(gate)

        def change(b_x: np.ndarray, b_h: np.ndarray):
            h, weight = len(b_x) // G, np.ones(len(b_x), b_x.dtype)
            weight[at * h : (at + 1) * h] = factor
            return b_x * weight, b_h * weight

        return of(change)

    if network.biases == 2:
        yield Fault("b_h dropped", "the recurrent bias (bias_hh, h2h_bias) is left out and the "
                    "input bias is used", of(lambda x, h: (x, 0 * h)))  # fmt: skip
        yield Fault("b_x dropped", "the input bias (bias_ih, i2h_bias) is left out and the "
                    "recurrent bias is used", of(lambda x, h: (0 * x, h)))  # fmt: skip
        yield Fault("b_h twice", "the recurrent bias (bias_hh) is used twice and the input bias "
                    "(bias_ih) not at all", of(lambda x, h: (h, h)))  # fmt: skip
        yield Fault("b_x twice", "the input bias (bias_ih) is used twice and the recurrent bias "
                    "(bias_hh) not at all", of(lambda x, h: (x, x)))  # fmt: skip
    yield Fault(
        "biases dropped", "the layers' biases are left out", of(lambda x, h: (0 * x, 0 * h))
    )
    yield Fault("biases doubled", "the layers' biases are added twice",
                of(lambda x, h: (2 * x, 2 * h)))  # fmt: skip
    yield Fault("biases negated", "the layers' biases are subtracted", of(lambda x, h: (-x, -h)))
    if network.cell == "gru":
        yield from candidates(network, of)
    for gate in gates if G > 1 else "":
        letter = letters(network.cell, gate)
        yield Fault(f"bias of {letter} dropped", f"the bias of gate {letter} is left out",
                    only(gate, 0))  # fmt: skip
        yield Fault(f"bias of {letter} doubled", f"the bias of gate {letter} is added twice",
                    only(gate, 2), common=False)  # fmt: skip
        yield Fault(f"bias of {letter} negated", f"the bias of gate {letter} is subtracted",
                    only(gate, -1), common=False)  # fmt: skip


def candidates(network: Network, of) -> Iterator[Fault]:
    """The two biases of a GRU's candidate, which are two parameters where the reset acts after."""

    def changed(to_x: tuple, to_h: tuple):
        def change(x: np.ndarray, h: np.ndarray):
            x, h, cut = x.copy(), h.copy(), len(x) // 3 * 2
            a, b = x[cut:].copy(), h[cut:].copy()
            x[cut:], h[cut:] = to_x[0] * a + to_x[1] * b, to_h[0] * a + to_h[1] * b
            return x, h

        return of(change)

    yield Fault("b_xh dropped", "the candidate's input bias b_xh is left out",
                changed((0, 0), (0, 1)))  # fmt: skip
    yield Fault("b_hh dropped", "the candidate's recurrent bias b_hh is left out",
                changed((1, 0), (0, 0)), decides=False)  # fmt: skip
    yield Fault("b_hh doubled", "the candidate's recurrent bias b_hh is added twice",
                changed((1, 0), (0, 2)))  # fmt: skip
    yield Fault("b_xh and b_hh exchanged", "the candidate's biases b_xh and b_hh are exchanged",
                changed((0, 1), (1, 0)))  # fmt: skip
    yield Fault("b_hh folded into b_xh", "b_hh is folded into b_xh, outside the reset gate",
                changed((1, 1), (0, 0)))  # fmt: skip
    yield Fault("b_xh folded into b_hh", "b_xh is folded into b_hh, inside the reset gate",
                changed((0, 0), (1, 1)))  # fmt: skip


def elsewhere(network: Network) -> Iterator[Fault]:
    """What is left out, the output layer, and directions that change places."""
    yield Fault("W_h left out", "the recurrent matrices are left out",
                lambda net: net.each(lambda half, _: replace(half, U=0 * half.U)),
                common=False, decides=True)  # fmt: skip
    yield Fault("W_x left out", "the input matrices are left out",
                lambda net: net.each(lambda half, _: replace(half, W=0 * half.W)),
                common=False, decides=True)  # fmt: skip
    if network.output is not None:
        W = network.output[0]
        square = W.shape[0] == W.shape[1]

        def output(change_W, change_b) -> Callable[[Network], Network]:
            return lambda net: replace(
                net, output=net.output and (change_W(net.output[0]), change_b(net.output[1]))
            )

        yield Fault("b_q dropped", "the output layer's bias is left out",
                    output(lambda W: W, lambda b: 0 * b))  # fmt: skip
        turn = "transposed" if square else "reshaped instead of transposed"
        yield Fault("W_hq transposed", f"the output layer's matrix is {turn}",
                    output(lambda W: W.T if square else W.reshape(W.shape[::-1]).T,
                           lambda b: b))  # fmt: skip
        yield Fault("no output layer", "the output layer is left out",
                    lambda net: replace(net, output=None), common=False)  # fmt: skip
    if network.directions == 2:
        yield Fault("directions exchanged",
                    "the two directions are exchanged: each has the other's weights",
                    lambda net: replace(net, layers=tuple(l[::-1] for l in net.layers)),
                    )  # fmt: skip
        yield Fault("forward weights twice", "both directions use the forward direction's weights",
                    lambda net: replace(net, layers=tuple((l[0], l[0]) for l in net.layers)),
                    common=False)  # fmt: skip
        yield Fault("backward weights twice",
                    "both directions use the backward direction's weights",
                    lambda net: replace(net, layers=tuple((l[1], l[1]) for l in net.layers)),
                    common=False)  # fmt: skip
    peepholes = [half.peephole for half in network.halves]
    if any(p is not None for p in peepholes):
        yield Fault("peepholes dropped", "the peepholes are left out",
                    lambda net: net.each(lambda half, _: replace(half, peephole=None)))  # fmt: skip
        for code in itertools.permutations(range(3)):
            if code != (0, 1, 2):
                names = ", ".join("ifo"[k] for k in code)
                yield Fault(
                    f"peepholes read as {names}",
                    f"the peepholes of i, f and o are taken for those of {names}",
                    lambda net, code=code: net.each(
                        lambda half, _: replace(half, peephole=half.peephole[list(code)])),
                    common=False,
                )  # fmt: skip
