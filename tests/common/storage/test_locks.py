"""One writer at a time, and nobody is locked out by the dead."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import BadInput
from common.storage.locks import locked

pytestmark = pytest.mark.once

HOLD = """
import sys
from pathlib import Path
from common.storage.locks import locked
with locked(Path(sys.argv[1]), Path("results")):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_who_comes_second_is_told_who_holds_the_folder(tmp_path, holder):
    with pytest.raises(BadInput) as caught, locked(tmp_path / ".lock", tmp_path / "results"):
        pytest.fail("two hold the lock")
    assert f"found process {holder.pid} on " in str(caught.value)
    assert str(tmp_path / "results") in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_lock_of_a_killed_process_locks_nobody_out(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path / ".lock", tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    assert not (tmp_path / ".lock").exists()


def test_the_lock_can_be_taken_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError), locked(tmp_path / ".lock", tmp_path):
            raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: p.symlink_to("/etc/hostname")])
def test_what_is_no_file_is_no_lock(make, tmp_path):
    make(tmp_path / ".lock")
    with pytest.raises((BadInput, OSError)), locked(tmp_path / ".lock", tmp_path):
        pytest.fail("locked")
    assert os.lstat(tmp_path / ".lock")
