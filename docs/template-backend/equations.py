"""The equations of common/EQUATIONS.md in your framework, op by op, differentiated by it.

For each function: the equation, the shapes. Write what the docstring says.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from common.spec import ModelSpec

Tensor = Any
"""Your framework's own."""
State = dict[str, Tensor]


def input_products(spec: ModelSpec, p: State, X: Tensor) -> State:
    """A_g = X W_xg + b_g, of all steps and by gate; the reset-after GRU's candidate takes b_xh.

    X: (T, n, d or h)   returns A_g: (T, n, h) each
    """
    raise NotImplementedError("equations.py: input_products is not written yet")


def rnn_step(p: State, phi: str, A: State, H: Tensor) -> Tensor:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    A: X W_xh + b_h, (n, h)   H: (n, h)   returns H': (n, h)
    """
    raise NotImplementedError("equations.py: rnn_step is not written yet")


def gru_step(p: State, reset: str | None, A: State, H: Tensor) -> Tensor:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    A: X W_xg and the bias beside it, (n, h) for each gate   H: (n, h)   returns H': (n, h)
    """
    raise NotImplementedError("equations.py: gru_step is not written yet")


def lstm_step(
    p: State, kappa: float | None, A: State, H: Tensor, C: Tensor
) -> tuple[Tensor, Tensor]:
    """i  = σ(X W_xi + H W_hi + b_i)      (LSTM-1)
    f  = σ(X W_xf + H W_hf + b_f)         (LSTM-2)
    o  = σ(X W_xo + H W_ho + b_o)         (LSTM-3)
    C̃  = tanh(X W_xc + H W_hc + b_c)     (LSTM-4)
    C' = f ⊙ C + i ⊙ C̃                   (LSTM-5)
    H' = o ⊙ tanh(C')                     (LSTM-6)
    H' = (o ⊙ tanh(C')) W_hp              (LSTM-7, with a projection)
    i, f and o also see P_i ⊙ C, P_f ⊙ C and P_o ⊙ C'  (LSTM-8 to LSTM-10, with peepholes)
    and what σ and tanh read is clipped to −κ … κ      (LSTM-11, with a κ)

    A: X W_xg + b_g, (n, h) for each gate   H, C: (n, h)   returns H', C': (n, h); or H, H': (n, p)
    """
    raise NotImplementedError("equations.py: lstm_step is not written yet")


def peeped(p: State, gate: str, a: Tensor, C: Tensor) -> Tensor:
    """a + P_g ⊙ C, where there are peepholes   (LSTM-8 to LSTM-10)"""
    raise NotImplementedError("equations.py: peeped is not written yet")


def clipped(kappa: float | None, a: Tensor) -> Tensor:
    """min(max(a, −κ), κ), where there is a κ   (LSTM-11)"""
    raise NotImplementedError("equations.py: clipped is not written yet")


def layer_step(spec: ModelSpec, layer: int, p: State, A: State, state: State) -> State:
    """One step of layer 1 … L, whichever cell it is; each part of the state is (n, h)."""
    raise NotImplementedError("equations.py: layer_step is not written yet")


def direction(
    spec: ModelSpec,
    layer: int,
    backward: bool,
    params: State,
    X: Tensor,
    state: State,
    within: Tensor | None = None,
) -> list[State]:
    """The state after every step of one direction of layer 1 … L, (n, h) for each part, by step.

    →H_t = step of X_t and →H_{t−1},  t = 1 … T      (BI-1)
    ←H_t = step of X_t and ←H_{t+1},  t = T … 1      (BI-2, backward)
    H_t stays as it is where step t is not the example's own   (LEN-2)

    X: (T, n, d or D·h)   state: (D·L, n, h) for each part   within: (T, n, 1)
    """
    raise NotImplementedError("equations.py: direction is not written yet")


def chosen(where: Tensor, one: State, other: State) -> State:
    """Every part of one state where it says so, of the other elsewhere."""
    raise NotImplementedError("equations.py: chosen is not written yet")


def ended(steps: Tensor, within: Tensor | None) -> Tensor:
    """0 in the place of what is behind an example's end   (LEN-3)"""
    raise NotImplementedError("equations.py: ended is not written yet")


def joined(halves: Sequence[list[State]]) -> Tensor:
    """H_t = [→H_t, ←H_t], (T, n, D·h), of the directions that there are   (BI-3)"""
    raise NotImplementedError("equations.py: joined is not written yet")


def dropped(H: Tensor, layer: int, kept: Sequence[Tensor]) -> Tensor:
    """M ⊙ H / (1 − r), what layer + 1 receives   (DROP-1)

    kept: M / (1 − r) of every layer but the last, (T, n, D·h) each; empty if nothing is dropped
    """
    raise NotImplementedError("equations.py: dropped is not written yet")


def cross_entropy(O: Tensor, Y: Tensor, within: Tensor | None = None) -> Tensor:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)

    within: (T, n, 1), the predictions that there are   (LEN-4)
    """
    raise NotImplementedError("equations.py: cross_entropy is not written yet")


class Equations:
    """The stack of layers and its parameters, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)
    """

    def __init__(self, spec: ModelSpec, params: State) -> None:
        raise NotImplementedError("equations.py: Equations.__init__ is not written yet")

    def __call__(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> tuple[Tensor, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        raise NotImplementedError("equations.py: Equations.__call__ is not written yet")

    def steps(
        self, X: Tensor, state: State, within: Tensor | None, kept: Sequence[Tensor]
    ) -> tuple[Tensor, list[list[State]]]:
        """H of the top layer, (T, n, D·h), and the state after every step, (n, h) for each part, by
        layer and direction."""
        raise NotImplementedError("equations.py: Equations.steps is not written yet")

    def last(self, trace: list[list[State]]) -> State:
        """The last state of each direction of each layer: the backward one ends at step 1."""
        raise NotImplementedError("equations.py: Equations.last is not written yet")

    def trace(
        self,
        X: Tensor,
        state: State,
        within: Tensor | None = None,
        kept: Sequence[Tensor] = (),
    ) -> list[State]:
        """The state of all layers, (L, n, h) for each part, after every step."""
        raise NotImplementedError("equations.py: Equations.trace is not written yet")

    def canonical(self, read: Callable[[Tensor], Tensor]) -> dict[str, np.ndarray]:
        """What ``read`` takes from each parameter, its value or its gradient, by canonical name."""
        raise NotImplementedError("equations.py: Equations.canonical is not written yet")


def by_step(A: State) -> Iterator[State]:
    """The input products of one step after another, (n, h) by gate."""
    raise NotImplementedError("equations.py: by_step is not written yet")


def stacked(layers: Sequence[State]) -> State:
    """The states of all layers in one tensor, (L, n, h) for each part."""
    raise NotImplementedError("equations.py: stacked is not written yet")


def in_rows(rows: Sequence[Tensor]) -> Tensor:
    """One tensor, (L, n, h), as wide as the widest: a smaller layer has zeros behind its own."""
    raise NotImplementedError("equations.py: in_rows is not written yet")


def widened(row: Tensor, size: int) -> Tensor:
    """So many columns: zeros behind those that there are."""
    raise NotImplementedError("equations.py: widened is not written yet")
