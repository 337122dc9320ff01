"""Keras' files: ``.keras``, ``.weights.h5``, and the ``.h5`` of Keras 1 to 3.

Where a file holds the configuration of its model, that says which layers follow one another and
what each of them computes. Sources: Keras 3.15 ``saving/saving_lib.py`` and
``legacy/saving/legacy_h5_format.py``; Keras 2.2 ``engine/saving.py``; Keras 1.2
``engine/topology.py``, ``save_weights_to_hdf5_group``.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.parameters import Arrays
from common.storage.reading import LARGEST_JSON, parse_json
from common.weights import LARGEST_FILE
from conformance.files import hdf5
from conformance.files.contents import Contents, Layer, check_density
from conformance.files.keras_layers import Found, layers_of, told
from conformance.files.onnx import chains

SAYS = "a file of Keras"
WEIGHTS, CONFIG, VERSION = "model.weights.h5", "config.json", "metadata.json"
KINDS = ("W", "U", "b")
"""A cell's tensors, in the order in which they are saved."""

BACKSLASHES = re.compile(r"^_layer_checkpoint_dependencies\\")


def recognises(path: Path, start: bytes, size: int) -> bool:
    if start.startswith(hdf5.MAGIC):
        return True
    return start[:4] == b"PK\x03\x04" and (path.suffix == ".keras" or b"metadata.json" in start)


def read(path: Path) -> Contents:
    with open(path, "rb") as file:
        start = file.read(8)
    if start == hdf5.MAGIC:
        with hdf5.opened(path, path, SAYS) as file:
            return whole_model(file, path) if "model_weights" in file else weights(file, path)
    return archive(path)


def archive(path: Path) -> Contents:
    """A ``.keras`` file: a zip file of a configuration, a version and weights."""
    try:
        with zipfile.ZipFile(path) as file:
            config = parse_json(member(file, CONFIG, path, LARGEST_JSON).decode(), path, CONFIG)
            about = parse_json(member(file, VERSION, path, LARGEST_JSON).decode(), path, VERSION)
            data = member(file, WEIGHTS, path, LARGEST_FILE)
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        # RuntimeErrors are also those of what is encrypted or packed in a way that is not known.
        raise BadInput(path, "", f"{SAYS}, a whole zip file", error) from None
    version = about.get("keras_version") if isinstance(about, dict) else None
    with hdf5.opened(data, path, SAYS) as file:
        return described(file, path, config, str(version))


def member(file: zipfile.ZipFile, name: str, path: Path, limit: int) -> bytes:
    """One file out of a zip file, which must not grow too much."""
    found = [info for info in file.infolist() if info.filename == name]
    if len(found) != 1:
        raise BadInput(path, name, "one file of that name in it", len(found))
    if found[0].file_size > limit:
        raise BadInput(path, name, f"at most {limit:,} bytes", f"{found[0].file_size:,}")
    check_density(found[0].file_size, found[0].compress_size, path, name)
    with file.open(found[0]) as inside:
        data = inside.read(found[0].file_size)
    if len(data) != found[0].file_size:
        raise BadInput(path, name, f"{found[0].file_size} bytes", len(data))
    return data


def described(file: Any, path: Path, config: Any, version: str) -> Contents:
    """Weights of the third format, and the configuration that belongs to them."""
    arrays = plain(file, path)
    found = layers_of(config, path)
    stored = {layer.place: under(arrays, layer.place) for layer in found.layers}
    return put_together(arrays, found, stored, version, path)


def merged(found: Found, path: Path) -> dict[str, str]:
    """What all recurrent layers say; BadInput if they do not agree."""
    rows = [told(layer, path) for layer in found.layers if layer.cell]
    if any(row != rows[0] for row in rows):
        expected = "layers with the same options where their weights lie elsewhere"
        raise BadInput(path, "the configuration", expected, "others")
    return rows[0] if rows else {}


def weights(file: Any, path: Path) -> Contents:
    """Weights without a configuration."""
    if "layer_names" in file.attrs or "layer_names0" in file.attrs:
        arrays, _ = legacy(file, path)
        version = hdf5.attribute(file, "keras_version", path)
        return Contents(SAYS, arrays, layout_of(str(version), []) if version else "")
    return Contents(SAYS, plain(file, path))


def whole_model(file: Any, path: Path) -> Contents:
    """The old format: weights by the names of layers, the configuration as an attribute."""
    group = file["model_weights"]
    arrays, by_layer = legacy(group, path)
    version = hdf5.attribute(file, "keras_version", path) or hdf5.attribute(
        group, "keras_version", path
    )
    text = hdf5.attribute(file, "model_config", path)
    if not isinstance(text, str):
        return Contents(SAYS, arrays, layout_of(str(version), []) if version else "")
    config = parse_json(text, path, "model_config")
    found = layers_of(config, path)
    stored = {layer.place: by_layer.get(layer.name, []) for layer in found.layers}
    # Before there was an attribute for it, it was Keras 1.
    return put_together(arrays, found, stored, str(version or "1"), path)


def legacy(group: Any, path: Path) -> tuple[Arrays, dict[str, list[str]]]:
    """All arrays, and the names of each layer's in the order in which they were saved."""
    hdf5.datasets(group, path)  # nothing in it leads elsewhere
    arrays: Arrays = {}
    by_layer: dict[str, list[str]] = {}
    for layer in hdf5.attribute(group, "layer_names", path) or []:
        if layer not in group:
            raise BadInput(path, f"layer_names, {layer[:80]}", "a group of that name", "none")
        names = hdf5.attribute(group[layer], "weight_names", path) or []
        by_layer[layer] = []
        for name in names:
            # A name may be a path; only what lies below the layer is its own.
            if name not in group[layer] or name.startswith("/") or ".." in name.split("/"):
                raise BadInput(path, f"{layer}, {name}"[:80], "an array of that name", "none")
            array = hdf5.numbers(group[layer][name])
            if array is None:
                raise BadInput(path, f"{layer}, {name}"[:80], "numbers", "none")
            key = name if name.startswith(layer) or f"/{layer}/" in name else f"{layer}/{name}"
            arrays[key] = array
            by_layer[layer].append(key)
    return arrays, by_layer


def plain(file: Any, path: Path) -> Arrays:
    """All arrays by their paths."""
    found = {n: hdf5.numbers(dataset) for n, dataset in hdf5.datasets(file, path).items()}
    found = {n: array for n, array in found.items() if array is not None}
    trained = {n: array for n, array in found.items() if not n.startswith("optimizer/")}
    return {BACKSLASHES.sub("layers/", n).replace("\\", "/"): a for n, a in trained.items()}


def under(arrays: Arrays, place: str) -> list[str]:
    """The tensors of one layer: forward before backward, and each cell's as they are numbered."""
    names = [n for n in arrays if n.startswith(f"{place}/") and re.search(r"/vars/\d+$", n)]
    return sorted(names, key=lambda n: ("backward_layer" in n, int(n.rsplit("/", 1)[1])))


def layout_of(version: str, layers: list) -> str:
    """Keras 1, Keras 2 (tf.keras' too: its hard sigmoid is that of Keras 2), or Keras 3."""
    if any(layer.fused for layer in layers):
        return "cudnn"
    return {"1": "keras1", "2": "keras2", "0": "keras1"}.get(version.split(".")[0], "keras")


def put_together(
    arrays: Arrays, found: Found, stored: dict[str, list[str]], version: str, path: Path
) -> Contents:
    """stored: by place, the names of a layer's tensors in their order"""
    layout = layout_of(version, found.layers)
    recurrent = [layer for layer in found.layers if layer.cell]
    if found.layers and not recurrent:
        held = ", ".join(sorted({layer.kind for layer in found.layers}))
        raise BadInput(path, "", "a SimpleRNN, GRU or LSTM", f"layers {held}"[:300])
    if not all(stored[layer.place] for layer in recurrent) or not recurrent:
        # A model in a model, of a class of somebody's own, or older than these places: then only
        # the names can tell.
        said = [(list(arrays), merged(found, path))] if recurrent else []
        return Contents(SAYS, arrays, layout, [], said)
    layers, options = [], []
    for layer in recurrent:
        names = stored[layer.place]
        count = len(names) // (2 if layer.both else 1)
        halves = [names[:count], names[count:]] if layer.both else [names]
        layers.append(Layer(layer.name, tuple(kinds(half, layout, layer, path) for half in halves)))
        options.append((names, told(layer, path)))
    places = [layer.place for layer in recurrent]
    reads = {
        k: places.index(found.reads[layer.place])
        for k, layer in enumerate(recurrent)
        if found.reads.get(layer.place) in places
    }
    return Contents(SAYS, arrays, layout, chains(layers, reads), options)


def kinds(names: list[str], layout: str, layer: Any, path: Path) -> dict[str, str]:
    """Which tensor is what: by name in Keras 1, by place since."""
    if layout == "keras1":
        ends = {n: re.search(r"(?:^|[._/])([WUb](?:_[ifcozrh])?)(?::0)?$", n) for n in names}
        if bad := [n for n, end in ends.items() if end is None]:
            raise BadInput(path, bad[0][:80], "a name that ends in W_i, U_i, b_i …", "another")
        found = {end[1].replace("_", ":"): n for n, end in ends.items() if end is not None}
        return {("b_x" + kind[1:] if kind[:2] == "b:" else kind): n for kind, n in found.items()}
    if not 2 <= len(names) <= 3:
        raise BadInput(path, layer.name[:80], "two matrices, and a bias or none", f"{len(names)}")
    return dict(zip(KINDS, names, strict=False))
