"""The benchmark measures what it says; no test looks at how long anything takes."""

import dataclasses
import itertools

import numpy as np
import pytest

from backends import registry
from common.spec import ModelSpec
from conformance.__main__ import main
from conformance.progress import Progress
from conformance.studies import bench, bench_contestant, bench_workers
from tests.conformance.helpers import assert_one_line


class Clock:
    """Time that passes only as contestants say."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.turns: list[str] = []
        patch.setattr(bench.time, "perf_counter", lambda: self.now)
        patch.setattr(bench.time, "process_time", lambda: self.now / 2)

    def contestant(self, name: str, seconds):
        durations = itertools.cycle(seconds)

        def work() -> None:
            self.turns.append(name)
            self.now += next(durations)

        return work


def test_contestants_take_turns_and_the_first_call_of_a_block_is_not_counted(monkeypatch):
    clock = Clock(monkeypatch)
    # Every block is a call that is not counted, 100 s, and two that are.
    slow = clock.contestant("a", [100.0, 2.0, 4.0])
    fast = clock.contestant("b", [100.0, 1.0, 1.0])
    found = bench.race("a", slow, "b", fast, "≤ 2", block=2)
    assert found.ratios == [3.0] * bench.ROUNDS
    assert found.ratio == 3.0
    assert clock.turns == ["a", "a", "a", "b", "b", "b"] * bench.ROUNDS
    assert found.rates == (bench.N * bench.T / 3.0, bench.N * bench.T / 1.0)
    assert found.cpu == [3.0] * bench.ROUNDS


def test_a_slow_moment_does_not_decide(monkeypatch):
    clock = Clock(monkeypatch)
    rounds = bench.ROUNDS_OF_EPOCHS
    disturbed = [0.0, 50.0] + [0.0, 1.0] * (rounds - 1)
    found = bench.race(
        "a", clock.contestant("a", disturbed), "b", clock.contestant("b", [0.0, 1.0]), "", 1, 8
    )
    assert len(found.ratios) == rounds and max(found.ratios) == 50.0
    assert found.ratio == 1.0
    assert not found.cpu, "contestants of whole epochs have processes of their own"


@pytest.fixture
def tiny(monkeypatch):
    """The races of one backend, at a size that takes no time."""
    spec = ModelSpec("lstm", 5, 4, 5, 2)
    sizes = {"T": 3, "N": 2, "Q": 5, "STEPS": 2, "ROUNDS": 2, "ROUNDS_OF_EPOCHS": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench, "SPECS", {"lstm": spec})
    monkeypatch.setattr(bench, "BOTH_WAYS", {"lstm": dataclasses.replace(spec, directions=2)})
    monkeypatch.setattr(bench, "RECIPE", dataclasses.replace(bench.RECIPE, n=2, T=3))


def test_everything_that_is_measured_runs(tiny, pytestconfig):
    backend = pytestconfig.getoption("--backend") or "numpy"
    found = bench.races(backend, Progress(quiet=True))
    named = [race.first for race in found]
    implementation = "equations" if backend == "numpy" else "layers"
    assert f"{backend}:{implementation} lstm lattice training" in named
    assert all(np.isfinite(race.ratios).all() and race.ratio > 0 for race in found)
    if backend == "numpy":
        both = [r.first.partition("both ways, ")[2] for r in found if "both ways" in r.first]
        assert both == ["L = 1, gradients", "L = 2, gradients"]
    else:
        ours = {f"{backend}:layers lstm{ways} gradients" for ways in ("", " both ways")}
        assert ours | {f"D2L's {backend} loop"} <= set(named)


def test_an_epoch_of_training_moves_the_parameters_and_ends_on_the_lattice(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(bench_contestant, "digest", lambda params: seen.append(dict(params)))
    order = bench.order("numpy", implementation="equations", numerics="lattice")
    assert bench_contestant.Order.from_json(order.to_json()) == order
    work = bench_contestant.training(order)
    work()
    work()
    first, second = seen
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    for array in second.values():
        np.testing.assert_array_equal(array * 2.0**20, np.rint(array * 2.0**20))


def test_a_contestant_that_cannot_train_is_an_error_with_its_order(tiny):
    with pytest.raises(RuntimeError, match=r"Order\(backend='numpy'.*: '', exit code"):
        bench_contestant.Contestant(bench.order("numpy", implementation="layers"))


def test_the_table_shows_every_race(monkeypatch, capsys):
    made = bench.Race("ours", "theirs", [1.0, 1.5, 2.0], (1234.0, 999.0), "≤ 1.6", [1.25])
    monkeypatch.setattr(bench, "races", lambda name, progress: [made])
    assert main(["bench", "--backend", "numpy", "--quiet"]) == 0
    shown = capsys.readouterr().out
    for part in ("ours", "theirs", "1.50", "1.00 to 2.00", "1.25", "≤ 1.6", "1,234 and 999"):
        assert part in shown


def test_a_backend_that_is_missing_is_one_line(monkeypatch, capsys):
    assert main(["bench", "--backend", "caffe"]) == 2
    assert "caffe" in assert_one_line(capsys.readouterr().err)


def test_without_a_name_what_is_not_installed_is_left_out(monkeypatch, capsys):
    made = bench.Race("ours", "theirs", [1.0], (1.0, 1.0), "")
    monkeypatch.setattr(bench, "races", lambda name, progress: [made])
    load = registry.load

    def only_numpy(name: str):
        if name != "numpy":
            raise bench.BadInput(f"backend {name}", "", "its framework installed", "none")
        return load(name)

    monkeypatch.setattr(registry, "load", only_numpy)
    assert main(["bench"]) == 0
    told = capsys.readouterr()
    assert told.out.count("ours") == 1
    assert "pytorch: not measured" in told.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2"), "--workers: expected --backend NAME with it, found none"),
        (
            ("--backend", "numpy", "--workers", "2", "5"),
            "--workers: expected divisors of the 32 examples of a minibatch, found 5",
        ),
        (
            ("--backend", "numpy", "--workers", "2"),
            "--workers: expected a backend whose framework joins processes, found numpy, which has"
            " none",
        ),
    ],
)
def test_workers_that_cannot_be_measured_are_one_line(options, said, capsys):
    assert main(["bench", *options, "--quiet"]) == 2
    assert assert_one_line(capsys.readouterr().err) == said


def test_the_speed_up_is_of_neighbouring_epochs():
    alone = bench_workers.Measured(1, [4.0, 8.0], [0.0, 0.0], 1120, 7)
    team = bench_workers.Measured(2, [2.0, 8.0], [6.0, 6.0], 1120, 7)
    assert team.speed_up(alone) == [2.0, 1.0]
