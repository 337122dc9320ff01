"""More than one machine: what a team gains here, and a calculation of what larger ones would."""

import math
import statistics
import sys
from typing import Any

from conformance.progress import Progress
from conformance.studies.bench_workers import ROUNDS, Measured, measure
from docs.experiments import run

SIZES = (2, 4)
PLANNED_WITH = "pytorch"
"""Whose step is the shortest here, so that sending weighs most."""
PLANNED = (2, 8, 64, 1000)
LINKS = {"10 Gbit/s": (1.25e9, 50e-6), "100 Gbit/s": (12.5e9, 10e-6)}
"""Bytes per second, and seconds until the first byte of a message is there."""
DEVICES = {"as measured": 1.0, "100 times as fast": 0.01}


def all_reduce(size: int, count: int, rate: float, latency: float) -> dict[str, float]:
    """Seconds to add up ``size`` bytes over ``count`` workers, by the two usual ways.

    Both send 2 (N − 1)/N · size from every worker. A ring does it in 2 (N − 1) messages, one after
    another; halving and doubling in 2 log₂ N. Source: Thakur, Rabenseifner and Gropp,
    "Optimization of Collective Communication Operations in MPICH", 2005.
    """
    bytes_sent = 2 * (count - 1) / count * size / rate
    return {
        "ring": bytes_sent + 2 * (count - 1) * latency,
        "halving": bytes_sent + 2 * math.ceil(math.log2(count)) * latency,
    }


def plan(step: float, numbers: int) -> list[dict[str, Any]]:
    """What N workers would do that have n = 32 examples each: a calculation, not a measurement.

    step: seconds of one worker's step     numbers: the gradients' elements, float32
    """
    rows = []
    for device, factor in DEVICES.items():
        for link, (rate, latency) in LINKS.items():
            for count in PLANNED:
                seconds = all_reduce(4 * numbers, count, rate, latency)
                rows.append(
                    {
                        "device": device,
                        "link": link,
                        "workers": count,
                        "ms of a step": 1000 * step * factor,
                        "ms of a ring": 1000 * seconds["ring"],
                        "ms of halving": 1000 * seconds["halving"],
                        "efficiency of a ring": share(step * factor, seconds["ring"]),
                        "of halving": share(step * factor, seconds["halving"]),
                    }
                )
    return rows


def share(step: float, sending: float) -> str:
    """What is left of a worker's speed if it sends after every step."""
    return f"{step / (step + sending):.0%}"


def row_of(backend: str, team: Measured, alone: Measured) -> dict[str, Any]:
    ratio = statistics.median(team.speed_up(alone))
    return {
        "backend": backend,
        "workers": team.size,
        "speed-up": round(ratio, 2),
        "efficiency": f"{ratio / team.size:.0%}",
        "MB-sent-per-step": round(statistics.median(team.sent) / 1e6, 2),
    }


def measured(backend: str, short: bool) -> dict[str, Any]:
    """Teams on this machine, and the plan from one worker's step."""
    teams = measure(backend, [2] if short else list(SIZES), Progress(), 1 if short else ROUNDS)
    alone = teams[0]
    step = statistics.median(alone.seconds)
    values = {"MB-of-gradients": alone.numbers * 4 / 1e6, "ms-of-a-step": 1000 * step}
    rows = [row_of(backend, team, alone) for team in teams]
    tables = {"teams": rows}
    if backend == PLANNED_WITH:
        tables["plan"] = plan(step, alone.numbers)
    return {"values": values, "tables": tables}


def solution_1(backend: str) -> None:
    """What each of N workers sends: it does not grow without end."""
    for count in (2, 4, 8, 64, 1000):
        print(f"{count:4} workers: {2 * (count - 1) / count:.3f} times the gradients' size")


def solution_2(backend: str) -> None:
    """From which size on the bytes and not the messages decide, for a ring at 10 Gbit/s."""
    rate, latency = LINKS["10 Gbit/s"]
    for count in (2, 8, 64):
        size = latency * count * rate
        seconds = all_reduce(int(size), count, rate, latency)["ring"]
        print(f"{count:2} workers: {size / 1e6:.2f} MB, {1000 * seconds:.1f} ms")


def main(words: list[str] | None = None) -> int:
    return run("more-machines", (solution_1, solution_2), measured, words)


if __name__ == "__main__":
    sys.exit(main())
