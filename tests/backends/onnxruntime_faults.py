"""Faults that are put into how the ONNX Runtime backend writes its models."""

from typing import Any

import numpy as np

import backends.onnxruntime as backend
from backends.onnxruntime import layers
from common.parameters import state_of
from tests.backends.part_faults import Change, Fault

_native, _canonical, _node = layers.to_native, layers.to_canonical, layers.make_node


def native(change: Any) -> list[Change]:
    """Other weights on their way into a model."""
    return [(layers, "to_native", lambda spec, p: change(spec, p, _native(spec, p)))]


def ordered(**gates: str) -> list[Change]:
    """The gates in another order, on the way in and back."""
    return [(layers, "GATE_ORDER", layers.GATE_ORDER | gates)]


def node(change: Any) -> list[Change]:
    """A node with another attribute."""

    def made(*arguments):
        found = _node(*arguments)
        change(found)
        return found

    return [(layers, "make_node", made)]


def reversed_in_time(found) -> None:
    if not any(a.name == "direction" for a in found.attribute):
        found.attribute.append(layers.helper.make_attribute("direction", "reverse"))


def reset_elsewhere(found) -> None:
    for attribute in found.attribute:
        if attribute.name == "linear_before_reset":
            attribute.i = 1 - attribute.i


def without_lengths(found) -> None:
    found.input[4] = ""


def without_clip(found) -> None:
    for attribute in [a for a in found.attribute if a.name == "clip"]:
        found.attribute.remove(attribute)


def from_zero(*given):
    return {part: 0 * array for part, array in state_of(*given).items()}


def doubled_bias(spec, p, made):
    """b in both biases: what a round trip cannot see."""
    of_inputs, of_state = np.split(made["B"], 2)
    both = of_state if spec.reset == "after" else of_inputs
    return made | {"B": np.concatenate([of_inputs, both])}


def transposed(spec, native):
    """Every recurrent matrix, on the way in and back."""
    blocks = np.split(native["R"], len(layers.GATE_ORDER[spec.cell]))
    return native | {"R": np.concatenate([block.T for block in blocks])}


FAULTS: dict[str, Fault] = {
    "gates-i-f-c-o": (("lstm",), ordered(lstm="ifco")),
    "gates-r-z-h": (("gru",), ordered(gru="rzh")),
    "transposed": (
        ("rnn", "gru", "lstm"),
        [
            (layers, "to_native", lambda spec, p: transposed(spec, _native(spec, p))),
            (
                layers,
                "to_canonical",
                lambda spec, native: _canonical(spec, transposed(spec, native)),
            ),
        ],
    ),
    "bias-doubled": (("rnn", "lstm"), native(doubled_bias)),
    "reversed": (("rnn", "gru", "lstm"), node(reversed_in_time)),
    "reset-elsewhere": (("gru",), node(reset_elsewhere)),
    "lengths-ignored": (("lstm",), node(without_lengths)),
    "peepholes-i-f-o": (("lstm",), [(layers, "PEEPHOLES", "ifo")]),
    "clip-of-gates-ignored": (("lstm",), node(without_clip)),
    "state-ignored": (("rnn", "gru", "lstm"), [(backend, "state_of", from_zero)]),
}
