"""Equations and stacking that differ: activations, gates, states, time; and matrix products that
are computed in less precision than their label says."""

import numpy as np

from common.spec import ModelSpec
from conformance.mutants.mapping import times
from conformance.mutants.mutant import (
    ONE_STEP,
    ONE_UNIT,
    Mutant,
    Silence,
    as_wide,
    both,
    deep,
    gated,
    has,
    of,
    one_size,
    one_way,
    reset,
)
from conformance.oracle.conventions import Conventions, activate
from conformance.oracle.equations import PHI, Value, relu, sigmoid, tanh


def hard_sigmoid(slope: float):
    """min(max(slope · a + 1/2, 0), 1): slope 0.2 in Keras 2 and Theano, 1/6 in Keras 3 and torch"""

    def gate(a: Value) -> Value:
        line = a.data * a.data.dtype.type(slope) + a.data.dtype.type(0.5)
        inside = (line > 0) & (line < 1)
        return Value(np.clip(line, 0, 1), ((a, lambda g: g * slope * inside),))

    return gate


def shifted(by: float, a: Value) -> Value:
    return Value(a.data + a.data.dtype.type(by), ((a, lambda g: g),))


def open_gate(a: Value) -> Value:
    return Value(np.ones_like(a.data))


def gates(change, only: str = "ifozr"):
    """``change`` instead of σ, for the gates of ``only``."""

    def found(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        return change(a) if spec.cell != "rnn" and gate in only else activate(spec, layer, gate, a)

    return found


def candidate(change):
    """``change`` instead of the candidate's tanh."""

    def found(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        is_candidate = gate == {"lstm": "c", "gru": "h"}.get(spec.cell)
        return change(a) if is_candidate else activate(spec, layer, gate, a)

    return found


def phi(wrong: str, right: str):
    """φ_l is ``wrong`` wherever it should be ``right``."""

    def found(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
        return PHI[wrong if spec.activations[layer - 1] == right else spec.activations[layer - 1]](
            a
        )

    return found


def phi_reversed(spec: ModelSpec, layer: int, gate: str, a: Value) -> Value:
    return PHI[spec.activations[spec.L - layer]](a)


def mixed_activations(spec: ModelSpec) -> bool:
    return spec.activations != spec.activations[::-1]


def identity(a: Value) -> Value:
    return a


def complement(a: Value) -> Value:
    return sigmoid(a).one_minus()


def residual(X: Value, H: Value) -> Value:
    return X + H if X.data.shape == H.data.shape else H


def stop(state: dict) -> dict:
    return {part: Value(value.data) for part, value in state.items()}


def swapped(state: dict) -> dict:
    return {"H": state["C"], "C": state["H"]}


def zeros(state: dict) -> dict:
    return {part: np.zeros_like(array) for part, array in state.items()}


def layers_turned(state: dict) -> dict:
    return {part: array[::-1] for part, array in state.items()}


def first_only(state: dict) -> dict:
    keep = {part: np.zeros_like(array) for part, array in state.items()}
    for part, array in state.items():
        keep[part][0] = array[0]
    return keep


def batch_first(X: np.ndarray) -> np.ndarray:
    """(T, n, …) taken for (n, T, …) without being transposed."""
    T, n = X.shape[:2]
    return X.reshape(n, T, *X.shape[2:]).swapaxes(0, 1)


def one_step_late(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X[:1], X[:-1]])


def backwards(X: np.ndarray) -> np.ndarray:
    return X[::-1]


def to_bits(bits: int):
    """Round to so many bits after the leading one, as a tensor core rounds its inputs."""

    def rounded(a: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(a)
        scale = a.dtype.type(2.0 ** (bits + 1))
        return np.ldexp(np.rint(mantissa * scale) / scale, exponent)

    return rounded


def single(a: np.ndarray) -> np.ndarray:
    return a.astype("float32")


def products(rounded):
    """Every matrix product, forward and backward, of operands that are rounded first."""

    def product(a: Value, b: Value) -> Value:
        A, B = rounded(a.data), rounded(b.data)
        dtype = a.data.dtype
        return Value(
            (A @ B).astype(dtype),
            (
                (a, lambda g: (rounded(g) @ B.T).astype(dtype)),
                (b, lambda g: (A.T @ rounded(g)).astype(dtype)),
            ),
        )

    return product


ONE_ROW = Silence(lambda case: case.n == 1 or case.T == 1, "with T or n of 1 the layouts are one")


def _act(name: str, says: str, change, applies, **more) -> Mutant:
    return Mutant(name, says, Conventions(activate=change), applies, **more)


def _initial(name: str, says: str, change, applies=lambda spec: True) -> Mutant:
    return Mutant(name, says, Conventions(initial=(change,)), applies)


def _inputs(name: str, says: str, change, silence: Silence) -> Mutant:
    return Mutant(name, says, Conventions(inputs=(change,)), silences=(silence,))


def _products(name: str, says: str, rounded) -> Mutant:
    return Mutant(name, says, Conventions(product=products(rounded)))


FUNCTION = [
    Mutant("reset before", "the reset gate acts before the matrix product (GRU-3b)",
           Conventions(reset=lambda _: "before"), reset("after")),
    Mutant("reset after", "the reset gate acts after the matrix product (GRU-3a)",
           Conventions(reset=lambda _: "after"), reset("before"), (ONE_UNIT,)),
    _act("z is 1 − z", "the update gate is 1 − z: H_t = (1 − z) ⊙ H_{t−1} + z ⊙ H̃",
         gates(complement, "z"), of("gru")),
    _act("r is 1 − r", "the reset gate is 1 − r", gates(complement, "r"), of("gru")),
    _act("f is 1 − f", "the forget gate is 1 − f", gates(complement, "f"), of("lstm")),
    _act("forget bias 1 at run time", "1 is added to the forget gate's pre-activation",
         gates(lambda a: sigmoid(shifted(1, a)), "f"), of("lstm")),
    _act("hard sigmoid, slope 0.2", "gates use the hard sigmoid of slope 0.2 (Keras 2)",
         gates(hard_sigmoid(0.2)), gated),
    _act("hard sigmoid, slope 1/6", "gates use the hard sigmoid of slope 1/6 (torch, Keras 3)",
         gates(hard_sigmoid(1 / 6)), gated),
    _act("tanh for sigmoid", "gates use tanh instead of σ", gates(tanh), gated),
    _act("sigmoid of twice", "gates use σ(2a)", gates(lambda a: sigmoid(times(2, a))), gated),
    _act("candidate relu", "the candidate uses relu instead of tanh", candidate(relu), gated),
    _act("candidate sigmoid", "the candidate uses σ instead of tanh", candidate(sigmoid), gated),
    _act("candidate without tanh", "the candidate has no activation", candidate(identity), gated),
    _act("relu for tanh", "φ is relu instead of tanh", phi("relu", "tanh"), has("tanh")),
    _act("sigmoid for tanh", "φ is σ instead of tanh", phi("sigmoid", "tanh"), has("tanh")),
    _act("identity for tanh", "φ is missing instead of tanh", phi("identity", "tanh"), has("tanh")),
    _act("tanh for relu", "φ is tanh instead of relu", phi("tanh", "relu"), has("relu")),
    _act("identity for relu", "φ is missing instead of relu", phi("identity", "relu"), has("relu")),
    _act("tanh for sigmoid, rnn", "φ is tanh instead of σ", phi("tanh", "sigmoid"), has("sigmoid")),
    _act("activations in reverse order", "φ_1 … φ_L are assigned from the top down", phi_reversed,
         mixed_activations),
    _act("no output gate", "the output gate is left out", gates(open_gate, "o"), of("lstm")),
    _act("no forget gate", "the forget gate is left out", gates(open_gate, "f"), of("lstm")),
    _act("no input gate", "the input gate is left out", gates(open_gate, "i"), of("lstm")),
    _act("no reset gate", "the reset gate is left out", gates(open_gate, "r"), of("gru")),
    Mutant("H without tanh(C)", "H_t = o ⊙ C_t, without tanh",
           Conventions(cell_output=identity), of("lstm")),
    Mutant("H of sigmoid(C)", "H_t = o ⊙ σ(C_t)", Conventions(cell_output=sigmoid), of("lstm")),
    _initial("initial state ignored", "the initial state is ignored", zeros),
    _initial("initial H and C exchanged", "the initial H and C are exchanged", swapped,
             both(of("lstm"), as_wide)),
    _initial("initial state upside down", "the layers' initial states are in reverse order",
             layers_turned, both(deep(2), one_way)),
    _initial("initial state of layer 1 only", "only the first layer gets its initial state",
             first_only, both(deep(2), one_way)),
    Mutant("H and C given back exchanged", "H and C are exchanged in what is given back",
           Conventions(reported=(swapped,)), both(of("lstm"), as_wide)),
    Mutant("states given back upside down", "the layers' states are given back in reverse order",
           Conventions(reported=(lambda s: {p: a[:, ::-1] for p, a in s.items()},)),
           both(deep(2), one_way)),
    Mutant("last layer ignored", "the output is read from the layer below the last",
           Conventions(reads=lambda before, after: after[-2]["H"]), both(deep(2), one_size)),
    Mutant("output read from layer 1", "the output is read from the first layer",
           Conventions(reads=lambda before, after: after[0]["H"]), both(deep(3), one_size)),
    Mutant("output read from C", "the output is read from C instead of H",
           Conventions(reads=lambda before, after: after[-1]["C"]), both(of("lstm"), as_wide)),
    Mutant("output one step late", "O_t is read from H_{t−1}",
           Conventions(reads=lambda before, after: before[-1]["H"])),
    Mutant("layers in reverse order", "the layers above the first are stacked in reverse order",
           Conventions(order=lambda L: [1, *range(L, 1, -1)]), both(deep(3), one_size)),
    Mutant("residual connections", "layers between first and last add their input to H",
           Conventions(passes_up=residual), both(deep(3), one_size)),
    _inputs("T and n exchanged", "X (T, n, d) is read as (n, T, d)", batch_first, ONE_ROW),
    _inputs("input one step late", "X_{t−1} is read at step t", one_step_late, ONE_STEP),
    _inputs("time reversed", "the steps are read from the last to the first", backwards, ONE_STEP),
]  # fmt: skip

NUMERICS = [
    _products("float32 products", "matrix products are computed in float32", single),
    _products("TF32 products", "matrix products round their operands to TF32 (10 bits)",
              to_bits(10)),
    _products("bfloat16 products", "matrix products round their operands to bfloat16 (7 bits)",
              to_bits(7)),
]  # fmt: skip
