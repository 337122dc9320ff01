"""Keras 3: the weights of a Sequential model of SimpleRNN, GRU or LSTM with a Dense on top.

Source: Keras 3.15, ``saving/saving_lib.py``: a layer's variables stand under the name of its class,
counted, in the order in which they were made.
"""

from __future__ import annotations

from pathlib import Path

from common.spec import ModelSpec
from conformance.convert.target import Target, Values, sizes

CLASS = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
PLACE = {"rnn": "simple_rnn", "gru": "gru", "lstm": "lstm"}


def write(path: Path, values: Values) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for number, layer in enumerate(values.layers):
            name = PLACE[values.spec.cell] if len(layer) == 1 else "bidirectional"
            place = f"layers/{name}" + (f"_{number}" if number else "")
            sides = ("",) if len(layer) == 1 else ("forward_layer/", "backward_layer/")
            for side, half in zip(sides, layer, strict=True):
                for k, kind in enumerate(("W", "U", "b")):
                    file[f"{place}/{side}cell/vars/{k}"] = half[kind]
        for k, array in enumerate(values.output or ()):
            file[f"layers/dense/vars/{k}"] = array


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    more = f", activation={TARGET.activation(spec)!r}" if spec.cell == "rnn" else ""
    more += f", reset_after={spec.reset == 'after'}" if spec.cell == "gru" else ""
    kind = f", dtype={dtype!r}" if dtype != "float32" else ""
    h = "h" if spec.L > 1 else spec.h
    layer = f"layers.{CLASS[spec.cell]}({h}{more}, return_sequences=True{kind})"
    if spec.directions == 2:
        layer = f"layers.Bidirectional({layer}{kind})"
    if spec.L > 1:
        layer = f"*({layer} for h in {[h for _, h in sizes(spec)]})"
    return [
        "import keras",
        "from keras import layers",
        "net = keras.Sequential([",
        f"    layers.Input((None, {spec.d}){kind}), {layer}," + "])" * bare,
        *([] if bare else [f"    layers.Dense({spec.q}{kind})])"]),
        "net.load_weights(FILE)",
        "O = net(X)",
    ]


def options(spec: ModelSpec) -> dict[str, str]:
    """Weights alone say none."""
    found = {"activation": TARGET.activation(spec) if spec.cell == "rnn" else "tanh"}
    if spec.cell != "rnn":
        found["recurrent_activation"] = "sigmoid"
    if spec.cell == "gru":
        found["reset_after"] = str(spec.reset == "after")
    two = spec.directions == 2
    return found | ({"merge_mode": "concat"} if two else {"go_backwards": "False"})


TARGET = Target(
    name="keras",
    layout="keras",
    end=".weights.h5",
    write=write,
    code=code,
    axes="(n, T, d)",
    activations={"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "identity": "linear"},
    resets=("after", "before"),
    two=lambda spec: spec.reset == "after",  # the only one whose bias is (2, 3h)
    options=options,
    package="keras",
    takes="keras.ops.convert_to_numpy(O)",
)
