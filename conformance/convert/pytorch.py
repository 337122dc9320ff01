"""PyTorch's nn.RNN, nn.GRU and nn.LSTM with an nn.Linear: a state dict in safetensors."""

from pathlib import Path

from common.spec import ModelSpec
from common.weights import write_arrays
from conformance.convert.target import Target, Values
from conformance.models.layouts import LAYOUTS

CLASS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def write(path: Path, values: Values) -> None:
    layout = LAYOUTS["pytorch"]
    arrays = {
        f"rnn.{layout.names[kind].format(l=number, r=side)}": array
        for number, layer in enumerate(values.layers)
        for side, half in zip(layout.backward, layer, strict=False)
        for kind, array in half.items()
    }
    W, b = values.output
    write_arrays(path, arrays | {"output.weight": W.T, "output.bias": b}, {"format": "pt"})


def code(spec: ModelSpec, dtype: str) -> list[str]:
    more = f", nonlinearity={TARGET.activation(spec)!r}" if spec.cell == "rnn" else ""
    more += ", bidirectional=True" * (spec.directions == 2)
    double = ".double()" if dtype == "float64" else ""
    rnn = f"nn.{CLASS[spec.cell]}({spec.d}, {spec.h}, {spec.L}{more})"
    output = f"nn.Linear({spec.width}, {spec.q})"
    return [
        "from safetensors.torch import load_file",
        "from torch import nn",
        f'net = nn.ModuleDict({{"rnn": {rnn}, "output": {output}}}){double}',
        "net.load_state_dict(load_file(FILE))",
        'O = net["output"](net["rnn"](X)[0])',
    ]


def options(spec: ModelSpec) -> dict[str, str]:
    return {"nonlinearity": TARGET.activation(spec)} if spec.cell == "rnn" else {}


TARGET = Target(
    name="pytorch",
    layout="pytorch",
    end=".safetensors",
    write=write,
    code=code,
    axes="(T, n, d)",
    activations={"tanh": "tanh", "relu": "relu"},
    resets=("after",),
    two=lambda spec: True,
    options=options,
)
