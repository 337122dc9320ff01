"""Gluon's rnn.RNN, rnn.GRU and rnn.LSTM with an nn.Dense on top: what save_parameters writes.

One layer holds all; layers of different sizes are one each. Source: MXNet 1.9.1,
``gluon/rnn/rnn_layer.py``, ``_collect_params_with_prefix``, which knows layers of one digit.
"""

from pathlib import Path

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.convert.target import Target, Values, sizes
from conformance.files.mxnet import dumped

CLASS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
MOST_LAYERS = 10
KINDS = {"W": "i2h_weight", "U": "h2h_weight", "b_x": "i2h_bias", "b_h": "h2h_bias",
         "R": "h2r_weight"}  # fmt: skip


def write(path: Path, values: Values) -> None:
    spec, count = values.spec, len(values.layers)
    sides = ("l_cell.", "r_cell.") if spec.directions == 2 else ("",)
    places = [f"0._unfused.{k}." if spec.even else f"{k}._unfused.0." for k in range(count)]
    arrays = {
        f"{place}{side}{KINDS[kind]}": array
        for place, layer in zip(places, values.layers, strict=True)
        for side, half in zip(sides, layer, strict=True)
        for kind, array in half.items()
    }
    if values.output:
        W, b = values.output
        last = 1 if spec.even else count
        arrays |= {f"{last}.weight": W.T, f"{last}.bias": b}
    path.write_bytes(dumped(arrays))


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    phi = f", {TARGET.activation(spec)!r}" if spec.cell == "rnn" else ""
    kind = f", dtype={dtype!r}" if dtype != "float32" else ""
    phi += "" if spec.p is None else f", projection_size={spec.p}"
    phi += ", bidirectional=True" * (spec.directions == 2)
    rows = [(spec.d, spec.h)] if spec.even else sizes(spec)
    rnn, L = f"gluon.rnn.{CLASS[spec.cell]}", spec.L if spec.even else 1
    dense = f"gluon.nn.Dense({spec.q}, flatten=False, in_units={spec.width}{kind})"
    return [
        "from mxnet import gluon",
        "net = gluon.nn.HybridSequential()",
        *(f"net.add({rnn}({h}, {L}{phi}, input_size={d}{kind}))" for d, h in rows),
        *([] if bare else [f"net.add({dense})"]),
        "net.load_parameters(FILE)",
        "O = net(X)",
    ]


def options(spec: ModelSpec) -> dict[str, str]:
    return {"activation": TARGET.activation(spec)} if spec.cell == "rnn" else {}


def lacks(spec: ModelSpec, params: Arrays) -> tuple[str, str] | None:
    if spec.even and spec.L > MOST_LAYERS:
        return f"at most {MOST_LAYERS} layers, whose names load_parameters understands", str(spec.L)
    return None


def warns(spec: ModelSpec, dtype: str) -> list[str]:
    if dtype == "float64" and "relu" in spec.activations:
        why = "native-relu-rounds-to-float32 in conformance/verdict/deviations.toml"
        return [f"On a CPU MXNet computes relu of float64 in float32 ({why})."]
    if spec.p is not None:
        return ["On a CPU MXNet computes this layer, and has no gradients of it."]
    return []


TARGET = Target(
    name="mxnet",
    layout="mxnet",
    end=".params",
    write=write,
    code=code,
    axes="(T, n, d)",
    activations={"tanh": "tanh", "relu": "relu"},
    resets=("after",),
    two=lambda spec: True,
    projects=True,
    options=options,
    lacks=lacks,
    warns=warns,
    package="mxnet",
    gives="X = mxnet.nd.array(X, dtype=X.dtype)",
    takes="O.asnumpy()",
)
