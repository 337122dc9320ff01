"""Flax's nnx: an nnx.Sequential of nnx.RNN with an nnx.Linear on top, in Flax's msgpack.

Source: Flax 0.12, ``nnx/nn/recurrent.py`` and ``flax/serialization.py``. An OptimizedLSTMCell and a
GRUCell have one bias for each gate, so the candidate of a GRU has no b_hh.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.convert.target import Target, Values, sizes
from conformance.files.flax import ARRAY

CLASS = {"rnn": "SimpleCell", "gru": "GRUCell", "lstm": "OptimizedLSTMCell"}
SIDES = ("forward", "backward")
KINDS = {"W": ("dense_i", "kernel"), "U": ("dense_h", "kernel"),
         "b_x": ("dense_i", "bias"), "b_h": ("dense_h", "bias")}  # fmt: skip


def write(path: Path, values: Values) -> None:
    import msgpack

    def packed(array: np.ndarray) -> Any:
        data = np.ascontiguousarray(array).tobytes()
        said = [list(array.shape), str(array.dtype), data]
        return msgpack.ExtType(ARRAY, msgpack.packb(said))

    layers: dict[str, Any] = {}
    for number, layer in enumerate(values.layers):
        cells = [cell(half, packed) for half in layer]
        sides = {f"{side}_rnn": {"cell": c} for side, c in zip(SIDES, cells, strict=False)}
        layers[str(number)] = {"cell": cells[0]} if len(cells) == 1 else sides
    if values.output:
        W, b = values.output
        layers[str(values.spec.L)] = {"kernel": packed(W), "bias": packed(b)}
    path.write_bytes(msgpack.Packer().pack({"layers": layers}))


def cell(half: Arrays, packed: Callable[[np.ndarray], Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for kind, array in half.items():
        inside, name = KINDS[kind]
        found.setdefault(inside, {})[name] = packed(array)
    return found


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    more = f", activation_fn=jax.nn.{TARGET.activation(spec)}" if spec.cell == "rnn" else ""
    kind = f", dtype={dtype!r}, param_dtype={dtype!r}" if dtype != "float32" else ""
    one = f"nnx.{CLASS[spec.cell]}(d, h{more}{kind}, rngs=r)"
    wide = ['jax.config.update("jax_enable_x64", True)'] if dtype == "float64" else []
    layer = f"nnx.RNN({one})"
    if spec.directions == 2:
        layer = f"nnx.Bidirectional({layer}, {layer})"
    linear = "" if bare else f", nnx.Linear({spec.width}, {spec.q}{kind}, rngs=r)"
    return [
        "from pathlib import Path",
        "import jax",
        "from flax import nnx, serialization",
        *wide,
        "r = nnx.Rngs(0)",
        f"rnns = [{layer} for d, h in {sizes(spec)}]",
        f"net = nnx.Sequential(*rnns{linear})",
        "state = serialization.msgpack_restore(Path(FILE).read_bytes())",
        "nnx.update(net, nnx.restore_int_paths(state))",
        "O = net(X)",
    ]


def options(spec: ModelSpec) -> dict[str, str]:
    found = {"activation_fn": TARGET.activation(spec) if spec.cell == "rnn" else "tanh"}
    if spec.cell != "rnn":
        found["gate_fn"] = "sigmoid"
    return found | ({"reverse": "False"} if spec.directions == 1 else {})


def lacks(spec: ModelSpec, params: Arrays) -> tuple[str, str] | None:
    second = [name for name, b in params.items() if name.endswith(".b_hh") and b.any()]
    if second:
        return "a candidate without the bias b_hh of the recurrent side", f"{second[0]} is not 0"
    return None


TARGET = Target(
    name="flax",
    layout="flax",
    end=".msgpack",
    write=write,
    code=code,
    axes="(n, T, d)",
    activations={"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid"},
    resets=("after",),
    two=lambda spec: False,
    options=options,
    lacks=lacks,
    package="flax",
    takes="numpy.asarray(O)",
)
