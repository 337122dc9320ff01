"""Canonical parameters: their names, order and shapes, and how they are initialised.

Gates are never stacked: every gate of every layer has tensors of its own, named as in EQUATIONS.md.
Layers count from 1, like the superscripts; what belongs to the backward direction of one is named
``layer1.backward.W_xh``. A parameter set is a plain dict from name to NumPy array
in the order of ``parameter_shapes``.
"""

# What was read from a file may be of any type, whatever is declared.
# pyright: reportUnnecessaryIsInstance=false, reportUnnecessaryContains=false

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from common.errors import BadInput
from common.spec import ModelSpec

Arrays = dict[str, np.ndarray]
Entry = TypeVar("Entry")

GATES = {"rnn": "h", "gru": "zrh", "lstm": "ifoc"}
"""The gates of a cell in canonical order; the last one is the candidate."""


def layer_shapes(spec: ModelSpec, layer: int) -> dict[str, tuple[int, ...]]:
    """Names (without the layer) and shapes of a layer, in each of its directions: per gate g, W_xg
    (in, h), W_hg (h, h), b_g (h,); the reset-after GRU's candidate has b_xh and b_hh (GRU-3a).
    With a projection W_hg is (p, h), and the last one is W_hp (h, p) (LSTM-7). With peepholes the
    gates i, f and o have a P_g (h,) each, behind their biases (LSTM-8 to LSTM-10)."""
    shapes: dict[str, tuple[int, ...]] = {}
    h, H = spec.units(layer), spec.size_of("H", layer)
    for gate in GATES[spec.cell]:
        shapes[f"W_x{gate}"] = (spec.inputs_of(layer), h)
        shapes[f"W_h{gate}"] = (H, h)
        two_biases = spec.reset == "after" and gate == "h"
        for bias in ("b_xh", "b_hh") if two_biases else (f"b_{gate}",):
            shapes[bias] = (h,)
        if spec.peepholes and gate != GATES[spec.cell][-1]:
            shapes[f"P_{gate}"] = (h,)
    return shapes if spec.p is None else shapes | {"W_hp": (h, spec.p)}


def prefix(layer: int, backward: bool = False) -> str:
    """What the names of a layer's parameters begin with, in one of its directions."""
    return f"layer{layer}.backward." if backward else f"layer{layer}."


def parameter_shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every parameter's shape, in canonical order: layer1.…, layer1.backward.… if there are two
    directions, layer2.…, output.W_hq, output.b_q."""
    shapes = {
        f"{prefix(layer, backward)}{name}": shape
        for layer, backward in spec.passes
        for name, shape in layer_shapes(spec, layer).items()
    }
    return shapes | {"output.W_hq": (spec.width, spec.q), "output.b_q": (spec.q,)}


MOST_PARAMETERS = 2**28
"""268 million numbers, 2 GiB in float64, and training holds them several times. D2L's LSTM has
0.8 million."""


def check_size(spec: ModelSpec, where: object = "spec") -> None:
    """BadInput if the model would have more than MOST_PARAMETERS. Nothing is allocated for it."""
    total = sum(math.prod(shape) for shape in parameter_shapes(spec).values())
    if total > MOST_PARAMETERS:
        expected = f"a model of at most {MOST_PARAMETERS:,} parameters"
        raise BadInput(where, "d, h, q, L", expected, f"{total:,}")


def layer_parameters(
    params: dict[str, Entry], layer: int, backward: bool = False
) -> dict[str, Entry]:
    """The parameters of one direction of layer 1 … L under their short names: ``layer2.W_xh``, or
    ``layer2.backward.W_xh``, becomes ``W_xh``."""
    start = prefix(layer, backward)
    short = {n.removeprefix(start): value for n, value in params.items() if n.startswith(start)}
    return {name: value for name, value in short.items() if "." not in name}


def state_shapes(spec: ModelSpec, n: int) -> dict[str, tuple[int, ...]]:
    """The shape of each part of the state: (L, n, h), or (2L, n, h) with two directions. Rows are
    as wide as the widest layer; a smaller one has zeros behind its own numbers."""
    return {name: (spec.rows, n, spec.most(name)) for name in spec.states}


def state_of(spec: ModelSpec, state: dict[str, Any], layer: int, backward: bool) -> dict[str, Any]:
    """What one direction of layer 1 … L starts from, (n, h) for each part, or H (n, p): its row, of
    that what is its own. The state may hold a framework's tensors."""
    row = spec.row(layer, backward)
    own = {part: tensor[row] for part, tensor in state.items()}
    if spec.even:
        return own
    return {part: tensor[:, : spec.size_of(part, layer)] for part, tensor in own.items()}


def only_own(spec: ModelSpec, state: Arrays) -> Arrays:
    """A state with zeros in the place of what is behind a smaller layer's own numbers."""
    if spec.even:
        return state
    kept: Arrays = {part: np.zeros_like(array) for part, array in state.items()}
    for part, array in state.items():
        for row, (layer, _) in enumerate(spec.passes):
            size = spec.size_of(part, layer)
            kept[part][row, :, :size] = array[row, :, :size]
    return kept


def zero_state(spec: ModelSpec, n: int, dtype: str) -> Arrays:
    """The state that D2L starts an epoch with: zeros in the shape of each part."""
    return {name: np.zeros(shape, dtype) for name, shape in state_shapes(spec, n).items()}


def check_parameters(spec: ModelSpec, params: Arrays, where: object = "parameters") -> None:
    """BadInput unless names, shapes and types are the spec's and every value is finite."""
    expected = parameter_shapes(spec)
    if missing := [name for name in expected if name not in params]:
        raise BadInput(where, missing[0], f"shape {expected[missing[0]]}", "no such tensor")
    if extra := [name for name in params if name not in expected]:
        raise BadInput(where, extra[0], f"no such tensor in a {spec.cell} of {spec.L} layers", "it")
    for name, shape in expected.items():
        array = params[name]
        if array.shape != shape:
            raise BadInput(where, name, f"shape {shape}", f"shape {array.shape}")
        if array.dtype not in (np.float32, np.float64):
            raise BadInput(where, name, "float32 or float64", array.dtype)
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise BadInput(where, name, "finite values", f"{array[index]} at {index}")


def check_kinds(arrays: Arrays, where: object) -> None:
    """BadInput unless every array is of one of the two types that the suite computes in."""
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64):
            raise BadInput(where, name, "float32 or float64", array.dtype)


Initialiser = Callable[[ModelSpec, str, tuple[int, ...], np.random.RandomState], np.ndarray]


def is_bias(name: str) -> bool:
    """Of a parameter without its layer; a peephole is a vector, too, but a weight."""
    return name.startswith("b_")


def _d2l(spec: ModelSpec, name: str, shape: tuple[int, ...], rng: np.random.RandomState):
    """D2L's from-scratch chapters: weights N(0, 0.01²), biases 0."""
    return np.zeros(shape) if is_bias(name) else 0.01 * rng.standard_normal(shape)


def _uniform(spec: ModelSpec, name: str, shape: tuple[int, ...], rng: np.random.RandomState):
    """U(−1/√h, 1/√h) for weights and biases alike; h is the layer's, of the output layer the last
    one's."""
    return (2 * rng.random_sample(shape) - 1) / math.sqrt(spec.h)


def _pytorch(spec: ModelSpec, name: str, shape: tuple[int, ...], rng: np.random.RandomState):
    """torch: U(±1/√h), with the sum of two such draws where torch adds two biases.

    ``nn.Linear`` draws from the same range, since its fan-in is h. Source: torch 2.13,
    ``nn.RNNBase.reset_parameters``, ``nn.Linear.reset_parameters``.
    """
    draw = _uniform(spec, name, shape, rng)
    torch_adds_two = is_bias(name) and name not in ("b_q", "b_xh", "b_hh")
    return draw + _uniform(spec, name, shape, rng) if torch_adds_two else draw


def _keras(spec: ModelSpec, name: str, shape: tuple[int, ...], rng: np.random.RandomState):
    """Keras: Glorot uniform over the stacked kernel (in, G·h), biases 0, the LSTM's b_f 1.

    The recurrent kernels are drawn orthogonal as a whole by ``initialise``. Source: Keras 3.15,
    ``LSTMCell.build`` (``unit_forget_bias``), ``initializers.GlorotUniform``.
    """
    if is_bias(name):
        return np.ones(shape) if name == "b_f" else np.zeros(shape)
    # Of a vector, a peephole, the fans are both its length.
    gates = 1 if name in ("W_hq", "W_hp") or len(shape) == 1 else len(GATES[spec.cell])
    limit = math.sqrt(6 / (shape[0] + gates * shape[-1]))
    return limit * (2 * rng.random_sample(shape) - 1)


def _mxnet(spec: ModelSpec, name: str, shape: tuple[int, ...], rng: np.random.RandomState):
    """Gluon: ``initialize()`` without an argument draws U(−0.07, 0.07), biases 0.

    Source: MXNet 1.9.1, ``gluon.Parameter.initialize``, ``init.Uniform``, ``gluon.rnn``.
    """
    return np.zeros(shape) if is_bias(name) else 0.07 * (2 * rng.random_sample(shape) - 1)


INITIALISERS: dict[str, Initialiser] = {
    "d2l": _d2l,
    "uniform": _uniform,
    "pytorch": _pytorch,
    "keras": _keras,
    "mxnet": _mxnet,
}


def initialise(spec: ModelSpec, scheme: str, seed: int, dtype: str = "float64") -> Arrays:
    """Draw parameters by a scheme out of ``INITIALISERS``, the same on every NumPy version.

    ``RandomState`` is frozen by NumPy's compatibility policy (NEP 19); ``Generator`` is not. The
    values are rounded to float32, so that a float32 and a float64 model start from the same point.
    """
    if scheme not in INITIALISERS:
        raise BadInput("initialiser", "", f"one of {', '.join(INITIALISERS)}", repr(scheme))
    if not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**32):
        raise BadInput("initialiser", "seed", "a whole number from 0 to 2³² − 1", repr(seed))
    check_size(spec)
    rng = np.random.RandomState(seed)
    layers = {f"layer{layer}": spec.alone(layer) for layer in range(1, spec.L + 1)}
    layers["output"] = spec.alone(spec.L)
    params: Arrays = {}
    for name, shape in parameter_shapes(spec).items():
        layer, *_, short = name.split(".")
        params[name] = INITIALISERS[scheme](layers[layer], short, shape, rng)
    if scheme == "keras":
        _make_recurrent_kernels_orthogonal(spec, params, rng)
    return {name: array.astype("float32").astype(dtype) for name, array in params.items()}


def _make_recurrent_kernels_orthogonal(
    spec: ModelSpec, params: Arrays, rng: np.random.RandomState
) -> None:
    """Keras draws the recurrent kernel (h, G·h) of all gates as one matrix of orthonormal rows:
    Q of a QR decomposition of a normal (G·h, h) matrix, its signs fixed by R's diagonal,
    transposed. Source: Keras 3.15, ``initializers.Orthogonal``."""
    gates = GATES[spec.cell]
    for layer, backward in spec.passes:
        sizes = len(gates) * spec.units(layer), spec.size_of("H", layer)
        q, r = np.linalg.qr(rng.standard_normal(sizes))
        kernel = (q * np.sign(np.diagonal(r))).T
        for gate, block in zip(gates, np.split(kernel, len(gates), axis=1), strict=True):
            params[f"{prefix(layer, backward)}W_h{gate}"] = block
