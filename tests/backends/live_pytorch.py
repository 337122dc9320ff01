"""Live models of PyTorch that are captured, and what a chapter's reader writes."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from backends.pytorch.capture import capture as capture
from backends.pytorch.capture import from_array as from_array

T, N, D, H = 6, 4, 5, 7


class Net(nn.Module):
    """A recurrent layer inside of modules, between an embedding and an output layer."""

    def __init__(self, cell, **options) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, D)
        self.inner = nn.ModuleDict({"body": cell(D, H, **options)})
        body = self.inner["body"]
        wide = (body.proj_size or H) * (1 + body.bidirectional)
        self.readout = nn.Linear(wide, 3)
        double(self)

    def forward(self, X):
        return self.readout(self.inner["body"](self.embedding(X))[0])


class Loop(nn.Module):
    """Cells in a loop of one's own: two of them, one upon the other."""

    def __init__(self, cell) -> None:
        super().__init__()
        self.low, self.high = cell(D, H), cell(H, H)
        double(self)

    def forward(self, X):
        low, high, outputs = None, None, []
        for X_t in X:
            low = self.low(X_t, low)
            high = self.high(low[0] if isinstance(low, tuple) else low, high)
            outputs.append(high[0] if isinstance(high, tuple) else high)
        return torch.stack(outputs)


class Lower(nn.Module):
    """It computes in bfloat16, where autocast has it so."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(nn.LSTM).float()

    def forward(self, X):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(X)


def compiled_before():
    """Compiled code has no hooks in it, so it is thrown away first."""
    model = torch.compile(Net(nn.LSTM), backend="eager")
    model(ids())
    return model, (ids(),)


class Packed(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        self.body = nn.LSTM(D, H, bidirectional=True, **options)
        double(self)

    def forward(self, X, lengths):
        packed = pack_padded_sequence(X, lengths, self.body.batch_first, enforce_sorted=False)
        return self.body(packed)[0].data


class Pair(nn.Module):
    """An encoder, and a decoder that begins where it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(D, H, batch_first=True), nn.GRU(D, H, 2)
        double(self)

    def forward(self, X, Y):
        _, state = self.encoder(X)
        return self.decoder(Y, state.repeat(2, 1, 1))[0]


def double(module: nn.Module) -> None:
    module.double()
    for weight in module.parameters():
        nn.init.uniform_(weight, -0.6, 0.6)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def ids() -> torch.Tensor:
    return torch.randint(0, 9, (T, N))


def bare(cell, *sizes, **options) -> nn.Module:
    module = cell(*sizes, **options)
    double(module)
    return module


MODELS = {
    "an LSTM of two layers": lambda: (Net(nn.LSTM, num_layers=2), (ids(),)),
    "a GRU, batch first": lambda: (Net(nn.GRU, batch_first=True), (ids().T,)),
    "a relu RNN without biases": lambda: (
        Net(nn.RNN, nonlinearity="relu", bias=False), (ids(),)),
    "both directions": lambda: (Net(nn.GRU, num_layers=2, bidirectional=True), (ids(),)),
    "a projection": lambda: (Net(nn.LSTM, proj_size=3), (ids(),)),
    "a layer as it is": lambda: (bare(nn.LSTM, D, H), (numbers(T, N, D),)),
    "a layer without examples": lambda: (bare(nn.GRU, D, H), (numbers(T, D),)),
    "LSTM cells in a loop": lambda: (Loop(nn.LSTMCell), (numbers(T, N, D),)),
    "GRU cells in a loop": lambda: (Loop(nn.GRUCell), (numbers(T, N, D),)),
    "packed sequences": lambda: (
        Packed(), (numbers(T, N, D), torch.tensor([3, 6, 2, 5]))),
    "packed, batch first": lambda: (
        Packed(batch_first=True), (numbers(N, T, D), torch.tensor([3, 6, 2, 5]))),
    "an encoder and a decoder": lambda: (Pair(), (numbers(N, T, D), numbers(3, N, D))),
    "compiled": lambda: (torch.compile(Net(nn.LSTM), backend="eager"), (ids(),)),
    "compiled and called before": compiled_before,
    "autocast": lambda: (Lower(), (ids(),)),
}  # fmt: skip
"""Each makes a model and what it is called with. All of them are as PyTorch computes them."""

UNJUDGED = {
    "a dropout that is active": lambda: (Net(nn.LSTM, num_layers=2, dropout=0.5), (ids(),)),
}

LAYERS = {
    "LSTM cells in a loop": ["low", "high"],
    "an encoder and a decoder": ["encoder", "decoder"],
    "an LSTM of two layers": ["inner.body"],
    "compiled": ["inner.body"],
    "a layer as it is": ["model"],
}
"""What the layers of some of them are called."""

NOTHING = nn.Linear(2, 2), (torch.zeros(3, 2),)


WHOSE_X_IS_THE_MODEL_S = "a layer as it is"
"""It is given X itself, in float64."""


def loss(outputs):
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    return (first * first).mean()


def array(outputs):
    return outputs.detach().numpy()


def spoil(model) -> None:
    """Make a model compute something else than its layers' class says."""
    body = model.inner["body"]
    body.register_forward_hook(lambda module, args, made: (made[0] * 1.01, *made[1:]))
