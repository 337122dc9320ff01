"""Small files of every format, written here as frameworks and their old versions write them."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.parameters import GATES, Arrays
from common.weights import write_arrays
from conformance.models.layouts import LAYOUTS
from conformance.models.network import Direction, Network
from conformance.models.writing import write_network

D, H, Q, L = 4, 3, 5, 2
CLASS = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
MODE = {"rnn": "rnn_relu", "gru": "gru", "lstm": "lstm"}
MXNET = {"V1": 0xF993FAC8, "V2": 0xF993FAC9, "V3": 0xF993FACA}


def network(cell: str, biases: int = 1, directions: int = 1) -> Network:
    """In float32's numbers, so that every file holds the same."""
    rng, layers, d, G = np.random.RandomState(5), [], D, len(GATES[cell])

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype("float32").astype("float64")

    for _ in range(L):
        halves = []
        for _ in range(directions):
            W, U, b = draw(d, G * H), draw(H, G * H), draw(G * H)
            halves.append(Direction(W, U, b, draw(G * H) if biases == 2 else 0 * b))
        layers.append(tuple(halves))
        d = directions * H
    output = draw(directions * H, Q), draw(Q)
    return Network(cell, tuple(layers), output, biases)


def single(arrays: Arrays) -> Arrays:
    return {name: array.astype("float32") for name, array in arrays.items()}


def per_layer(net: Network, layout: str) -> list[list[Arrays]]:
    """Of each layer and direction, its tensors by their last names."""
    found = []
    for layer in net.layers:
        found.append([])
        for half in layer:
            one = Network(net.cell, ((half,),), None, net.biases)
            named = single(write_network(one, layout))
            found[-1].append({name.rsplit(".", 1)[1]: array for name, array in named.items()})
    return found


def safetensors(path: Path, net: Network, layout: str = "pytorch") -> None:
    W, b = net.output
    rows = LAYOUTS[layout].form == "rows"
    head = {"fc.weight": W.T, "fc.bias": b} if rows else {"top/kernel": W, "top/bias": b}
    write_arrays(path, single(write_network(net, layout) | head), {})


def keras_config(net: Network, version: int, **options) -> dict:
    gate = "inner_activation" if version == 1 else "recurrent_activation"
    rows = []
    for number in range(net.L):
        config = {"name": f"layer_{net.L - number}", "units": H, "activation": "tanh"}
        config |= {} if net.cell == "rnn" else {gate: "sigmoid"}
        config |= {"reset_after": net.biases == 2} if net.cell == "gru" and version > 1 else {}
        config |= {"go_backwards": False, "return_sequences": True} | options
        row = {"class_name": CLASS[net.cell], "config": config}
        if net.directions == 2:
            both = {"name": config["name"], "merge_mode": "concat", "layer": row}
            row = {"class_name": "Bidirectional", "config": both}
        rows += [row, {"class_name": "Dropout", "config": {"name": f"drop_{number}", "rate": 0.5}}]
    rows.append({"class_name": "Dense", "config": {"name": "top", "units": Q}})
    return {"class_name": "Sequential", "config": rows if version < 3 else {"layers": rows}}


def keras(path: Path, net: Network, **options) -> None:
    """The format of Keras 3."""
    import h5py

    inside = path.with_suffix(".inside")
    with h5py.File(inside, "w") as file:
        for number, layer in enumerate(per_layer(net, "keras")):
            snake = {"rnn": "simple_rnn"}.get(net.cell, net.cell)
            snake = "bidirectional" if net.directions == 2 else snake
            place = f"layers/{snake}" + (f"_{number}" if number else "")
            for side, tensors in zip(("forward", "backward"), layer, strict=False):
                cell = f"{side}_layer/cell" if net.directions == 2 else "cell"
                for k, array in enumerate(tensors.values()):
                    file[f"{place}/{cell}/vars/{k}"] = array
        for k, array in enumerate(net.output):
            file[f"layers/dense/vars/{k}"] = array.astype("float32")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        file.writestr("config.json", json.dumps(keras_config(net, 3, **options)))
        file.write(inside, "model.weights.h5")
    inside.unlink()


def keras_h5(path: Path, net: Network, version: int = 2, **options) -> None:
    """The format of Keras 1 and 2: names in attributes, the configuration as well."""
    import h5py

    config = keras_config(net, version, **options)
    with h5py.File(path, "w") as file:
        if version > 1:
            file.attrs["keras_version"] = b"2.2.4"
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        names = [row["config"]["name"] for row in config["config"]]
        group.attrs["layer_names"] = [name.encode() for name in names]
        held = dict(zip(names[::2], per_layer(net, "keras1" if version == 1 else "keras2"),
                        strict=False))  # fmt: skip
        held["top"] = [dict(zip(("kernel", "bias"), map(np.float32, net.output), strict=True))]
        for name in names:
            layer, saved = group.create_group(name), []
            for side, tensors in zip(("", "_back"), held.get(name, []), strict=False):
                for kind, array in tensors.items():
                    # Keras 1 put the layer's name in front, Keras 2 made a path of it.
                    full = f"{name}_{kind}" if version == 1 else f"{name}{side}/{kind}:0"
                    layer[full] = array
                    saved.append(full.encode())
            layer.attrs["weight_names"] = saved


def onnx_model(net: Network, external: str = "", **attributes):
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored, at = [], [], "X"
    operator = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}[net.cell]
    settled = {"hidden_size": H}
    settled |= {"direction": "bidirectional"} if net.directions == 2 else {}
    settled |= {"linear_before_reset": 1} if net.cell == "gru" and net.biases == 2 else {}
    tensors = single(write_network(net, "onnx"))
    for number in range(net.L):
        kinds = "WRB" if net.layers[number][0].peephole is None else "WRBP"
        names = [f"layers.{number}.{kind}" for kind in kinds]
        stored += [numpy_helper.from_array(tensors[name], name) for name in names]
        made, above = f"Y{number}", f"X{number}"
        given = [at, *names[:3], *(["", "", "", *names[3:]] if names[3:] else [])]
        nodes.append(helper.make_node(operator, given, [made], name=f"cell {number}",
                                      **settled | attributes))  # fmt: skip
        nodes.append(helper.make_node("Squeeze", [made], [above]))
        at = above
    W, b = (array.astype("float32") for array in net.output)
    stored += [numpy_helper.from_array(W, "onnx::MatMul_9"), numpy_helper.from_array(b, "bias")]
    nodes.append(helper.make_node("MatMul", [at, "onnx::MatMul_9"], ["M"]))
    nodes.append(helper.make_node("Add", ["M", "bias"], ["outputs"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("X", "outputs")]
    return helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:], stored))


def onnx(path: Path, net: Network, **attributes) -> None:
    path.write_bytes(onnx_model(net, **attributes).SerializeToString())


def mxnet(path: Path, net: Network, kind: str = "V2", dtype: str = "float32") -> None:
    """kind: the format of each array; LEGACY, before any had a number"""
    W, b = net.output
    arrays = write_network(net, "mxnet") | {"dense0_weight": W.T, "dense0_bias": b}
    path.write_bytes(mxnet_list({f"arg:{n}": a.astype(dtype) for n, a in arrays.items()}, kind))


def mxnet_list(arrays: Arrays, kind: str) -> bytes:
    data = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        flag = {"float32": 0, "float64": 1, "float16": 2}[str(array.dtype)]
        data += struct.pack("<I", MXNET[kind]) if kind in MXNET else b""
        data += struct.pack("<i", 0) if kind in ("V2", "V3") else b""
        size = "q" if kind in MXNET else "I"
        data += struct.pack(f"<I{array.ndim}{size}", array.ndim, *array.shape)
        data += struct.pack("<iii", 1, 0, flag) + np.ascontiguousarray(array).tobytes()
    data += struct.pack("<Q", len(arrays))
    for name in arrays:
        data += struct.pack("<Q", len(name)) + name.encode()
    return data


def mxnet_symbol(path: Path, net: Network, turned: bool = False) -> None:
    """The symbol beside a file of parameters, as ``export`` names it."""
    names = [n for n in write_network(net, "mxnet")]
    nodes = [{"op": "null", "name": "data", "inputs": []}]
    nodes += [{"op": "null", "name": name, "inputs": []} for name in names]
    data = 0
    if turned:
        nodes.append({"op": "SwapAxis", "name": "swap", "inputs": [[0, 0, 0]],
                      "attrs": {"dim1": "0", "dim2": "1"}})  # fmt: skip
        data = len(nodes) - 1
    inputs = [[k + 1, 0, 0] for k in range(len(names))]
    nodes.append({"op": "_rnn_param_concat", "name": "all", "inputs": inputs})
    nodes.append({"op": "RNN", "name": "rnn", "inputs": [[data, 0, 0], [len(nodes) - 1, 0, 0]],
                  "attrs": {"mode": MODE[net.cell], "state_size": str(H)}})  # fmt: skip
    path.write_text(json.dumps({"nodes": nodes}))


def flax(path: Path, net: Network) -> None:
    import msgpack

    def packed(array: np.ndarray) -> "msgpack.ExtType":
        said = [list(array.shape), str(array.dtype), array.tobytes()]
        return msgpack.ExtType(1, msgpack.packb(said))

    tree: dict = {}
    arrays = write_network(net, "flax") | dict(
        zip(("top.kernel", "top.bias"), net.output, strict=True)
    )
    for name, array in single(arrays).items():
        inside = tree
        *path_, last = name.split(".")
        for part in path_:
            inside = inside.setdefault(part, {})
        inside[last] = packed(np.ascontiguousarray(array))
    path.write_bytes(msgpack.packb(tree))


Write = Callable[..., None]
WRITERS: dict[str, tuple[str, str, Write]] = {
    "safetensors": ("w.safetensors", "pytorch", safetensors),
    "onnx": ("w.onnx", "onnx", onnx),
    "keras 3": ("w.keras", "keras", keras),
    "keras 2": ("w.h5", "keras2", keras_h5),
    "keras 1": ("w1.h5", "keras1", lambda path, net: keras_h5(path, net, 1)),
    "mxnet": ("w-0001.params", "mxnet", mxnet),
    "flax": ("w.msgpack", "flax", flax),
}
"""By format: a file's name, its layout, and what writes it."""
