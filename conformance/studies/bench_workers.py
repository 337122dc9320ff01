"""What several workers gain, and what they send each other for it.

The teams take turns, an epoch each, so that a slow moment hits all of them; every worker has one
thread. All of it at D2L's sizes: n = 32, T = 35, d = q = 28, h = 256, L = 2, float32.
"""

import argparse
import math
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from backends.registry import check_name
from common.corpus import load_corpus
from common.errors import BadInput
from common.parameters import parameter_shapes
from common.recipe import RECIPES
from common.spec import ModelSpec
from conformance.cases.given import Given, save_given
from conformance.progress import Progress
from conformance.records.training import CHECKPOINT, NUMERICS
from conformance.run.asked import EPOCH_LIMIT, Run
from conformance.run.child import Child
from conformance.run.team import Team
from conformance.run.training import job_of

ROUNDS = 7
TRAFFIC = "/proc/{}/net/dev"
"""Where Linux counts the bytes of every interface in a process's network."""


@dataclass(frozen=True)
class Measured:
    """How a team of so many workers did, epoch by epoch.

    seconds: of a step     sent: bytes in a step, by all workers together
    tokens:  in a step     numbers: the gradients' elements
    """

    size: int
    seconds: list[float]
    sent: list[float]
    tokens: int
    numbers: int

    def speed_up(self, alone: "Measured") -> list[float]:
        """Against one worker, of neighbouring epochs."""
        return [a / b for a, b in zip(alone.seconds, self.seconds, strict=True)]


def measure(
    backend: str, sizes: list[int], progress: Progress, rounds: int = ROUNDS
) -> list[Measured]:
    """Train with one worker and with so many as are asked for, an epoch each in turn."""
    sizes = sorted({1, *sizes})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = {size: run_of(backend, size, folder) for size in sizes}
        teams = {size: team_of(run, folder) for size, run in runs.items()}
        for team in teams.values():
            stack.callback(team.stop)
        # The largest first: it finds out whether the framework can join processes at all.
        for size in progress.over(f"{backend} starts, workers", list(map(str, reversed(sizes)))):
            begin(teams[int(size)], runs[int(size)], folder)
        seconds: dict[int, list[float]] = {size: [] for size in sizes}
        sent: dict[int, list[float]] = {size: [] for size in sizes}
        row, steps = dict[str, Any](), 1
        for _ in progress.over(f"{backend} trains, epoch", list(map(str, range(rounds)))):
            for size, team in teams.items():
                before = loopback_bytes(team)
                row = asked(team, {"do": "epoch"})
                steps = len(row["losses"])
                sent[size].append((loopback_bytes(team) - before) / steps)
                seconds[size].append(row["seconds"] / steps)
    tokens = row["tokens"] // steps
    numbers = sum(map(math.prod, parameter_shapes(runs[1].spec).values()))
    return [Measured(size, seconds[size], sent[size], tokens, numbers) for size in sizes]


def run_of(backend: str, size: int, folder: Path) -> Run:
    """The full D2L recipe on the embedded text."""
    given, named = Given(load_corpus()), RECIPES["d2l"]
    spec = ModelSpec("lstm", given.corpus.q, named.h, given.corpus.q, named.L)
    return Run(
        backend=backend,
        device="cpu",
        implementation="layers",
        numerics="float32",
        spec=spec,
        recipe_name="d2l",
        recipe=named.recipes["lstm"],
        given=given,
        out=folder,
        prefix="a",
        workers=size,
    )


def team_of(run: Run, folder: Path) -> Child | Team:
    """As ``train`` makes it."""
    logs = folder / str(run.workers)
    logs.mkdir()
    which = run.backend, run.device, [NUMERICS[run.numerics]], run.threads
    if run.workers > 1:
        return Team(*which, run.workers, logs)
    return Child(*which, None, logs / "worker.log")


def begin(team: Child | Team, run: Run, folder: Path) -> None:
    """Start it, and train an epoch that does not count: frameworks compile in it."""
    team.start()
    given = folder / "given.safetensors"
    save_given(given, run.given)
    asked(team, job_of(run, given, folder / str(run.workers) / CHECKPOINT))
    asked(team, {"do": "epoch"})


def asked(team: Child | Team, request: dict[str, Any]) -> dict[str, Any]:
    answer = team.ask(request, EPOCH_LIMIT)
    if "bad input" in answer:
        raise BadInput(*answer["bad input"])
    if "crashed" in answer or "unsupported" in answer:
        raise RuntimeError(f"the benchmark's training does not run: {answer}")
    return answer


def loopback_bytes(team: Child | Team) -> int:
    """How many bytes the workers' machine, or their own network, has sent to itself since it began;
    0 if it does not say."""
    first = (team.members[0] if isinstance(team, Team) else team).process
    if first is None or not (path := Path(TRAFFIC.format(first.pid))).exists():
        return 0
    lines = path.read_text(encoding="ascii").splitlines()
    fields = next(line.split() for line in lines if line.strip().startswith("lo:"))
    return int(fields[9])  # the ninth number: transmitted


def bench_workers(options: argparse.Namespace, progress: Progress) -> Table:
    """A row for one worker and for so many as are asked for."""
    if not options.backend:
        raise BadInput("--workers", "", "--backend NAME with it", "none")
    backend = check_name(options.backend)
    n = RECIPES["d2l"].recipes["lstm"].n
    for size in options.workers:
        if n % size:
            raise BadInput("--workers", "", f"divisors of the {n} examples of a minibatch", size)
    found = measure(backend, options.workers, progress)
    alone = found[0]
    gradients = f"the gradients are {alone.numbers * 4 / 1e6:.2f} MB"
    table = Table(title=f"{backend}:layers, LSTM, D2L's sizes, float32; {gradients}")
    for column in ("workers", "tokens/s", "speed-up", "range", "efficiency", "MB sent per step"):
        table.add_column(column)
    for team in found:
        ratios = team.speed_up(alone)
        ratio = statistics.median(ratios)
        table.add_row(
            str(team.size),
            f"{team.tokens / min(team.seconds):,.0f}",
            f"{ratio:.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{ratio / team.size:.0%}",
            f"{statistics.median(team.sent) / 1e6:.2f}",
        )
    return table
