"""Somebody's network as the suite's own: a spec and canonical parameters, where it has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import safe_open

from common.errors import BadInput
from common.parameters import GATES, Arrays, check_parameters, check_size, prefix
from common.spec import ACTIVATIONS, ModelSpec
from common.weights import FORMAT, load_weights
from conformance.files.loading import Read, load
from conformance.models.frameworks import Settings, settings
from conformance.models.network import Network

USUAL = {"rnn": {"h": "tanh"}, "gru": {"z": "sigmoid", "r": "sigmoid", "h": "tanh"},
         "lstm": {"i": "sigmoid", "f": "sigmoid", "o": "sigmoid", "c": "tanh"}}  # fmt: skip


def load_any(
    path: Path, layout: str = "", stated: Mapping[str, str] | None = None,
    prefixes: Sequence[str] = (),
) -> tuple[ModelSpec, Arrays]:  # fmt: skip
    """A file in the suite's own format, or one of a framework whose network the spec can hold."""
    if is_ours(path):
        if layout or stated or prefixes:
            raise BadInput(
                path, "--layout, --option, --prefix", "none for the suite's format", "one"
            )
        return load_weights(path)
    read = load(path, layout, stated, prefixes)
    return canonical(read, path)


def is_ours(path: Path) -> bool:
    """Whether metadata or names of a safetensors file say so. What cannot be read is not."""
    try:
        with cast(Any, safe_open(path, framework="numpy")) as file:
            named = any(name.startswith("layer1.W_") for name in list(file.keys()))
            return named or (file.metadata() or {}).get("format") == FORMAT
    except Exception:
        return False  # and ``load`` says why


def canonical(read: Read, path: Path) -> tuple[ModelSpec, Arrays]:
    """BadInput says what the spec cannot hold, or what the file does not say."""
    network = read.loaded.network
    if missing := [name for name in read.silent if name in NEEDED]:
        raise BadInput(
            path, "", f"--option {missing[0]}=VALUE, which the file does not say", "none"
        )
    usual = settings(read.layout, network, read.stated, path)
    known_by_bias = network.cell != "gru" or network.biases or "reset_after" in read.stated
    if read.layout in ("keras", "keras2") and not known_by_bias:
        expected = "--option reset_after=VALUE, which a file without biases does not say"
        raise BadInput(path, "", expected, "none")
    check(network, usual, path)
    output = network.output or (identity(network) if is_bare(read) else output_layer(read, path))
    spec = ModelSpec(
        cast(Any, network.cell), network.d, max(network.sizes), output[1].size, network.L,
        tuple([usual.choices.activations.get("h", "tanh")] * network.L)
        if network.cell == "rnn" else (),
        cast(Any, usual.choices.reset) if network.cell == "gru" else None, network.directions,
        tuple(network.sizes), projection(network, path), peepholes(network, path),
        usual.choices.clip,
    )  # fmt: skip
    check_size(spec, path)
    params: Arrays = {}
    for row, half in zip(spec.passes, network.halves, strict=True):
        of, h = prefix(*row), spec.units(row[0])
        params |= {} if half.project is None else {f"{of}W_hp": half.project}
        if half.peephole is not None:
            params |= {f"{of}P_{gate}": P for gate, P in zip("ifo", half.peephole, strict=True)}
        for k, gate in enumerate(GATES[network.cell]):
            block = slice(k * h, (k + 1) * h)
            params[f"{of}W_x{gate}"] = half.W[:, block]
            params[f"{of}W_h{gate}"] = half.U[:, block]
            b_x, b_h = half.b_x[block], half.b_h[block]
            if spec.reset == "after" and gate == "h":
                params |= {f"{of}b_xh": b_x, f"{of}b_hh": b_h}
                continue
            added = usual.choices.forget_bias if gate == "f" else 0.0
            params[f"{of}b_{gate}"] = b_x + b_h + added
    params |= {"output.W_hq": output[0], "output.b_q": output[1]}
    params = {name: np.array(array, "float64", order="C") for name, array in params.items()}
    check_parameters(spec, params, path)
    return spec, params


def projection(network: Network, path: Path) -> int | None:
    """p; BadInput unless it is one and the same, and smaller than every layer (LSTM-7)."""
    found = {half.p if half.project is not None else None for half in network.halves}
    p = max((p for p in found if p is not None), default=None)
    if p is not None and (found != {p} or p >= min(network.sizes)):
        expected = "one projection in all layers, to fewer numbers than any has units"
        raise BadInput(path, "", f"{expected}, as the suite's spec has", sorted(map(str, found)))
    return p


def peepholes(network: Network, path: Path) -> bool:
    """Whether all layers have them; BadInput if only some do (LSTM-8 to LSTM-10)."""
    found = {half.peephole is not None for half in network.halves}
    if len(found) > 1:
        expected = "peepholes in all layers or in none, as the suite's spec has"
        raise BadInput(path, "", expected, "some with them")
    return found == {True}


NEEDED = ("activation", "recurrent_activation", "inner_activation", "nonlinearity", "activation_fn",
          "gate_fn", "go_backwards", "reverse", "forget_bias", "linear_before_reset",
          "activations")  # fmt: skip
"""Options without which the function is not known."""


def check(network: Network, usual: Settings, path: Path) -> None:
    """BadInput for what ModelSpec has no place for."""

    def refuse(expected: str, found: object) -> None:
        raise BadInput(path, "", f"{expected}, as the suite's spec has", found)

    if network.directions > 1 and usual.choices.merge != "concat":
        refuse("directions side by side, merge_mode=concat", usual.choices.merge)
    choices = usual.choices
    acts = USUAL[network.cell] | dict(choices.activations)
    if network.cell == "rnn":
        if acts["h"] not in ACTIVATIONS:
            refuse(f"an activation {', '.join(ACTIVATIONS)}", acts["h"])
    elif acts != USUAL[network.cell] or choices.out != "tanh":
        odd = sorted({*acts.values(), choices.out} - {"sigmoid", "tanh"})
        refuse("gates of sigmoid and a candidate of tanh", ", ".join(odd) or "others")
    if usual.backwards:
        refuse("a layer that reads forward", "one that reads backward")
    if choices.clip is not None and network.cell != "lstm":
        refuse("no clip in another cell than an LSTM", f"clip={choices.clip}")
    for name in ("cell_clip", "project_clip"):
        if getattr(choices, name) is not None:
            refuse("no clip of C or H", f"{name}={getattr(choices, name)}")
    if choices.coupled:
        refuse("a forget gate of its own", "one that is 1 − i")


def is_bare(read: Read) -> bool:
    """Whether there is nothing in the file but the recurrent layers, so no output layer."""
    return read.loaded.network.output is None and not read.loaded.left


def identity(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """The output layer of a bare network, whose O is the topmost H: W_hq = I, b_q = 0. Exact."""
    wide = sum(half.p for half in network.layers[-1])
    return np.eye(wide), np.zeros(wide)


def output_layer(read: Read, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The one dense layer that reads the topmost H: by its shape, and as the framework lays it."""
    left = read.loaded.left
    name, bias, rows = output_names(read, path)
    W = left[name].T if rows else left[name]
    b = np.zeros(W.shape[1]) if bias is None else left[bias]
    return W.astype("float64"), b.astype("float64")


def output_names(read: Read, path: Path) -> tuple[str, str | None, bool]:
    """Its matrix, its bias if it has one, and whether the matrix is (q, h)."""
    left, h = read.loaded.left, sum(half.p for half in read.loaded.network.layers[-1])
    rows = read.layout in ("pytorch", "mxnet", "paddle", "ncnn", "coreml")
    found = [n for n, W in left.items() if W.ndim == 2 and W.shape[1 if rows else 0] == h]
    if read.layout == "onnx" and not found:  # Gemm may have it transposed
        found = [n for n, W in left.items() if W.ndim == 2 and W.shape[1] == h]
        rows = bool(found)
    if len(found) != 1:
        held = ", ".join(f"{n} {left[n].shape}" for n in found or list(left)[:6]) or "nothing"
        expected = f"one output layer, a matrix {'(q, h)' if rows else '(h, q)'} with h = {h}"
        raise BadInput(path, "", expected, held)
    name = found[0]
    return name, beside(left, name, left[name].shape[0 if rows else 1]), rows


def beside(left: Arrays, name: str, q: int) -> str | None:
    """The bias that belongs to a matrix: it stands beside it, or there is no other."""
    stem = name.rpartition("." if "." in name else "/")[0]
    fit = [n for n, b in left.items() if b.shape == (q,)]
    near = [n for n in fit if stem and n.startswith(stem)]
    return near[0] if near else fit[0] if len(fit) == 1 else None
