"""The list of hashes that a verdict rests on, as existing tools check and sign it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS, BadInput
from common.storage.sums import check_sums, lines, sha256_of, write_sums
from conformance.judge.basis import ROOT
from tests.conformance.helpers import judge

pytestmark = pytest.mark.once

ARRAYS = "numpy-cpu/arrays/equations/float32/lstm-L2.safetensors"


@pytest.fixture
def listed(out) -> Path:
    """A manifest beside a verdict."""
    path = out / "MANIFEST"
    written = ("--json", str(out / "verdict.json"), "--manifest", str(path))
    assert judge(out, "--quiet", *written) == EXIT_PASS
    return path


def check(path: Path) -> subprocess.CompletedProcess:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    command = ["sha256sum", "--check", "--strict", "--quiet", path.name]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


def test_sha256sum_checks_a_manifest(listed):
    checked = check(listed)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    names = {line.split("  ", 1)[1] for line in listed.read_text(encoding="utf-8").splitlines()}
    assert {"verdict.json", "numpy-cpu/record.json", "numpy-cpu/given.safetensors"} <= names
    assert ARRAYS in names
    suite = os.path.relpath(ROOT, listed.parent)
    for name in ("closeness/bounds.toml", "verdict/deviations.toml", "judge/required/numpy.json"):
        assert f"{suite}/conformance/{name}" in names


@pytest.mark.parametrize("name", ["verdict.json", ARRAYS, "numpy-cpu/record.json"])
def test_sha256sum_tells_a_file_that_was_changed(name, listed):
    with open(listed.parent / name, "ab") as file:
        file.write(b" ")
    checked = check(listed)
    assert checked.returncode == 1
    assert f"{name}: FAILED" in checked.stdout


def test_there_is_no_manifest_of_what_is_not_finished(out, capsys):
    (out / ".numpy-cpu.partial").mkdir()
    capsys.readouterr()
    assert judge(out, "--quiet", "--manifest", str(out / "MANIFEST")) == EXIT_BAD_INPUT
    assert not (out / "MANIFEST").exists()


def test_a_signature_of_a_manifest_is_verified_and_that_of_another_is_not(listed, tmp_path):
    """As docs/trust.md has it."""
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg")
    home = tmp_path / "g"
    home.mkdir(mode=0o700)

    def gpg(*words: str) -> int:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *words]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    who = "A test <test@example.org>"
    make = ("--passphrase", "", "--pinentry-mode", "loopback", "--quick-generate-key", who)
    assert gpg(*make, "ed25519", "sign") == 0
    try:
        assert gpg("--detach-sign", "--armor", str(listed)) == 0
        signature = f"{listed}.asc"
        assert gpg("--verify", signature, str(listed)) == 0
        text = listed.read_text(encoding="utf-8")
        listed.write_text(text.replace("0", "1", 1), encoding="utf-8")
        assert gpg("--verify", signature, str(listed)) != 0
    finally:
        kill = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        subprocess.run(kill, capture_output=True, check=False, timeout=60)


def test_a_name_that_is_no_line_is_written_as_sha256sum_reads_it(tmp_path):
    strange = tmp_path / "two\nlines \\ and more"
    strange.write_text("x", encoding="utf-8")
    (tmp_path / "SUMS").write_text(lines({strange.name: sha256_of(strange)}), encoding="utf-8")
    assert check(tmp_path / "SUMS").returncode == 0


def test_a_folder_is_held_against_its_list(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    write_sums(tmp_path)
    check_sums(tmp_path, "")
    (tmp_path / "b.json").write_text("{ }", encoding="utf-8")
    with pytest.raises(BadInput, match="b.json: expected the file that SHA256SUMS names"):
        check_sums(tmp_path, "")
    (tmp_path / "b.json").unlink()
    with pytest.raises(BadInput, match="b.json: .* found no such file"):
        check_sums(tmp_path, "")
    (tmp_path / "SHA256SUMS").write_text("nothing", encoding="utf-8")
    with pytest.raises(BadInput, match="a list of hashes and names"):
        check_sums(tmp_path, "")
