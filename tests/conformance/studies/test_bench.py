"""The benchmark measures what it says; no test looks at how long anything takes."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from backends import registry
from common.spec import ModelSpec
from conformance.__main__ import main
from conformance.progress import Progress
from conformance.studies import bench, bench_contestant, bench_page, bench_workers
from tests.conformance.helpers import assert_one_line

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "docs" / "results" / "speed" / "bench.json"


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
    assert found.cpu == found.ratios


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
    for race in found:
        assert np.isfinite([race.ratios, race.cpu]).all() and race.ratio > 0
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


def test_the_processor_s_seconds_are_the_contestant_s_own(tiny):
    made = bench_contestant.Contestant(bench.order("numpy", implementation="equations"))
    try:
        began = made.spent()
        made()
        own = made.spent() - began
        assert own > 0
        assert bench.seconds(made, 1)[1] > 0
        assert made.spent() > began + own
    finally:
        made.stop()


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


def test_what_was_measured_is_kept_beside_other_backends_and_brought_into_a_page(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(bench_page, "of_numpy", lambda found: "")
    file, page = tmp_path / "bench.json", tmp_path / "page.md"
    page.write_text("above\n<!-- bench -->\nold\n<!-- /bench -->\nbelow\n")
    file.write_text('{"jax": {"version": "1", "races": []}}')
    about = bench.TRAINING
    for cpu in ([9.0], [1.0, 1.25, 7.0]):
        made = bench.Race("ours", "theirs", [2.0], (1.0, 1.0), "≤ 1.05", cpu, about)
        monkeypatch.setattr(bench, "races", lambda name, progress, made=made: [made])
        options = ["--backend", "numpy", "--json", str(file), "--readme", str(page), "--quiet"]
        assert main(["bench", *options]) == 0
    kept = json.loads(file.read_text())
    assert kept["jax"] == {"version": "1", "races": []}
    assert kept["numpy"]["version"] == np.__version__
    assert [race["cpu"] for race in kept["numpy"]["races"]] == [[1.0, 1.25, 7.0]]
    row = f"| numpy {np.__version__} | – | – | – | – | – | – | 1.25 | – | – |"
    assert page.read_text().splitlines() == [
        "above",
        "<!-- bench -->",
        f"| {' | '.join(bench_page.HEAD)} |",
        f"|{' --- |' * len(bench_page.HEAD)}",
        row,
        "<!-- /bench -->",
        "below",
    ]


def test_the_readme_has_the_table_of_what_is_kept(tmp_path):
    """And all that it says is measured there is."""
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    bench_page.update_page(copy, KEPT)
    assert copy.read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8")
    made = json.loads(KEPT.read_text(encoding="utf-8"))
    for backend in ("jax", "mxnet", "pytorch", "tensorflow"):
        assert set(bench_page.COLUMNS) <= {race["about"] for race in made[backend]["races"]}


def test_two_directions_have_the_products_that_the_equations_say():
    """4h(in + h) in every direction of every layer, and q of each output."""
    d, h, q = bench.Q, bench.H, bench.Q
    one = 4 * h * (d + h) + 4 * h * (h + h) + h * q
    two = 2 * 4 * h * (d + h) + 2 * 4 * h * (2 * h + h) + 2 * h * q
    assert bench.products(bench.SPECS["lstm"]) == one
    assert bench_page.more(2) == two / one and bench_page.more(1) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--readme: expected --json beside it, found none"),
        (
            ["--json", "bench.json"],
            "page.md: expected the markers <!-- bench --> and <!-- /bench -->, found none",
        ),
        (["--json", "list.json"], "list.json: expected an object, a backend each, found []"),
    ],
)
def test_a_page_that_cannot_be_brought_up_to_date_is_one_line(
    options, said, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text("Nothing.")
    (tmp_path / "list.json").write_text("[]")
    monkeypatch.setattr(bench, "races", lambda name, progress: [])
    assert main(["bench", "--backend", "numpy", "--readme", "page.md", "--quiet", *options]) == 2
    assert assert_one_line(capsys.readouterr().err) == said


def test_a_backend_that_is_missing_is_one_line(monkeypatch, capsys):
    assert main(["bench", "--backend", "caffe"]) == 2
    assert "caffe" in assert_one_line(capsys.readouterr().err)


def test_without_a_name_what_is_not_installed_is_left_out(monkeypatch, capsys):
    made = bench.Race("ours", "theirs", [1.0], (1.0, 1.0), "", [1.0])
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
