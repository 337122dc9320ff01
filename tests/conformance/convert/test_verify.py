"""A certificate holds for these two files, and for no others."""

import json
import shutil
from pathlib import Path

import pytest

from common.storage.sums import sealed
from common.weights import load_weights, save_weights
from conformance.__main__ import main
from tests.conformance.convert.helpers import SPECS, convert, parameters, saved

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def moved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("moved")
    spec = SPECS["lstm"]
    source = saved(folder / "own.safetensors", spec, parameters(spec, "pytorch"))
    convert(source, "pytorch", folder)
    return folder


@pytest.fixture
def copy(moved, tmp_path) -> Path:
    return shutil.copytree(moved, tmp_path / "copy")


NAME = "moved.safetensors.certificate.json"


def verify(folder: Path, *words: str) -> int:
    return main(["verify", str(folder / NAME), *words])


def edit(folder: Path, change, again: bool = True) -> None:
    """Change what a certificate says. again: and seal it again"""
    data = json.loads((folder / NAME).read_text())
    change(data)
    (folder / NAME).write_text(json.dumps(sealed(data) if again else data))


def test_the_files_of_a_conversion_pass(copy, capsys):
    assert verify(copy) == 0
    assert capsys.readouterr().out.startswith("PASS: ")


def test_a_source_that_lies_elsewhere_is_named(copy, tmp_path, capsys):
    (copy / "own.safetensors").rename(tmp_path / "elsewhere.safetensors")
    assert verify(copy) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert verify(copy, "--source", str(tmp_path / "elsewhere.safetensors")) == 0


@pytest.mark.parametrize("name", ["own.safetensors", "moved.safetensors"])
def test_a_file_of_which_a_bit_was_changed_fails(name, copy, capsys):
    data = bytearray((copy / name).read_bytes())
    data[-3] ^= 1
    (copy / name).write_bytes(data)
    assert verify(copy) == 1
    out = capsys.readouterr().out
    assert f"{name} is not the" in out and "PASS" not in out


def test_another_network_fails_although_its_hash_is_forged(copy, capsys):
    """Whoever seals anew has to compute what the certificate says, too."""
    spec, params = load_weights(copy / "own.safetensors")
    params["layer1.b_i"][0] += 1e-3
    save_weights(copy / "own.safetensors", spec, params)
    from common.storage.sums import sha256_of

    digest = sha256_of(copy / "own.safetensors")
    edit(copy, lambda data: data["found"]["source"].update(sha256=digest))
    assert verify(copy) == 1
    out = capsys.readouterr().out
    for field in ("source: parameters", "weights: same", "outputs: same", "outputs: numbers"):
        assert f"FAIL: {field}" in out, field


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["found"]["outputs"]["numbers"].__setitem__(7, 0.25),
        lambda data: data["found"]["outputs"]["numbers"].pop(),
        lambda data: data["found"]["outputs"].update(error=1e-9),
        lambda data: data["found"]["weights"].update(numbers=1),
        lambda data: data["found"]["code"].append("import os"),
        lambda data: data["found"].update(assumed=["nothing"]),
        lambda data: data["found"]["spec"].update(h=4),
        lambda data: data["asked"]["inputs"].update(seed=25),
        lambda data: data["asked"].update(dtype="float64"),
    ],
)
def test_a_certificate_that_was_edited_fails(change, again, copy, capsys):
    edit(copy, change, again)
    assert verify(copy) == 1
    assert ("its seal" in capsys.readouterr().out) != again


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(format="x"), "format: expected deep-rnn-certificate-1, found x"),
        (lambda data: data.update(suite="0"), "suite: expected"),
        (lambda data: data["asked"].update(to="caffe"), "asked: to: expected one of"),
        (lambda data: data["asked"]["inputs"].update(T=10**9), "asked: inputs: T: expected"),
        (lambda data: data["asked"].update(source="../own.safetensors"), "without a folder"),
        (lambda data: data["asked"].update(source=".."), "without a folder"),
        (lambda data: data.pop("found"), "found: expected an object, found none"),
    ],
)
def test_what_is_no_certificate_is_one_line(change, said, copy, capsys):
    edit(copy, change)
    assert verify(copy) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
