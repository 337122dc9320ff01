"""Gluon's rnn.RNN, rnn.GRU and rnn.LSTM with an nn.Dense on top: what save_parameters writes.

Source: MXNet 1.9.1, ``gluon/rnn/rnn_layer.py``, ``_collect_params_with_prefix``, which knows layers
of one digit.
"""

from pathlib import Path

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.convert.target import Target, Values
from conformance.files.mxnet import dumped

CLASS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
MOST_LAYERS = 10
KINDS = {"W": "i2h_weight", "U": "h2h_weight", "b_x": "i2h_bias", "b_h": "h2h_bias"}


def write(path: Path, values: Values) -> None:
    sides = ("l_cell.", "r_cell.") if values.spec.directions == 2 else ("",)
    arrays = {
        f"0._unfused.{number}.{side}{KINDS[kind]}": array
        for number, layer in enumerate(values.layers)
        for side, half in zip(sides, layer, strict=True)
        for kind, array in half.items()
    }
    if values.output:
        W, b = values.output
        arrays |= {"1.weight": W.T, "1.bias": b}
    path.write_bytes(dumped(arrays))


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    phi = f", {TARGET.activation(spec)!r}" if spec.cell == "rnn" else ""
    kind = f", dtype={dtype!r}" if dtype != "float32" else ""
    phi += ", bidirectional=True" * (spec.directions == 2)
    rnn = f"gluon.rnn.{CLASS[spec.cell]}({spec.h}, {spec.L}{phi}, input_size={spec.d}{kind})"
    dense = f"gluon.nn.Dense({spec.q}, flatten=False, in_units={spec.width}{kind})"
    return [
        "from mxnet import gluon",
        "net = gluon.nn.HybridSequential()",
        f"net.add({rnn}{')' if bare else ','}",
        *([] if bare else [f"        {dense})"]),
        "net.load_parameters(FILE)",
        "O = net(X)",
    ]


def options(spec: ModelSpec) -> dict[str, str]:
    return {"activation": TARGET.activation(spec)} if spec.cell == "rnn" else {}


def lacks(spec: ModelSpec, params: Arrays) -> tuple[str, str] | None:
    if spec.L > MOST_LAYERS:
        return f"at most {MOST_LAYERS} layers, whose names load_parameters understands", str(spec.L)
    return None


def warns(spec: ModelSpec, dtype: str) -> list[str]:
    if dtype == "float64" and "relu" in spec.activations:
        why = "native-relu-rounds-to-float32 in conformance/verdict/deviations.toml"
        return [f"On a CPU MXNet computes relu of float64 in float32 ({why})."]
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
    options=options,
    lacks=lacks,
    warns=warns,
    package="mxnet",
    gives="X = mxnet.nd.array(X, dtype=X.dtype)",
    takes="O.asnumpy()",
)
