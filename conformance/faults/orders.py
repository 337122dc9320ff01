"""Orders of gates: the file's blocks taken for other gates than they are."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from conformance.faults.fault import Fault
from conformance.models.layouts import LAYOUTS, letters
from conformance.models.network import Direction, Network


def owners(cell: str, order: str) -> str:
    """Whose order of gates it is."""
    names = [n for n, layout in LAYOUTS.items() if layout.order.get(cell) == order]
    known = [n for n in ("pytorch", "onnx", "keras", "tf1", "dl4j", "coreml") if n in names]
    return known[0] if known else ""


def orders(network: Network, stacked: str, fixed: bool = False) -> Iterator[Fault]:
    """Every other order: block k of the file, which is gate ``stacked``[k], taken for another.
    fixed: the recurrent bias is not among the blocks"""
    cell, bias = network.cell, "x" if fixed else "b"
    for code in map("".join, itertools.permutations(stacked)):
        if code == stacked:
            continue
        whose = owners(cell, code)
        told = f", the order of {whose}" if whose else ""
        says = (
            f"the code takes the blocks, which are {letters(cell, stacked)} in the file, "
            f"for {letters(cell, code)}{told}"
        )
        short = letters(cell, code).replace(" ", "")
        yield Fault(
            f"gates taken for {short}", says,
            lambda net, code=code: permuted(net, stacked, code, f"WU{bias}"),
            order=code, decides=True,
        )  # fmt: skip
        for part, name, words in (
            (bias, "b", "biases'"), ("W", "W", "input matrices'"), ("U", "U", "recurrent matrices'")
        ):  # fmt: skip
            yield Fault(
                f"gates of {name} taken for {short}",
                says.replace("the blocks", f"the {words} blocks"),
                lambda net, code=code, part=part: permuted(net, stacked, code, part), common=False,
            )  # fmt: skip
    if cell != "rnn":
        yield Fault(
            "gates interleaved",
            "the gates are read unit by unit, (h, G), where the file has gate by gate, (G, h), or "
            "the reverse",
            lambda net: interleaved(net, stacked),
        )


def source(stacked: str, code: str, gate: str) -> str:
    """The gate whose block the code uses as ``gate``."""
    return stacked[code.index(gate)]


def permuted(network: Network, stacked: str, code: str, part: str) -> Network:
    """part: which of W, U, and of the biases b both or x the input's."""
    gates = network.gates
    into = [gates.index(source(stacked, code, gate)) for gate in gates]

    def change(half: Direction, _: int) -> Direction:
        def moved(M: np.ndarray) -> np.ndarray:
            return M.reshape(-1, len(gates), M.shape[-1] // len(gates))[:, into].reshape(M.shape)

        found = {}
        if "W" in part:
            found["W"] = moved(half.W)
        if "U" in part:
            found["U"] = moved(half.U)
        if "b" in part or "x" in part:
            found["b_x"] = moved(half.b_x)
        if "b" in part:
            found["b_h"] = moved(half.b_h)
        return replace(half, **found)

    return network.each(change)


def interleaved(network: Network, stacked: str) -> Network:
    """In the file's order: the code's block k of unit u is the file's number u·G + k."""
    gates = network.gates
    G = len(gates)
    to_file = [gates.index(gate) for gate in stacked]
    back = [stacked.index(gate) for gate in gates]

    def change(half: Direction, _: int) -> Direction:
        def moved(M: np.ndarray) -> np.ndarray:
            file = M.reshape(-1, G, M.shape[-1] // G)[:, to_file].reshape(len(np.atleast_2d(M)), -1)
            read = file.reshape(len(file), -1, G).swapaxes(1, 2)
            return read[:, back].reshape(M.shape)

        b = {"b_x": moved(half.b_x), "b_h": moved(half.b_h)}
        return replace(half, W=moved(half.W), U=moved(half.U), **b)

    return network.each(change)
