"""Several processes, joined by the framework's own engine, train what one process trains."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from conformance.__main__ import main
from conformance.records.training import load_run
from conformance.run import command as run_command
from conformance.run import training
from conformance.run.team import Team
from tests.backends.doors import PATIENCE, SEEN
from tests.backends.launchers import EPOCHS, LONG, LOOPBACK, WITNESS, command, said
from tests.conformance.helpers import assert_one_line, wait_until_gone
from tests.conformance.training_helpers import CHECKPOINT, asked_of, epochs_in, use_faulty_trainee

LATTICE = ("--numerics", "lattice", "--epochs", str(EPOCHS))


@pytest.fixture
def train(backend_name: str, backend, tmp_path: Path):
    """``python -m conformance train`` in this process, with the layers; the exit code."""
    if not hasattr(backend, "join"):
        pytest.skip(f"{backend_name} has no engine that joins processes")

    def run(workers: int, *options: str) -> int:
        command = ["train", "--backend", backend_name, "--implementation", "layers"]
        command += [*LATTICE, "--workers", str(workers), "--out", str(tmp_path), *options]
        return main([*command, "--quiet"])

    return run


def folder_of(out: Path, backend: str, workers: int, implementation: str = "layers") -> Path:
    name = f"{implementation}-lstm-quick-lattice-{workers}-workers"
    return out / "training" / f"{backend}-cpu" / name


class Kept:
    """A team of two that commands ask one after another and do not end: to start one takes most of
    the time that a test of it would."""

    def __init__(self, team: Team) -> None:
        self.team = team

    def __getattr__(self, name: str) -> Any:
        return getattr(self.team, name)

    def leave(self) -> None:
        """It stays for the next command, and so does it where a command says ``stop``."""

    stop = leave


@pytest.fixture(scope="module")
def kept(pytestconfig: pytest.Config, tmp_path_factory) -> Iterator[Kept]:
    """It starts when it is first asked, and again after somebody has ended it."""
    name = pytestconfig.getoption("--backend")
    which = name, "cpu", ["float64", "float32"], 1
    team = Team(*which, 2, tmp_path_factory.mktemp("team"))
    yield Kept(team)
    team.leave()
    team.stop()


@pytest.fixture
def faults(kept: Kept, monkeypatch) -> Callable[[str], Path]:
    """Commands ask the team of two, in which nothing goes wrong until it is said. Sets what does;
    returns the file that gets a line for every epoch of every worker."""
    asked, told = kept.folder / "asked", kept.folder / "faults"
    use_faulty_trainee(monkeypatch)
    monkeypatch.setenv("ASKED", str(asked))
    monkeypatch.setenv("FAULTS_IN", str(told))
    monkeypatch.setattr(run_command, "make_worker", lambda runs: kept)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 0.0)
    asked.unlink(missing_ok=True)

    def set_faults(text: str) -> Path:
        told.write_text(text, encoding="utf-8")
        return asked

    set_faults("")
    return set_faults


@pytest.mark.parametrize("workers", [2, 4])
def test_the_digests_are_those_of_one_process(
    workers: int, train, request, backend_name: str, backend, tmp_path: Path
) -> None:
    """Of every implementation: one team trains them one after another. Four are started by the
    command itself."""
    if workers == 2:
        request.getfixturevalue("faults")
    names = backend.IMPLEMENTATIONS
    assert train(workers, "--implementation", *names) == EXIT_PASS
    for implementation in names:
        made = load_run(folder_of(tmp_path, backend_name, workers, implementation))
        assert made.data["workers"] == workers
        assert made.digests == WITNESS.digests[:EPOCHS]


def test_the_float32_curve_is_accepted(train, faults, tmp_path: Path) -> None:
    assert train(2, "--numerics", "float32", "--epochs", str(WITNESS.recipe.epochs)) == EXIT_PASS
    assert main(["judge", str(tmp_path), "--quiet"]) == EXIT_PASS


def test_a_worker_with_other_initial_weights_is_refused(train, faults, capfd) -> None:
    asked = faults("other-weights@worker1")
    assert train(2) == EXIT_BAD_INPUT
    line = assert_one_line(capfd.readouterr().err)
    assert re.search(r"worker 1 of 2: initial weights: expected \w+, found other ones", line)
    assert asked_of(asked) == []


def test_a_worker_that_is_killed_ends_the_run_which_then_goes_on(
    train, faults, backend_name: str, tmp_path: Path, capfd
) -> None:
    asked = faults("sigkill@worker1:3")
    assert train(2) == EXIT_FAIL
    line = assert_one_line(capfd.readouterr().err)
    assert re.search(r"crashed: worker \d: the process was ended by SIGKILL", line)
    pids = {pid for pid, *_ in asked_of(asked)}
    assert len(pids) == 2
    wait_until_gone(pids, PATIENCE)
    folder = folder_of(tmp_path, backend_name, 2)
    checkpoint = folder.with_name(f".{folder.name}.partial") / CHECKPOINT
    assert len(epochs_in(checkpoint)) == 2
    asked.unlink()
    faults("")
    assert train(2) == EXIT_PASS
    assert {epoch for *_, epoch in asked_of(asked)} == {3}
    assert load_run(folder).digests == WITNESS.digests[:EPOCHS]


def test_a_worker_of_another_seed_is_refused_on_every_host(
    launch, backend_name: str, tmp_path: Path
) -> None:
    commands = [command(backend_name, tmp_path / str(k), "--seed", str(k)) for k in (1, 2)]
    for k, process in enumerate(launch([LOOPBACK, LOOPBACK], commands)):
        assert process.wait(PATIENCE) == EXIT_BAD_INPUT, said(tmp_path, k)
        expected = r"worker 1 of 2: recipe: expected seed \d, found seed \d"
        assert re.search(expected, said(tmp_path, k))
    assert not list(tmp_path.rglob("run.json"))


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 1000:
            raise TimeoutError


@pytest.mark.parametrize(
    ("meet", "heard", "ends"),
    [
        (20, 3, None),  # MXNet counts the silence from the start: at once it is above the limit
        (20, 1000, 30),
        (1, 1000, 11),
        (1000, 0, 240),
    ],
    ids=["late", "late and dead", "dead", "never"],
)
def test_a_helper_of_mxnet_takes_nobody_for_dead_who_came_late(
    meet: int, heard: int, ends: int | None, backend_name: str, monkeypatch, capfd
) -> None:
    """All meet at one second; each is first heard so many seconds later."""
    if backend_name != "mxnet":
        pytest.skip("only MXNet has helpers that wait for the workers")
    from backends.mxnet import helper

    clock = Clock()

    class Heard(helper.Store):
        def __init__(self) -> None:
            pass

        def silent(self, seconds: int) -> int:
            return int(clock.now >= meet and (seconds == helper.EVER or clock.now < meet + heard))

    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(helper, "time", clock)
    monkeypatch.setattr(helper.os, "_exit", end)
    monkeypatch.setenv("DMLC_ROLE", "server")
    with pytest.raises(TimeoutError if ends is None else SystemExit):
        helper.watch(Heard())
    assert ends is None or ends < clock.now <= ends + 2
    assert ("MXNet's server ends" in capfd.readouterr().err) == (ends is not None)


def test_a_host_whose_peer_is_killed_ends_by_itself(
    launch, backend_name: str, tmp_path: Path
) -> None:
    commands = [command(backend_name, tmp_path / str(k), *LONG) for k in (1, 2)]
    processes = launch([LOOPBACK, LOOPBACK], commands)
    deadline = time.monotonic() + PATIENCE
    while not (shown := [k for k in (0, 1) if SEEN.search(said(tmp_path, k))]):
        assert time.monotonic() < deadline, {p.name: p.read_text() for p in tmp_path.glob("*.log")}
        assert not [p for p in processes if p.poll() is not None], said(tmp_path, 0)
        time.sleep(0.1)
    first, other = shown[0], 1 - shown[0]
    processes[other].kill()
    assert processes[first].wait(PATIENCE) == EXIT_FAIL, said(tmp_path, first)
    assert "crashed: " in said(tmp_path, first)
