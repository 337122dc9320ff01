"""Weights that are read wrongly on their way into a framework's layers."""

import itertools

import numpy as np

from common.parameters import GATES, Arrays
from common.spec import ModelSpec
from conformance.mutants.mutant import (
    ONE_UNIT,
    Mutant,
    as_wide,
    both,
    deep,
    gated,
    of,
    one_way,
    reset,
)
from conformance.oracle.conventions import Conventions, Parameters
from conformance.oracle.equations import Value

LETTERS = {"lstm": {"i": "i", "f": "f", "o": "o", "c": "g"}, "gru": {"z": "z", "r": "r", "h": "n"}}
"""The gates as frameworks' documentation calls them."""


def turned(a: Value) -> Value:
    return Value(a.data.T, ((a, lambda g: g.T),))


def as_it_lies(W: Value) -> Value:
    """Of a matrix that a file has transposed: its numbers in the order in which they lie there."""
    shape = W.data.shape

    def back(g: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(g).reshape(shape[::-1]).T

    return Value(W.data.T.reshape(shape), ((W, back),))


def times(factor: float, a: Value) -> Value:
    factor = a.data.dtype.type(factor)
    return Value(factor * a.data, ((a, lambda g: factor * g),))


def nothing(a: Value) -> Value:
    """Zeros in place of a parameter, which then has no gradient."""
    return Value(np.zeros_like(a.data))


def gate_order(cell: str, order: str):
    """Where gate g's block is expected, the block of ``order``'s gate lies."""
    source = dict(zip(GATES[cell], order, strict=True))

    def read(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
        found = {}
        for name in p:
            kind, gate = name[:-1], name[-1]
            if gate not in source or kind == "P_":  # a projection; peepholes lie by themselves
                found[name] = p[name]
                continue
            # The reset-after GRU's candidate has b_xh and b_hh where the other gates have b_g.
            wanted = f"{kind}{source[gate]}"
            if wanted not in p:
                wanted = f"b_{source[gate]}" if kind == "b_x" else f"b_x{source[gate]}"
            found[name] = nothing(p[name]) if kind == "b_h" and source["h"] != "h" else p[wanted]
        return found

    return read


def _orders(cell: str) -> list[Mutant]:
    right = GATES[cell]
    found = []
    for order in map("".join, itertools.permutations(right)):
        if order != right:
            name = f"gates read as {letters(cell, order)}"
            conventions = Conventions(read=(gate_order(cell, order),))
            says = says_of_order(cell, order)
            found.append(Mutant(name, says, conventions, of(cell), order=order))
    return found


def letters(cell: str, gates: str) -> str:
    return ",".join(LETTERS[cell][gate] for gate in gates)


def says_of_order(cell: str, order: str) -> str:
    """A wrong order of gates: what the blocks are, and what the code takes them for.

    order: whose block is read for each gate, in canonical order; so the block of gate g is taken
    for the gate in whose place g stands"""
    right = GATES[cell]
    taken = "".join(right[order.index(gate)] for gate in right)
    return f"the gates {letters(cell, right)} are taken for {letters(cell, taken)}"


def transposed(kind: str):
    """``kind``: W_x or W_h; W_xh of the first layer is d × h and cannot be transposed unnoticed."""

    def read(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
        return {
            n: turned(a) if n.startswith(kind) and a.data.shape[0] == a.data.shape[1] else a
            for n, a in p.items()
        }

    return read


def square(spec: ModelSpec) -> bool:
    """Whether the input matrices above the first layer have the recurrent ones' shape."""
    return spec.even and as_wide(spec)


def exchanged(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    """W_x for W_h and the reverse, where they have one shape."""
    if layer == 1:
        return p
    other = {"W_x": "W_h", "W_h": "W_x"}
    return {n: p[other[n[:3]] + n[3:]] if n[:3] in other else a for n, a in p.items()}


def biases(change, only=lambda name: True):
    def read(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
        return {n: change(a) if n.startswith("b_") and only(n) else a for n, a in p.items()}

    return read


def renamed(**names: str):
    """``renamed(b_i="b_f")`` reads b_f where b_i belongs."""
    return lambda spec, layer, p: {n: p[names.get(n, n)] for n in p}


def folded(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    return p | {"b_xh": p["b_xh"] + p["b_hh"], "b_hh": nothing(p["b_hh"])}


def folded_inside(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
    return p | {"b_hh": p["b_xh"] + p["b_hh"], "b_xh": nothing(p["b_xh"])}


def without_b_q(p: dict) -> dict:
    return p | {"b_q": nothing(p["b_q"])}


def forget_bias_at_init(spec: ModelSpec, params: Arrays) -> Arrays:
    return {n: a + a.dtype.type(1) if n.endswith(".b_f") else a for n, a in params.items()}


def _mutant(name: str, says: str, read, applies=lambda spec: True, **more) -> Mutant:
    return Mutant(name, says, Conventions(read=(read,)), applies, **more)


ORDERS = [*_orders("lstm"), *_orders("gru")]

MAPPING = [
    *ORDERS,
    _mutant(
        "W_h transposed",
        "every recurrent matrix is transposed",
        transposed("W_h"),
        as_wide,  # with a projection it is no square
        silences=(ONE_UNIT,),
    ),
    _mutant(
        "W_x transposed",
        "the input matrices above the first layer are transposed",
        transposed("W_x"),
        both(deep(2), one_way, square),  # otherwise W_x is no square
        silences=(ONE_UNIT,),
    ),
    _mutant(
        "W_x and W_h exchanged",
        "input and recurrent matrices are exchanged above the first layer",
        exchanged,
        both(deep(2), one_way, square),
    ),
    _mutant("biases dropped", "the layers' biases are left out", biases(nothing)),
    _mutant("biases doubled", "the layers' biases are added twice", biases(lambda a: times(2, a))),
    _mutant("biases negated", "the layers' biases are subtracted", biases(lambda a: times(-1, a))),
    _mutant(
        "first gate's bias dropped",
        "the bias of the first gate (i, or z) is left out",
        biases(nothing, lambda n: n in ("b_i", "b_z")),
        gated,
    ),
    _mutant(
        "candidate's bias dropped",
        "the candidate's bias is left out",
        biases(nothing, lambda n: n in ("b_c", "b_h", "b_xh")),
        gated,
    ),
    _mutant("b_i and b_f exchanged", "the biases b_i and b_f are exchanged",
            renamed(b_i="b_f", b_f="b_i"), of("lstm")),
    _mutant("b_z and b_r exchanged", "the biases b_z and b_r are exchanged",
            renamed(b_z="b_r", b_r="b_z"), of("gru")),
    _mutant("b_hh dropped", "the candidate's recurrent bias b_hh is left out",
            biases(nothing, lambda n: n == "b_hh"), reset("after")),
    _mutant("b_hh doubled", "the candidate's recurrent bias b_hh is added twice",
            biases(lambda a: times(2, a), lambda n: n == "b_hh"), reset("after")),
    _mutant("b_xh and b_hh exchanged", "the candidate's biases b_xh and b_hh are exchanged",
            renamed(b_xh="b_hh", b_hh="b_xh"), reset("after")),
    _mutant("b_hh folded into b_xh", "b_hh is folded into b_xh, outside the reset gate",
            folded, reset("after")),
    _mutant("b_xh folded into b_hh", "b_xh is folded into b_hh, inside the reset gate",
            folded_inside, reset("after")),
    Mutant("b_q dropped", "the output layer's bias is left out",
           Conventions(read_output=(without_b_q,))),
    Mutant("forget bias 1 at init", "1 is added to b_f before training",
           Conventions(initialised=(forget_bias_at_init,)), of("lstm")),
]  # fmt: skip
