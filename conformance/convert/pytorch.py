"""PyTorch's nn.RNN, nn.GRU and nn.LSTM with an nn.Linear: a state dict in safetensors.

One module holds all layers; layers of different sizes are one each, in an nn.ModuleList.
"""

from pathlib import Path

from common.spec import ModelSpec
from common.weights import write_arrays
from conformance.convert.target import Target, Values, sizes
from conformance.models.layouts import LAYOUTS

CLASS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def write(path: Path, values: Values) -> None:
    layout, even = LAYOUTS["pytorch"], values.spec.even
    arrays = {
        ("" if even else f"{number}.") + layout.names[kind].format(l=number * even, r=side): array
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
    more += "" if spec.p is None else f", proj_size={spec.p}"
    more += ", bidirectional=True" * (spec.directions == 2)
    double = ".double()" if dtype == "float64" else ""
    rnn, rnns = f"nn.{CLASS[spec.cell]}", "net" if bare else 'net["rnn"]'
    if spec.even:
        rnn = f"{rnn}({spec.d}, {spec.h}, {spec.L}{more})"
        loop, H = [], f"{rnns}(X)[0]"
    else:
        rnn = f"nn.ModuleList([{rnn}(d, h{more}) for d, h in {sizes(spec)}])"
        loop, H = ["H = X", f"for rnn in {rnns}:", "    H = rnn(H)[0]"], "H"
    output = f"nn.Linear({spec.width}, {spec.q})"
    both = f'nn.ModuleDict({{"rnn": {rnn}, "output": {output}}})'
    return [
        "from safetensors.torch import load_file",
        "from torch import nn",
        f"net = {rnn if bare else both}{double}",
        "net.load_state_dict(load_file(FILE))",
        *loop,
        f"O = {H}" if bare else f'O = net["output"]({H})',
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
    projects=True,
    options=options,
    package="torch",
    gives="X = torch.from_numpy(X)",
    takes="O.detach().numpy()",
)
