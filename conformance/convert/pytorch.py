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
        layout.names[kind].format(l=number, r=side): array
        for number, layer in enumerate(values.layers)
        for side, half in zip(layout.backward, layer, strict=False)
        for kind, array in half.items()
    }
    if values.output:
        W, b = values.output
        arrays = {f"rnn.{name}": array for name, array in arrays.items()}
        arrays |= {"output.weight": W.T, "output.bias": b}
    write_arrays(path, arrays, {"format": "pt"})


def code(spec: ModelSpec, dtype: str, bare: bool) -> list[str]:
    more = f", nonlinearity={TARGET.activation(spec)!r}" if spec.cell == "rnn" else ""
    more += ", bidirectional=True" * (spec.directions == 2)
    double = ".double()" if dtype == "float64" else ""
    rnn = f"nn.{CLASS[spec.cell]}({spec.d}, {spec.h}, {spec.L}{more})"
    output = f"nn.Linear({spec.width}, {spec.q})"
    both = f'nn.ModuleDict({{"rnn": {rnn}, "output": {output}}})'
    return [
        "from safetensors.torch import load_file",
        "from torch import nn",
        f"net = {rnn if bare else both}{double}",
        "net.load_state_dict(load_file(FILE))",
        "O = net(X)[0]" if bare else 'O = net["output"](net["rnn"](X)[0])',
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
    package="torch",
    gives="X = torch.from_numpy(X)",
    takes="O.detach().numpy()",
)
