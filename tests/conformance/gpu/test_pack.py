"""What comes back: few files, none too large, and nothing that leads elsewhere."""

import os
import zipfile
from pathlib import Path

import pytest

from common.errors import BadInput
from conformance.gpu.pack import MIB, PARCELS, SHARES, pack, unpack
from conformance.gpu.plan import load_plan

pytestmark = pytest.mark.once

LIMITS = {"files": 8, "file_mib": 1, "depth": 2}


def put(path: Path, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    stage = out / "stages" / "ladder.json"
    stage.parent.mkdir(parents=True)
    stage.write_text("{}")
    put(out / "ladder" / "one" / "jax-cpu" / "record.json")
    for k in range(5):
        put(out / "runs" / "training" / "jax-cpu" / f"run-{k}" / "weights.safetensors", MIB // 3)
    return out


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_what_is_packed_is_unpacked_as_it_was(out, tmp_path):
    assert pack(out, tmp_path / "back", LIMITS) == []
    assert unpack(tmp_path / "back", tmp_path / "here") == ["ladder"]
    assert files(tmp_path / "here") == files(out)


def test_no_file_is_too_large_and_they_are_few(out, tmp_path):
    pack(out, tmp_path / "back", LIMITS)
    made = list((tmp_path / "back").iterdir())
    assert {path.stem for path in made} == {"measured-1", "ladder-1", "runs-1", "runs-2", "runs-3"}
    assert all(path.stat().st_size <= MIB for path in made)
    assert len(made) <= LIMITS["files"]


def test_what_fits_in_no_file_is_left_out_and_said(out, tmp_path):
    put(out / "runs" / "training" / "jax-cpu" / "large" / "weights.safetensors", 2 * MIB)
    left = pack(out, tmp_path / "back", LIMITS)
    assert left == [f"runs/training/jax-cpu/large/weights.safetensors: {2 * MIB} bytes"]
    unpack(tmp_path / "back", tmp_path / "here")
    assert len(files(tmp_path / "here")) == len(files(out)) - 1


def test_there_are_never_more_files_than_may_come_back(out, tmp_path):
    for k in range(40):
        put(out / "runs" / "training" / "x" / f"{k}", MIB // 2)
    assert pack(out, tmp_path / "back", LIMITS)
    for name in PARCELS:
        put(out / PARCELS[name][0] / "more")
    for k in range(40):
        put(out / "ladder" / "x" / f"{k}", MIB // 2)
    pack(out, tmp_path / "back", LIMITS)
    assert len(list((tmp_path / "back").iterdir())) == LIMITS["files"] == sum(SHARES.values())
    assert load_plan(out).limits["files"] == sum(SHARES.values())


def test_large_arrays_stay_and_their_hashes_come_back(out, tmp_path):
    folder = out / "large" / "jax" / "jax-cpu"
    put(folder / "record.json")
    put(folder / "arrays" / "layers" / "float64" / "text-lstm.safetensors", MIB)
    assert pack(out, tmp_path / "back", LIMITS) == []
    unpack(tmp_path / "back", tmp_path / "here")
    here = tmp_path / "here" / "large" / "jax" / "jax-cpu"
    assert sorted(path.name for path in here.iterdir()) == ["SHA256SUMS", "record.json"]
    assert "arrays/layers/float64/text-lstm.safetensors" in (here / "SHA256SUMS").read_text()


def test_locks_and_checkpoints_do_not_come_back(out, tmp_path):
    for name in ("members/whole/checkpoint.safetensors", "ladder/one/.jax-cpu.lock"):
        put(out / name)
    pack(out, tmp_path / "back", LIMITS)
    unpack(tmp_path / "back", tmp_path / "here")
    assert not [name for name in files(tmp_path / "here") if "checkpoint" in name or "lock" in name]


def test_a_later_call_adds_to_what_an_earlier_one_gave(out, tmp_path):
    pack(out, tmp_path / "back", LIMITS)
    unpack(tmp_path / "back", tmp_path / "here")
    later = tmp_path / "later"
    put(later / "members" / "whole" / "curves.safetensors")
    put(later / "stages" / "members.json")
    (later / "stages" / "members.json").write_text("{}")
    pack(later, tmp_path / "back-2", LIMITS)
    assert unpack(tmp_path / "back-2", tmp_path / "here") == ["ladder", "members"]
    assert files(tmp_path / "here") == files(out) | files(later)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "other/file", "ladder\\..\\x"])
def test_a_zip_file_that_leads_elsewhere_is_refused(name, tmp_path):
    back = tmp_path / "back"
    back.mkdir()
    with zipfile.ZipFile(back / "ladder-1.zip", "w") as file:
        file.writestr("ladder/good", "")
        file.writestr(name, "")
    with pytest.raises(BadInput, match="expected files below"):
        unpack(back, tmp_path / "here")
    assert not (tmp_path / "here").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back"]


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04 broken"])
def test_what_is_no_zip_file_is_one_line(content, tmp_path):
    back = tmp_path / "back"
    back.mkdir()
    (back / "runs-1.zip").write_bytes(content)
    with pytest.raises(BadInput, match="expected a zip file"):
        unpack(back, tmp_path / "here")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "back").mkdir()
    with pytest.raises(BadInput, match="expected zip files"):
        unpack(tmp_path / "back", tmp_path / "here")
