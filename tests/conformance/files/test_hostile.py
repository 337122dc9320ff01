"""Files from strangers: one line, nothing of another file, no more memory and time than allowed."""

import json
import os
import struct
import zipfile
from pathlib import Path

import h5py
import msgpack
import numpy as np
import pytest

from conformance.__main__ import main
from conformance.files import isolated as isolating
from conformance.files.loading import load
from tests.conformance.files import samples
from tests.conformance.files.samples import WRITERS, network

pytestmark = pytest.mark.once

SECRET = np.full((4, 12), 42.0, "float32")


@pytest.fixture
def refused(tmp_path, capsys):
    """What ``diagnose`` says of a file that it must refuse, in one line."""

    def give(path: Path) -> str:
        words = ["--weights", str(path), "--io", str(tmp_path / "absent"), "--quiet"]
        assert main(["diagnose", *words]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "absent:" not in err and "42.0" not in err
        return err

    return give


@pytest.fixture
def h5(tmp_path):
    """A good file of Keras' weights, whose first kernel is then replaced by something else."""

    def changed(change) -> Path:
        path = tmp_path / "w.weights.h5"
        with h5py.File(path, "w") as file:
            for k, array in enumerate(samples.per_layer(network("lstm"), "keras")[0][0].values()):
                file[f"layers/lstm/cell/vars/{k}"] = array
            cell = file["layers/lstm/cell/vars"]
            del cell["0"]
            change(file, cell)
        return path

    return changed


@pytest.fixture
def secret(tmp_path) -> Path:
    """A file that somebody else may not have the suite read."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["W"] = SECRET
    (tmp_path / "secret.raw").write_bytes(SECRET.tobytes())
    return path


def test_a_soft_link_is_not_followed(refused, h5):
    path = h5(lambda file, cell: cell.__setitem__("0", h5py.SoftLink("/layers/lstm/cell/vars/1")))
    assert "expected objects of this file alone, found a link (SoftLink)" in refused(path)


def test_a_link_to_another_file_is_not_followed(refused, h5, secret):
    path = h5(lambda file, cell: cell.__setitem__("0", h5py.ExternalLink(str(secret), "/W")))
    assert "expected objects of this file alone, found a link (ExternalLink)" in refused(path)


def test_a_virtual_dataset_is_not_read(refused, h5, secret):
    def change(file, cell):
        layout = h5py.VirtualLayout((4, 12), "float32")
        layout[:] = h5py.VirtualSource(str(secret), "W", (4, 12))
        cell.create_virtual_dataset("0", layout)

    assert "expected numbers in this file, found those of another file" in refused(h5(change))


def test_numbers_that_lie_in_another_file_are_not_read(refused, h5, secret):
    outside = [(str(secret.with_suffix(".raw")), 0, SECRET.nbytes)]
    path = h5(lambda file, cell: cell.create_dataset("0", (4, 12), "float32", external=outside))
    assert "expected numbers in this file, found those of another file" in refused(path)


def test_a_group_inside_itself_is_no_endless_loop(refused, h5):
    path = h5(lambda file, cell: cell.__setitem__("0", file["layers"]))
    assert "few objects, and none in itself" in refused(path)


def test_references_to_objects_are_not_followed(refused, h5):
    def change(file, cell):
        cell.create_dataset("0", (1,), h5py.ref_dtype)[0] = file.ref

    assert "vars/0" not in refused(h5(change)), "it is no tensor"


def test_a_dataset_without_its_numbers_is_refused_and_not_allocated(refused, h5):
    path = h5(lambda file, cell: cell.create_dataset("0", (2**14, 2**14), "float32"))
    assert "expected 1,073,741,824 bytes, found 0" in refused(path)


def test_a_shape_beyond_all_memory_is_refused(refused, h5):
    path = h5(lambda file, cell: cell.create_dataset("0", (2**40, 2**20), "float32", chunks=(1, 1)))
    assert "expected the shape of a tensor" in refused(path)


def test_zeros_that_gzip_has_packed_a_thousandfold_are_refused(refused, h5):
    zeros = np.zeros((2**12, 2**13), "float32")
    path = h5(lambda file, cell: cell.create_dataset("0", data=zeros, compression="gzip"))
    assert "expected no more than 20 times" in refused(path)


def test_a_packed_file_is_read(tmp_path):
    net = network("lstm")
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for number, layer in enumerate(samples.per_layer(net, "keras")):
            for k, array in enumerate(layer[0].values()):
                file.create_dataset(f"layers/lstm_{number}/cell/vars/{k}", data=array,
                                    compression="gzip", shuffle=True)  # fmt: skip
    assert load(tmp_path / "w.weights.h5").loaded.network.L == 2


def test_an_address_beyond_all_files_is_refused(refused, tmp_path):
    """In a zip file the library reads through Python, which has no such numbers."""
    samples.keras(tmp_path / "a.keras", network("lstm"))
    with zipfile.ZipFile(tmp_path / "a.keras") as old:
        members = {name: old.read(name) for name in old.namelist()}
    data = bytearray(members["model.weights.h5"])
    data[48] = 0  # the first byte of "nowhere", where a driver's own data would lie
    members["model.weights.h5"] = bytes(data)
    assert "a file of Keras, found OverflowError" in refused(zipped(tmp_path / "w.keras", members))


def test_names_that_are_no_text_are_refused(refused, h5):
    path = h5(lambda file, cell: cell.__setitem__(b"\xff\xfe", np.zeros(3, "float32")))
    assert "expected a file of Keras, found UnicodeDecodeError" in refused(path)


@pytest.mark.parametrize("own", [5, "text", [1], None])
def test_a_wrapped_layer_without_a_configuration_is_refused(own, refused, tmp_path):
    samples.keras(tmp_path / "a.keras", network("lstm", 1, 2))
    with zipfile.ZipFile(tmp_path / "a.keras") as old:
        members = {name: old.read(name) for name in old.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][0]["config"]["layer"]["config"] = own
    members["config.json"] = json.dumps(config).encode()
    said = refused(zipped(tmp_path / "w.keras", members))
    assert "expected the configuration of the layer, found none" in said


def zipped(path: Path, members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_a_bomb_in_a_zip_file_is_refused(refused, tmp_path):
    members = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": bytes(2**27)}
    path = zipped(tmp_path / "w.keras", members, zipfile.ZIP_DEFLATED)
    assert "model.weights.h5: expected no more than 20 times" in refused(path)


def test_a_zip_file_that_understates_its_sizes_is_refused(refused, tmp_path):
    path = zipped(tmp_path / "w.keras", {"metadata.json": b"{}", "config.json": b"[]" * 500})
    data = path.read_bytes().replace(struct.pack("<I", 1000), struct.pack("<I", 10))
    path.write_bytes(data)
    assert "a file of Keras, a whole zip file" in refused(path)


def test_a_zip_file_without_weights_is_refused(refused, tmp_path):
    path = zipped(tmp_path / "w.keras", {"metadata.json": b"{}", "config.json": b"{}"})
    assert "model.weights.h5: expected one file of that name in it, found 0" in refused(path)


@pytest.fixture
def external(tmp_path):
    """An ONNX model whose first tensor's numbers are said to lie elsewhere."""
    folder = tmp_path / "model"
    folder.mkdir()

    def made(**said: str) -> Path:
        model = samples.onnx_model(network("lstm"))
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in said.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        path = folder / "w.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return made


@pytest.mark.parametrize(
    "location", ["../secret.raw", "/etc/passwd", "a/../../secret.raw", "", "."]
)
def test_external_data_outside_the_folder_are_not_read(location, refused, external, secret):
    said = refused(external(location=location))
    assert "external data" in said or "expected the external data" in said


def test_external_data_behind_a_link_are_not_read(refused, external, secret):
    path = external(location="w.bin")
    (path.parent / "w.bin").symlink_to(secret.with_suffix(".raw"))
    assert "external data inside the model's folder" in refused(path)
    (path.parent / "inner").symlink_to(secret.parent)
    assert "inside the model's folder" in refused(external(location="inner/secret.raw"))


@pytest.mark.parametrize(
    "said",
    [{"offset": "1"}, {"length": "10"}, {"offset": "-5"}, {"offset": "9" * 30}, {"length": "x"}],
)
def test_external_data_of_another_size_are_refused(said, refused, external):
    path = external(location="w.bin", **said)
    (path.parent / "w.bin").write_bytes(bytes(4 * 4 * 12))
    assert "external data" in refused(path) or "bytes from byte" in refused(path)


@pytest.mark.parametrize("dims", [[2**40, 2**40], [-1, 48], [10**6, 10**6], [1] * 20])
def test_a_shape_that_a_model_only_claims_is_refused(dims, refused, tmp_path):
    model = samples.onnx_model(network("lstm"))
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())
    said = refused(tmp_path / "w.onnx")
    assert "the shape of a tensor" in said or "bytes of numbers" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:16] + struct.pack("<Q", 2**60) + data[24:], "the number of arrays"),
        (lambda data: data[:28] + struct.pack("<i", 1) + data[32:], "no sparse one"),
        (lambda data: data[:32] + struct.pack("<i", 9) + data[36:], "at most 8 axes"),
        (lambda data: data[:36] + struct.pack("<q", 2**39) + data[44:], "the shape of a tensor"),
        (lambda data: data + b"\0", "the end"),
    ],
)
def test_a_list_of_arrays_that_claims_too_much_is_refused(change, said, refused, tmp_path):
    samples.mxnet(tmp_path / "w.params", network("rnn"))
    (tmp_path / "w.params").write_bytes(change((tmp_path / "w.params").read_bytes()))
    assert said in refused(tmp_path / "w.params")


@pytest.mark.parametrize(
    "nodes",
    [[{"op": "RNN", "inputs": [[0, 0, 0]]}], [{"op": "x", "inputs": 3}], "x", [3],
     [{"op": "RNN", "inputs": [], "attrs": {"mode": "\x1b[31m"}}]],
)  # fmt: skip
def test_a_symbol_that_is_none_is_refused(nodes, refused, tmp_path):
    samples.mxnet(tmp_path / "w-0001.params", network("rnn"))
    (tmp_path / "w-symbol.json").write_text(json.dumps({"nodes": nodes}))
    assert "\x1b" not in refused(tmp_path / "w-0001.params")


@pytest.mark.parametrize(
    "said",
    [{}, {"mode": "lstm", "state_size": "9" * 9, "num_layers": "1"},
     {"mode": "lstm", "state_size": "3", "num_layers": "999999"},
     {"mode": "lstm", "state_size": "3", "num_layers": "-1"},
     {"mode": "gru", "state_size": "5", "num_layers": "1"},
     {"mode": "lstm", "state_size": "3", "num_layers": "1", "projection_size": "2"}],
)  # fmt: skip
def test_a_vector_of_all_weights_that_its_symbol_belies_is_refused(said, refused, tmp_path):
    vector = {"arg:it_parameters": np.ones(4 * 3 * (4 + 3 + 2), "float32")}
    (tmp_path / "w-0001.params").write_bytes(samples.mxnet_list(vector, "V2"))
    nodes = [{"op": "null", "name": name, "inputs": []} for name in ("data", "it_parameters")]
    nodes.append({"op": "RNN", "name": "it", "inputs": [[0, 0, 0], [1, 0, 0]], "attrs": said})
    (tmp_path / "w-symbol.json").write_text(json.dumps({"nodes": nodes}))
    assert "it_parameters: expected" in refused(tmp_path / "w-0001.params")


@pytest.mark.parametrize(
    "value",
    [
        {"a": msgpack.ExtType(5, b"x")},
        {"a": msgpack.ExtType(1, msgpack.packb([[2**40], "float32", b""]))},
        {"a": msgpack.ExtType(1, msgpack.packb([[3], "object", b"abc"]))},
        {"a": msgpack.ExtType(1, msgpack.packb([[3], "float32", b"abc"]))},
        {"a": msgpack.ExtType(1, b"")},
        {"a": {"__msgpack_chunked_array__": True, "shape": {"0": 9}, "chunks": {}}},
    ],
)
def test_what_is_no_array_in_msgpack_is_refused(value, refused, tmp_path):
    (tmp_path / "w.msgpack").write_bytes(msgpack.packb(value))
    assert refused(tmp_path / "w.msgpack")


@pytest.mark.parametrize("data", [b"\x81\xa1a" * 5000 + b"\xc0", b"\xdf\xff\xff\xff\xff"])
def test_depth_and_counts_of_msgpack_are_bounded(data, refused, tmp_path):
    (tmp_path / "w.msgpack").write_bytes(data)
    assert refused(tmp_path / "w.msgpack")


@pytest.mark.parametrize("kind", WRITERS)
def test_nan_is_refused_in_every_format(kind, refused, tmp_path):
    name, _, write = WRITERS[kind]
    net = network("lstm")
    net.layers[1][0].U[1, 2] = np.nan
    write(tmp_path / name, net)
    assert "expected finite values, found NaN, infinity or no numbers" in refused(tmp_path / name)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_is_refused_in_every_format(kind, refused, tmp_path):
    name, _, write = WRITERS[kind]
    write(tmp_path / name, network("lstm"))
    data = (tmp_path / name).read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.9):
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        assert refused(tmp_path / name)


@pytest.mark.parametrize("kind", WRITERS)
def test_wrong_shapes_are_refused_in_every_format(kind, refused, tmp_path):
    name, _, write = WRITERS[kind]
    net = network("lstm")
    upper = net.layers[1][0]
    object.__setattr__(upper, "W", np.vstack([upper.W, upper.W]))
    write(tmp_path / name, net)
    assert "layer 1, W_x: expected shape (3, 3) for each gate" in refused(tmp_path / name)


class Planted:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped_", [False, True])
def test_no_pickle_is_ever_run(zipped_, refused, tmp_path):
    import pickle

    data = pickle.dumps({"weight_ih_l0": Planted(tmp_path / "ran")}, protocol=2)
    path = tmp_path / "w.pt"
    path.write_bytes(data)
    if zipped_:
        zipped(path, {"w/data.pkl": data, "w/version": b"3\n"})
    said = refused(path)
    assert not (tmp_path / "ran").exists()
    assert "safetensors.torch.save_file(model.state_dict()" in said


def test_a_damaged_file_that_hdf5_reads_for_ever_is_one_line(refused, tmp_path, monkeypatch):
    """Found by fuzzing: a heap of names, moved by one byte."""
    monkeypatch.setattr(isolating, "SECONDS", 1)
    name, _, write = WRITERS["keras 1"]
    write(tmp_path / name, network("lstm"))
    data = bytearray((tmp_path / name).read_bytes())
    data[2231:2231] = data[2231:2232]
    del data[3058]
    (tmp_path / name).write_bytes(data)
    assert "expected a file of Keras" in refused(tmp_path / name)
