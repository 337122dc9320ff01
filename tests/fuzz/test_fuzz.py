"""Whatever a file holds: one line and an exit code, in bounded time and memory, and no false PASS.

In short here; at length, 10,800 changes over all readers, 2,000 of each kind of capture, by

    python -m pytest --backend numpy tests/fuzz --hypothesis-profile fuzz
"""

import contextlib
import io
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.errors import EXIT_INTERNAL, EXIT_PASS
from conformance.diagnose import explain
from conformance.mutants import applicable
from tests.fuzz.mutations import mutated
from tests.fuzz.subjects import (
    MOVED,
    SUBJECTS,
    Subject,
    all_arrays,
    journal_says,
    json_value,
    make,
)

pytestmark = pytest.mark.once

SECONDS = 60
MEMORY = 2**30
ALLOWED = {0, 1, 2, 4}
ESSENCES = {
    "checkpoint.safetensors": all_arrays,
    "journal.jsonl": journal_says,
    "run.json": json_value,
    f"{MOVED}.certificate.json": json_value,
    "verdict.json": json_value,
}

CAPTURED = ("captured.safetensors", "captured-after.safetensors")
"""Files of strangers, as those of networks are (test_files.py)."""

LONG = settings.get_current_profile_name() == "fuzz"
CAPTURES = 2000 if LONG else 12
SETTING = settings(
    max_examples=400 if LONG else 12,
    derandomize=not LONG,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    make(folder)
    return folder


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """An alarm for what hangs, and no more memory than 1 GiB above what is in use."""

    def late(number, frame):
        raise TimeoutError(f"longer than {SECONDS} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, limits[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


def outcome(subject: Subject, path: Path) -> tuple[int, str]:
    """The exit code, and everything that was said."""
    out, err = io.StringIO(), io.StringIO()
    with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = subject.read(path)
    return code, out.getvalue() + err.getvalue()


def same(subject: Subject, path: Path, before: object) -> bool:
    """Whether nothing that matters has changed."""
    try:
        return subject.essence is None or subject.essence(path) == before
    except Exception:
        return False  # it cannot even be read, and yet it passed


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name.split("/")[-1])
def test_whatever_a_file_holds_is_no_traceback_and_no_false_pass(
    subject, good, tmp_path, monkeypatch
):
    monkeypatch.setattr(explain, "applicable", lambda *of: applicable(*of)[::40])
    shutil.copytree(good, tmp_path / "copy")
    path = tmp_path / "copy" / subject.name
    whole = path.read_bytes()
    assert outcome(subject, path)[0] == EXIT_PASS
    before = subject.essence(path) if subject.essence else None

    @settings(SETTING, max_examples=CAPTURES if subject.name in CAPTURED else SETTING.max_examples)
    @given(st.data())
    def holds(data):
        path.write_bytes(mutated(data.draw, subject.name, whole))
        code, said = outcome(subject, path)
        assert code != EXIT_INTERNAL, said
        assert code in ALLOWED
        assert "Traceback" not in said
        assert "not enough memory" not in said
        if code == EXIT_PASS:
            assert same(subject, path, before), "a PASS, and something that matters has changed"

    holds()


@pytest.mark.parametrize("name", ESSENCES)
def test_every_byte_of_what_is_read_again_matters(name, good, tmp_path):
    """Accidents, not forgeries: every byte is changed in turn, and whatever is still read says the
    same as before."""
    (subject,) = (s for s in SUBJECTS if s.name == name)
    shutil.copytree(good, tmp_path / "copy")
    path = tmp_path / "copy" / name
    whole = path.read_bytes()
    meaning = ESSENCES[name]
    before, accepted = meaning(path), 0
    for place in range(0, len(whole), 1 if LONG else 11):  # 11 is prime: all bits of a byte come
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        if outcome(subject, path)[0] == EXIT_PASS:
            accepted += 1
            assert meaning(path) == before or is_cut_short(name, place, whole)
    assert accepted < 20


def is_cut_short(name: str, place: int, whole: bytes) -> bool:
    """A journal whose last line has no end any more: that case is done again."""
    return name == "journal.jsonl" and place == len(whole) - 1
