"""What is read may come from anybody: only files are opened, sizes and numbers have limits."""

import os
import socket
import stat

import numpy as np
import pytest

from common.errors import BadInput
from common.storage.files import check_folder, check_inside, write_json, write_text
from common.storage.reading import (
    DEEPEST,
    check_depth,
    check_file,
    parse_json,
    read_bytes,
    read_json,
)
from common.weights import read_arrays, write_arrays


def link(path):
    path.symlink_to("/etc/hostname")


def listening(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


NO_FILES = {
    "a link": link,
    "a pipe": os.mkfifo,
    "a socket": listening,
    "a folder": os.mkdir,
}


@pytest.fixture(params=NO_FILES)
def no_file(request, tmp_path, monkeypatch):
    """Something else in the place of a file, by a short name: a socket's may have 100 letters."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "it"
    NO_FILES[request.param](path.relative_to(tmp_path))
    return path, request.param


def test_what_is_no_file_is_not_read(no_file):
    path, kind = no_file
    for read in (read_json, read_arrays, lambda p: check_file(p, "one", 1)):
        with pytest.raises(BadInput, match=f"found {kind}"):
            read(path)


def test_a_device_is_not_read():
    with pytest.raises(BadInput, match="expected a JSON file, found a device"):
        read_json("/dev/zero")


def test_what_is_no_file_is_not_replaced(no_file):
    path, kind = no_file
    before = os.lstat(path)
    with pytest.raises((BadInput, OSError)):
        write_text(path, "text")
    assert os.lstat(path).st_mode == before.st_mode
    assert [p.name for p in path.parent.iterdir()] == ["it"], kind


def test_a_link_is_followed_where_a_user_has_named_it(tmp_path):
    write_json(tmp_path / "file", {"a": 1})
    (tmp_path / "link").symlink_to("file")
    assert read_json(tmp_path / "link", follow=True) == {"a": 1}


def test_a_folder_of_files_and_folders_is_one(tmp_path):
    write_text(tmp_path / "a" / "b" / "c", "text")
    check_folder(tmp_path)
    check_inside(tmp_path, tmp_path / "absent")
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)
    check_folder(tmp_path.parent / f"{tmp_path.name}-link")


@pytest.mark.parametrize("depth", ["", "a/b"])
def test_nothing_in_a_folder_leads_elsewhere(depth, no_file):
    path, kind = no_file
    folder = path.parent
    if depth:
        (folder / depth).mkdir(parents=True)
        path.rename(folder / depth / "it")
    if kind == "a folder":
        check_folder(folder)
        return
    for check in (check_folder, check_inside):
        with pytest.raises(BadInput, match=f"it: expected a file or a folder, found {kind}"):
            check(folder)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a/b", "\ud800"])
def test_a_name_that_can_be_no_files_is_refused(name, tmp_path):
    with pytest.raises(BadInput):
        read_json(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(2**40)  # of holes: it takes no room
    assert stat.S_ISREG(path.stat().st_mode)
    for read in (read_json, read_arrays, lambda p: read_bytes(p, "one", 10)):
        with pytest.raises(BadInput, match="of at most .* bytes, found 1,099,511,627,776"):
            read(path)


REFUSED = {
    "1e999": "which no float64 holds",
    "-1e999": "which no float64 holds",
    "1" * 5000: "a whole number of 5000 characters",
    "-" + "9" * 20: "a whole number of 21 characters",
    "NaN": "which JSON does not have",
    '{"a": 1, "b": 2, "a": 3}': "the name 'a' twice in one object",
    "[" * 50 + "]" * 50: "more than 40 lists or objects in each other",
    '{"a":' * 41 + "1" + "}" * 41: "more than 40 lists or objects in each other",
    "[" * 100_000: "nesting beyond all bounds",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=list(range(len(REFUSED))))
def test_json_that_no_computer_holds_is_refused(text, reason):
    for inside in (text, f'{{"x": [0, {text}]}}'):
        with pytest.raises(BadInput) as caught:
            parse_json(inside, "file")
        assert reason in str(caught.value)
        assert len(str(caught.value)) < 600


def test_json_up_to_the_limits_is_read():
    assert parse_json("[1e308, -9223372036854775808, 18446744073709551615]", "file") == [
        1e308,
        -(2**63),
        2**64 - 1,
    ]
    deep = parse_json("[" * DEEPEST + "]" * DEEPEST, "file")
    check_depth(deep)
    with pytest.raises(ValueError, match="more than"):
        check_depth([deep])


def test_the_same_arrays_and_metadata_are_the_same_bytes(tmp_path):
    """safetensors has metadata in the order of a hash table, another one each time."""
    arrays = {"b": np.arange(3.0), "a": np.ones((2, 2), "float32")}
    metadata = {f"key {k}": str(k) for k in range(20)}
    found = set()
    for k in range(5):
        write_arrays(
            tmp_path / "file", arrays, dict(sorted(metadata.items(), key=lambda m: m[k % 2]))
        )
        found.add((tmp_path / "file").read_bytes())
    assert len(found) == 1
    read, kept = read_arrays(tmp_path / "file", ours=True)
    assert kept == metadata
    assert all((read[name] == arrays[name]).all() for name in arrays)


def test_every_bit_of_arrays_and_metadata_matters(tmp_path):
    """A flipped bit is refused wherever it is, unless what is read is the same: a space of the
    header may as well be a tab."""
    path = tmp_path / "file"
    arrays = {"layer1.W": np.arange(6.0).reshape(2, 3), "b": np.float32(1.5)}
    write_arrays(path, arrays, {"digest": "0123", "settings": '{"a": 1}'})
    whole, accepted = path.read_bytes(), 0
    wanted = read_arrays(path)
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            try:
                found = read_arrays(path, ours=True)
            except BadInput:
                continue
            accepted += 1
            assert found[1] == wanted[1]
            for name, array in wanted[0].items():
                assert found[0][name].tobytes() == array.tobytes()
                assert found[0][name].dtype == array.dtype
                assert found[0][name].shape == array.shape
    assert accepted < 20, "nothing but white space"


def test_a_file_of_ours_without_a_checksum_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2)}, tmp_path / "file", {"digest": "0"})
    assert read_arrays(tmp_path / "file")[1] == {"digest": "0"}
    with pytest.raises(BadInput, match="expected a checksum"):
        read_arrays(tmp_path / "file", ours=True)
