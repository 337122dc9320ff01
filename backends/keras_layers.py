"""Keras' own SimpleRNN, GRU and LSTM on whichever engine Keras runs: what those backends share that
have them as a mode (modes.py), or convert them (TFLite). TensorFlow, on which Keras is at home, has
its layers.

The parameters keep their canonical names. Stacking them as Keras has them is part of what is
differentiated, so that their gradients need no way back, and nothing has to be frozen: where
Keras has a bias and the equations have none, there stand zeros. Source: Keras 3.15, ``layers.rnn``.
"""

from collections.abc import Sequence
from typing import Any

import keras  # pyright: ignore[reportMissingImports]  not in every environment

from common.parameters import layer_parameters, state_of
from common.spec import ModelSpec

GATE_ORDER = {"rnn": "h", "gru": "zrh", "lstm": "ifco"}
"""Keras' order of the gates, in canonical letters."""

State = dict[str, Any]
"""An engine's tensors, by name."""


def unsupported(spec: ModelSpec) -> str | None:
    """What Keras' layers cannot express."""
    if spec.p is not None:
        return "keras.layers.LSTM has no projection"
    if spec.peepholes or spec.gate_clip is not None:
        return "keras.layers.LSTM has neither peepholes nor a clip of its gates"
    return None


def make_layer(spec: ModelSpec, layer: int, dtype: str) -> Any:
    """Layer 1 … L as a Keras layer that returns all its outputs and its last state; of two
    directions, a Bidirectional, which joins them side by side."""
    options: dict[str, Any] = {"return_sequences": True, "return_state": True, "dtype": dtype}
    h = spec.units(layer)
    if spec.cell == "rnn":
        activation = spec.activations[layer - 1].replace("identity", "linear")
        made = keras.layers.SimpleRNN(h, activation=activation, **options)
    elif spec.cell == "gru":
        made = keras.layers.GRU(h, reset_after=spec.reset == "after", **options)
    else:
        made = keras.layers.LSTM(h, **options)
        if keras.backend.backend() == "jax":
            # On a GPU the gradients of cuDNN's are wrong: cudnn-lstm-in-any-layout in
            # conformance/verdict/deviations.toml. Without cuDNN all cases passed there. An
            # attribute, since Keras 3.0 has no such option.
            made.use_cudnn = False
    if spec.directions == 2:
        made = keras.layers.Bidirectional(made, merge_mode="concat", dtype=dtype)
    made.build((None, None, spec.inputs_of(layer)))
    return made


def native(spec: ModelSpec, p: State, engine: Any) -> list[Any]:
    """The kernel, the recurrent kernel and the bias of one direction of one layer, stacked; the
    reset-after GRU's bias has two rows, of which the second is 0 but for the candidate's b_hh.

    engine: jax.numpy, torch or numpy. Keras' own functions would round float64 here already."""
    gates = GATE_ORDER[spec.cell]
    kernel = engine.concatenate([p[f"W_x{gate}"] for gate in gates], 1)
    recurrent = engine.concatenate([p[f"W_h{gate}"] for gate in gates], 1)
    bias = engine.concatenate([p.get(f"b_{gate}", p.get("b_xh")) for gate in gates], 0)
    if spec.reset == "after":
        zeros = engine.zeros_like(p["b_hh"])
        second = engine.concatenate([p.get(f"b_h{gate}", zeros) for gate in gates], 0)
        bias = engine.stack([bias, second])
    return [kernel, recurrent, bias]


class Stack:
    """Keras' layers and a Dense on top, which are given their weights at every call."""

    def __init__(self, spec: ModelSpec, dtype: str, engine: Any) -> None:
        self.spec, self.engine = spec, engine
        self.layers = [make_layer(spec, layer, dtype) for layer in range(1, spec.L + 1)]
        self.dense = keras.layers.Dense(spec.q, dtype=dtype)
        self.dense.build((None, None, spec.width))

    def run(
        self, params: State, X: Any, state: State, within: Any, kept: Sequence[Any]
    ) -> tuple[list[Any], list[State]]:
        """The outputs of every layer, (T, n, D·h), and the last state by layer and direction.

        X: (T, n, d)   state: (L, n, h) each   within: (T, n, 1), where a step is the example's own
        kept: what a layer's outputs are multiplied with before they are handed up (DROP-1).
        With a mask Keras keeps the state behind an example's end, but repeats its last output."""
        own = None if within is None else within.swapaxes(0, 1)
        H, last, outputs = X.swapaxes(0, 1), [], []
        for layer, made in enumerate(self.layers, start=1):
            given = [state_of(self.spec, state, layer, backward) for backward in self.spec.ways]
            parts = [half[part] for half in given for part in self.spec.states]
            H, *after = self.call(made, layer, self.spec.ways, params, H, parts, own)
            H = H if own is None else self.engine.where(own, H, 0)
            outputs.append(H.swapaxes(0, 1))
            H = H * kept[layer - 1].swapaxes(0, 1) if layer <= len(kept) else H
            last += [{part: after.pop(0) for part in self.spec.states} for _ in given]
        return outputs, last

    def call(
        self,
        made: Any,
        layer: int,
        ways: Sequence[bool],
        params: State,
        X: Any,
        state: list[Any],
        own: Any = None,
    ) -> list[Any]:
        """The outputs and the last state of a Keras layer, or of one direction of a Bidirectional.

        X: (n, T, d or D·h)   own: (n, T, 1)"""
        halves = [layer_parameters(params, layer, backward) for backward in ways]
        weights = [weight for p in halves for weight in native(self.spec, p, self.engine)]
        options = {} if own is None else {"mask": own[..., 0]}
        fixed = [variable.value for variable in made.non_trainable_variables]  # of dropout, unused
        return made.stateless_call(weights, fixed, X, initial_state=state, **options)[0]

    def step(self, layer: int, backward: bool, params: State, x: Any, state: State) -> State:
        """The state after one step of one direction, by a call of its layer   x: (n, d or D·h)"""
        made = self.layers[layer - 1]
        if self.spec.directions == 2:
            made = made.backward_layer if backward else made.forward_layer
        given = [state[part] for part in self.spec.states]
        _, *after = self.call(made, layer, [backward], params, x[:, None], given)
        return dict(zip(self.spec.states, after, strict=True))

    def output(self, params: State, H: Any) -> Any:
        """O = H W_hq + b_q   (OUT-1)"""
        return self.dense.stateless_call([params["output.W_hq"], params["output.b_q"]], [], H)[0]
