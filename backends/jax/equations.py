"""The equations of common/EQUATIONS.md in JAX, op by op, differentiated by jax.grad.

A layer's loop over time is ``lax.scan``, which XLA compiles as one loop. The products with the
inputs need no state, so they are made before the loop, for all steps at once:
A_g = X W_xg + b_g for every gate g.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.lax import logistic as sigmoid
from jax.nn import relu

from backends.jax.runtime import tanh, to_array
from common.parameters import GATES, layer_parameters, parameter_shapes, prefix, state_of
from common.spec import ModelSpec

State = dict[str, Array]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "identity": lambda a: a,
}


def input_products(spec: ModelSpec, p: State, X: Array) -> State:
    """A_g = X W_xg + b_g, of all steps and by gate; the reset-after GRU's candidate takes b_xh.

    X: (T, n, d or h)   returns A_g: (T, n, h) each
    """
    biases = {gate: f"b_{gate}" for gate in GATES[spec.cell]}
    if spec.reset == "after":
        biases["h"] = "b_xh"
    return {gate: X @ p[f"W_x{gate}"] + p[bias] for gate, bias in biases.items()}


def rnn_step(p: State, phi: str, A: State, H: Array) -> Array:
    """H' = φ(X W_xh + H W_hh + b_h)   (RNN-1)

    A: X W_xh + b_h, (n, h)   H: (n, h)   returns H': (n, h)
    """
    return ACTIVATIONS[phi](A["h"] + H @ p["W_hh"])


def gru_step(p: State, reset: str | None, A: State, H: Array) -> Array:
    """z  = σ(X W_xz + H W_hz + b_z)                 (GRU-1)
    r  = σ(X W_xr + H W_hr + b_r)                    (GRU-2)
    H̃  = tanh(X W_xh + b_xh + r ⊙ (H W_hh + b_hh))  (GRU-3a, reset after)
    H̃  = tanh(X W_xh + (r ⊙ H) W_hh + b_h)          (GRU-3b, reset before)
    H' = z ⊙ H + (1 − z) ⊙ H̃                        (GRU-4)

    A: X W_xg and the bias beside it, (n, h) for each gate   H: (n, h)   returns H': (n, h)
    """
    z = sigmoid(A["z"] + H @ p["W_hz"])
    r = sigmoid(A["r"] + H @ p["W_hr"])
    if reset == "after":
        candidate = tanh(A["h"] + r * (H @ p["W_hh"] + p["b_hh"]))
    else:
        candidate = tanh(A["h"] + (r * H) @ p["W_hh"])
    return z * H + (1 - z) * candidate


def lstm_step(p: State, kappa: float | None, A: State, H: Array, C: Array) -> tuple[Array, Array]:
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
    i = sigmoid(clipped(kappa, peeped(p, "i", A["i"] + H @ p["W_hi"], C)))
    f = sigmoid(clipped(kappa, peeped(p, "f", A["f"] + H @ p["W_hf"], C)))
    candidate = tanh(clipped(kappa, A["c"] + H @ p["W_hc"]))
    C = f * C + i * candidate
    o = sigmoid(clipped(kappa, peeped(p, "o", A["o"] + H @ p["W_ho"], C)))
    H = o * tanh(C)
    return H @ p["W_hp"] if "W_hp" in p else H, C


def peeped(p: State, gate: str, a: Array, C: Array) -> Array:
    """a + P_g ⊙ C, where there are peepholes   (LSTM-8 to LSTM-10)"""
    return a + p[f"P_{gate}"] * C if f"P_{gate}" in p else a


def clipped(kappa: float | None, a: Array) -> Array:
    """min(max(a, −κ), κ), where there is a κ   (LSTM-11)"""
    # jnp.clip halves the gradient at κ itself.
    return a if kappa is None else jnp.where(jnp.abs(a) > kappa, jnp.sign(a) * kappa, a)


def layer_step(spec: ModelSpec, layer: int, p: State, A: State, state: State) -> State:
    """One step of layer 1 … L, whichever cell it is; each part of the state is (n, h)."""
    if spec.cell == "rnn":
        return {"H": rnn_step(p, spec.activations[layer - 1], A, state["H"])}
    if spec.cell == "gru":
        return {"H": gru_step(p, spec.reset, A, state["H"])}
    H, C = lstm_step(p, spec.gate_clip, A, state["H"], state["C"])
    return {"H": H, "C": C}


def direction(
    spec: ModelSpec,
    layer: int,
    backward: bool,
    p: State,
    X: Array,
    state: State,
    within: Array | None = None,
) -> tuple[State, State]:
    """The last state, (n, h) for each part, and those after every step, (T, n, h), of one direction
    of layer 1 … L.

    →H_t = step of X_t and →H_{t−1},  t = 1 … T      (BI-1)
    ←H_t = step of X_t and ←H_{t+1},  t = T … 1      (BI-2, backward)
    H_t stays as it is where step t is not the example's own   (LEN-2)

    X: (T, n, d or D·h)   state: (D·L, n, h) for each part   within: (T, n, 1)
    """

    def step(now: State, at: tuple[State, Array | None]) -> tuple[State, State]:
        A, own = at
        made = layer_step(spec, layer, p, A, now)
        now = made if own is None else chosen(own, made, now)
        return now, now

    start = state_of(spec, state, layer, backward)
    return lax.scan(step, start, (input_products(spec, p, X), within), reverse=backward)


def chosen(where: Array, one: State, other: State) -> State:
    """Every part of one state where it says so, of the other elsewhere."""
    return {part: jnp.where(where, one[part], other[part]) for part in one}


def ended(steps: Array, within: Array | None) -> Array:
    """0 in the place of what is behind an example's end   (LEN-3)"""
    return steps if within is None else jnp.where(within, steps, 0)


def joined(halves: list[State]) -> Array:
    """H_t = [→H_t, ←H_t], (T, n, D·h), of the directions that there are   (BI-3)"""
    H = [steps["H"] for steps in halves]
    return H[0] if len(H) == 1 else jnp.concatenate(H, axis=-1)


def dropped(H: Array, layer: int, kept: Sequence[Array]) -> Array:
    """M ⊙ H / (1 − r), what layer + 1 receives   (DROP-1)

    kept: M / (1 − r) of every layer but the last, (T, n, D·h) each; empty if nothing is dropped
    """
    return H * kept[layer - 1] if layer <= len(kept) else H


def cross_entropy(O: Array, Y: Array, within: Array | None = None) -> Array:
    """ℓ = −1/(T·n) Σ log softmax(O)[Y]   (LOSS-1)   O: (T, n, q)   Y: (T, n)

    within: (T, n, 1), the predictions that there are   (LEN-4)
    """
    shifted = O - lax.stop_gradient(O.max(axis=-1, keepdims=True))
    chosen = jnp.take_along_axis(shifted, Y[..., None], axis=-1)[..., 0]
    # XLA's sum adds one by one: step by step and then over the steps, it rounds far less.
    losses = jnp.log(jnp.exp(shifted).sum(axis=-1)) - chosen
    if within is not None:
        return ended(losses, within[..., 0]).sum(axis=-1).sum() / within.sum()
    return losses.mean(axis=-1).mean()


class Equations:
    """The stack of layers; its parameters are given to every call, under their canonical names.

    H^(0) = X;  H_t^(l) = step of layer l;  O_t = H_t^(L) W_hq + b_q   (STACK-1, OUT-1)

    Of D = 2 directions, the states of both are rows of their own: l1 forward, l1 backward, …
    """

    read = staticmethod(lambda value: value)
    """How a parameter is read; in mixed precision, otherwise."""

    def __init__(self, spec: ModelSpec, dtype: jnp.dtype) -> None:
        self.spec, self.dtype = spec, dtype

    def native(self, params: State) -> State:
        """Canonical parameters as the net takes them."""
        return params

    def __call__(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State]:
        """X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's
        own (LEN-1)   kept: between layers (DROP-1)   returns O (T, n, q) and the last state"""
        H, last, _ = self.steps(params, X, state, within, kept)
        return ended(self.output(params, H), within), last

    def steps(
        self, params: State, X: Array, state: State, within: Array | None, kept: Sequence[Array]
    ) -> tuple[Array, State, list[State]]:
        """H of the top layer, (T, n, D·h), the last state, and the state after every step,
        (T, n, h) for each part, by layer and direction. What is not used, XLA does not compute.
        """
        spec, H, last, trace = self.spec, ended(X, within), [], []
        for layer in range(1, spec.L + 1):
            for backward in spec.ways:
                own = layer_parameters(params, layer, backward)
                p = {name: self.read(w) for name, w in own.items()}
                after, steps = direction(spec, layer, backward, p, H, state, within)
                last.append(after)
                trace.append({part: ended(array, within) for part, array in steps.items()})
            H = dropped(joined(trace[-spec.directions :]), layer, kept)
        return H, {part: in_rows([after[part] for after in last]) for part in state}, trace

    def output(self, params: State, H: Array) -> Array:
        return H @ self.read(params["output.W_hq"]) + params["output.b_q"]

    def forward(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State, State]:
        """As a call, and the trace, (T, L, n, h) for each part."""
        H, last, trace = self.hidden(params, X, state, within, kept)
        return ended(self.output(params, H), within), last, trace

    def hidden(
        self,
        params: State,
        X: Array,
        state: State,
        within: Array | None = None,
        kept: Sequence[Array] = (),
    ) -> tuple[Array, State, State]:
        """H of the top layer, (T, n, D·h), the last state, and the trace."""
        H, last, trace = self.steps(params, X, state, within, kept)
        stacked = {part: in_rows([steps[part] for steps in trace], axis=1) for part in state}
        return H, last, stacked

    def pieces(self, params: State) -> list[State]:
        """The parameters of each layer, as those of a stack of one, and of the output layer."""
        own = [
            {
                f"{prefix(1, backward)}{name}": array
                for backward in self.spec.ways
                for name, array in layer_parameters(params, layer, backward).items()
            }
            for layer in range(1, self.spec.L + 1)
        ]
        return [*own, {name: params[name] for name in ("output.W_hq", "output.b_q")}]

    def whole(self, pieces: list[State]) -> State:
        """The parameters of which these are the ``pieces``, or their gradients."""
        *layers, found = pieces
        for layer, own in enumerate(layers, start=1):
            for backward in self.spec.ways:
                for name, array in layer_parameters(own, 1, backward).items():
                    found = found | {f"{prefix(layer, backward)}{name}": array}
        return found

    def freeze(self, grads: State) -> State:
        """Every parameter is trained."""
        return grads

    def canonical(self, arrays: State) -> dict[str, np.ndarray]:
        """Parameters, or their gradients, by canonical name."""
        # A dict that went through jax.jit comes back in the order of its names.
        return {name: to_array(arrays[name]) for name in parameter_shapes(self.spec)}


def in_rows(rows: list[Array], axis: int = 0) -> Array:
    """One array, (L, n, h), as wide as the widest: a smaller layer has zeros behind its own."""
    widest = max(row.shape[-1] for row in rows)
    return jnp.stack([widened(row, widest) for row in rows], axis=axis)


def widened(row: Array, size: int) -> Array:
    """So many columns: zeros behind those that there are."""
    missing = size - row.shape[-1]
    return jnp.pad(row, ((0, 0),) * (row.ndim - 1) + ((0, missing),)) if missing else row


def one_hot(X: Array, d: int, dtype: jnp.dtype) -> Array:
    """Class numbers (T, n) as rows of the identity, (T, n, d)."""
    return jax.nn.one_hot(X, d, dtype=dtype)
