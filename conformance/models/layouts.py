"""How frameworks lay weights out, as data: the names of tensors, their shapes, the order of gates.

A layer's tensors, by kind:

    W, U      input and recurrent matrix              b        the bias, one or two in one tensor
    b_x, b_h  the bias of the input side, of the recurrent side
    W:g, U:g, b_x:g, b_h:g   the same of one gate, where every gate has tensors of its own
    R         a projection of H                       P        peepholes;  P:g of one gate
    C, b_C    kernel and bias of a GRU's candidate, where W and b hold its gates alone

and how a matrix lies (``form``):

    rows      (G·h, in), blocks below one another
    columns   (in, G·h), blocks side by side
    joint     (in + h, G·h), what the input is multiplied by above what H is
    cudnn     columns, but each block's memory is that of the transposed one

What stands in front of a tensor's name may be anything: a module, a scope, a number of a layer.

Sources: torch 2.13 ``nn.RNNBase``, ``nn.LSTMCell``; MXNet 1.9.1 ``gluon.rnn``; Keras 3.15 ``LSTM``,
``GRU``; Keras 2.2 ``recurrent.py``, ``cudnn_recurrent.py`` and ``engine/saving.py``; Keras 1.2
``recurrent.py``; TensorFlow 1.15 ``rnn_cell_impl.py``; ONNX' operators LSTM, GRU and RNN; Flax 0.12
``OptimizedLSTMCell``, ``GRUCell``, ``SimpleCell``; Paddle 2 ``nn/layer/rnn.py``; DL4J
``KerasLstm.java``; ncnn ``lstm.cpp`` (I, F, O, G) and ``gru.cpp`` (R, U, N); coremltools
``_ifzo_to_ifoz``.
"""

from dataclasses import dataclass, field

LETTERS = {
    "lstm": {"i": "i", "f": "f", "o": "o", "c": "g"},
    "gru": {"z": "z", "r": "r", "h": "n"},
    "rnn": {"h": "h"},
}
"""The gates as frameworks' documentation calls them."""


@dataclass(frozen=True)
class Layout:
    """says:   whose it is
    keys:    by kind, the end of a tensor's name, as a pattern; ``{g}`` stands for a gate's letter
    names:   by kind, the name that is written, of layer {l} and cell {c}, with {r} of a backward
             direction
    order:   the gates as they are stacked, in canonical letters, by cell
    letters: of the gates in the names, by cell, where every gate has tensors of its own
    backward: what is put in for {r}
    """

    says: str
    keys: dict[str, str]
    names: dict[str, str]
    order: dict[str, str]
    form: str = "rows"
    letters: dict[str, dict[str, str]] = field(default_factory=dict)
    backward: tuple[str, str] = ("", "_reverse")


TORCH = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}
KERAS = {"rnn": "h", "gru": "zrh", "lstm": "ifco"}
_torch = r"(?:_l(?P<l>\d+))?(?P<r>_reverse)?"
_mxnet = r"(?:(?P<r>[lr])(?P<l>\d+)_)?"

_TORCH_KEYS = {
    "W": "weight_ih" + _torch, "U": "weight_hh" + _torch,
    "b_x": "bias_ih" + _torch, "b_h": "bias_hh" + _torch, "R": "weight_hr" + _torch,
}  # fmt: skip
_TORCH_NAMES = {
    "W": "weight_ih_l{l}{r}", "U": "weight_hh_l{l}{r}",
    "b_x": "bias_ih_l{l}{r}", "b_h": "bias_hh_l{l}{r}", "R": "weight_hr_l{l}{r}",
}  # fmt: skip
_KERAS_KEYS = {
    "W": r"(?:(?<!recurrent_)kernel|vars[./]0)", "U": r"(?:recurrent_kernel|vars[./]1)",
    "b": r"(?:(?<!recurrent_)bias|vars[./]2)",
    "b_x": "input_bias", "b_h": "recurrent_bias",
}  # fmt: skip
_KERAS_NAMES = {"W": "layers.{l}{r}.kernel", "U": "layers.{l}{r}.recurrent_kernel",
                "b": "layers.{l}{r}.bias"}  # fmt: skip
_SIDES = ("", ".backward")

LAYOUTS = {
    "pytorch": Layout("PyTorch's nn.RNN, nn.GRU and nn.LSTM", _TORCH_KEYS, _TORCH_NAMES, TORCH),
    "mxnet": Layout(
        "MXNet's gluon.rnn",
        {"W": _mxnet + "i2h_weight", "U": _mxnet + "h2h_weight", "b_x": _mxnet + "i2h_bias",
         "b_h": _mxnet + "h2h_bias", "R": _mxnet + "h2r_weight"},
        {"W": "{r}{l}_i2h_weight", "U": "{r}{l}_h2h_weight", "b_x": "{r}{l}_i2h_bias",
         "b_h": "{r}{l}_h2h_bias", "R": "{r}{l}_h2r_weight"},
        TORCH, backward=("l", "r")),
    "keras": Layout("Keras 3 and tf.keras", _KERAS_KEYS, _KERAS_NAMES, KERAS, "columns",
                    backward=_SIDES),
    "onnx": Layout(
        "ONNX' operators RNN, GRU and LSTM",
        {"W": "W", "U": "R", "b": "B", "P": "P"},
        {"W": "layers.{l}.W", "U": "layers.{l}.R", "b": "layers.{l}.B", "P": "layers.{l}.P"},
        {"rnn": "h", "gru": "zrh", "lstm": "iofc"}),
    "flax": Layout(
        "Flax, nnx and Linen",
        {"W": r"(?:dense_)?i[./]kernel", "U": r"(?:dense_)?h[./]kernel",
         "b_x": r"(?:dense_)?i[./]bias", "b_h": r"(?:dense_)?h[./]bias",
         "W:g": r"i{g}[./]kernel", "U:g": r"h{g}[./]kernel", "b_x:g": r"i{g}[./]bias",
         "b_h:g": r"h{g}[./]bias"},
        {"W": "layers.{l}{r}.dense_i.kernel", "U": "layers.{l}{r}.dense_h.kernel",
         "b_x": "layers.{l}{r}.dense_i.bias", "b_h": "layers.{l}{r}.dense_h.bias"},
        TORCH, "columns", LETTERS, _SIDES),
    "keras1": Layout(
        "Keras 1",
        {"W:g": "W_{g}", "U:g": "U_{g}", "b_x:g": "b_{g}", "W": "W", "U": "U", "b": "b"},
        {"W:g": "layers.{l}.W_{g}", "U:g": "layers.{l}.U_{g}", "b_x:g": "layers.{l}.b_{g}",
         "W": "layers.{l}.W", "U": "layers.{l}.U", "b": "layers.{l}.b"},
        KERAS, "columns",
        {"lstm": {g: g for g in "ifco"}, "gru": {g: g for g in "zrh"}, "rnn": {}}),
    "keras2": Layout("Keras 2 before TensorFlow 2", _KERAS_KEYS, _KERAS_NAMES, KERAS, "columns",
                     backward=_SIDES),
    "cudnn": Layout("CuDNNLSTM and CuDNNGRU of Keras 2", _KERAS_KEYS, _KERAS_NAMES, KERAS, "cudnn",
                    backward=_SIDES),
    "tf1": Layout(
        "TensorFlow 1's BasicRNNCell, GRUCell, BasicLSTMCell and LSTMCell",
        {"C": r"candidate[./](?:kernel|weights|Matrix)",
         "b_C": r"candidate[./](?:bias|biases|Bias)", "R": r"projection[./](?:kernel|weights)",
         "P:g": "w_{g}_diag",
         "W": r"(?:gates[./])?(?:kernel|weights|Matrix)",
         "b": r"(?:gates[./])?(?:bias|biases|Bias)"},
        {"W": "cell_{l}{r}/{c}/kernel", "b": "cell_{l}{r}/{c}/bias",
         "C": "cell_{l}{r}/{c}/candidate/kernel", "b_C": "cell_{l}{r}/{c}/candidate/bias"},
        {"rnn": "h", "gru": "rzh", "lstm": "icfo"}, "joint",
        {"lstm": {g: g for g in "ifo"}, "gru": {}, "rnn": {}}, ("", "/bw")),
    "paddle": Layout("Paddle's nn.SimpleRNN, nn.GRU and nn.LSTM", _TORCH_KEYS, _TORCH_NAMES, TORCH),
    "dl4j": Layout(
        "DL4J's LSTM and GravesLSTM",
        {"W": "W", "U": "RW", "b": "b"},
        {"W": "layers.{l}.W", "U": "layers.{l}.RW", "b": "layers.{l}.b"},
        {"rnn": "h", "lstm": "cfoi"}, "columns"),
    "ncnn": Layout(
        "ncnn's RNN, GRU and LSTM",
        {"W": "weight_xc(?:_data)?", "U": "weight_hc(?:_data)?", "b": "bias_c(?:_data)?"},
        {"W": "layers.{l}.weight_xc_data", "U": "layers.{l}.weight_hc_data",
         "b": "layers.{l}.bias_c_data"},
        {"rnn": "h", "gru": "rzh", "lstm": "ifoc"}),
    "coreml": Layout(
        "Core ML's lstm operator",
        {"W": "weight_ih", "U": "weight_hh", "b": "bias"},
        {"W": "layers.{l}.weight_ih", "U": "layers.{l}.weight_hh", "b": "layers.{l}.bias"},
        {"rnn": "h", "lstm": "ifoc"}),
}  # fmt: skip
"""By the name that ``--layout`` takes."""


def letters(cell: str, gates: str) -> str:
    return ", ".join(LETTERS[cell][gate] for gate in gates)
