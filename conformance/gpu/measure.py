"""``python -m conformance.gpu.measure``: the children of stages that neither record nor train.

rates   a backend's passport, and how fast the framework multiplies matrices
modes   a backend's layers by other paths, a case at a time: how far from the right answer
speed   tokens per second of training steps whose data are on the device
"""

import argparse
import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends import registry
from common.corpus import load_corpus
from common.errors import BadInput
from common.recipe import RECIPES
from common.spec import ModelSpec
from common.storage.files import make_folder, write_json
from conformance.cases.given import gather
from conformance.cases.table import DTYPES, select
from conformance.closeness.compare import Comparison, load_bounds
from conformance.gpu.estimate import operations
from conformance.judge.ladder import compare_all
from conformance.oracle.truth import right_answer
from conformance.worker.failure import failure
from conformance.worker.ladder import answer

RATES = ("float64", "float32", "tf32", "float16", "bfloat16")
NUMERICS = {"float32": "float32", "tf32": "tf32", "mixed": "bfloat16"}
"""Of training steps, and the dtype of the products that they are a share of."""

TIMES, ROUNDS = 20, 3

LITERATURE = {"n": 16, "T": 1024, "h": 768, "dtype": "float16"}
"""FlashRNN (Pöppel, Beck, Hochreiter 2024, arXiv:2412.07752): one nn.LSTM of cuDNN, forward and
backward, on an H100 SXM, 5.19 ms for 16 · 1,024 tokens: 3.16 million a second. The figure
head_dim--lstm.svg of its repository, NX-AI/flashrnn; the setting is that of
speed_experiments/kernel_speed_benchmark.py, the dtype that of the notebook that draws it."""


def attempt(work: Callable[[], Any]) -> Any:
    """What comes of it, or why nothing does: the other measurements go on."""
    try:
        return work()
    except Exception as error:  # whatever a framework raises is this measurement's result
        return failure(error)


def rates(options: argparse.Namespace) -> dict[str, Any]:
    backend = registry.load(options.backend)
    found: dict[str, Any] = {"passport": backend.passport(options.device), "rates": {}}
    for dtype in RATES if options.device == "gpu" else RATES[:2]:
        which = options.device, dtype, options.size, TIMES
        found["rates"][dtype] = attempt(lambda which=which: backend.product_rate(*which))
    return found


def modes(options: argparse.Namespace) -> dict[str, Any]:
    """By mode, dtype and case: the first rung that breaks, and of every rung the largest error and
    its multiple of the noise floor."""
    part = registry.load_part(options.backend, "gpu")
    given, found = gather(load_corpus(None), None), {}
    answers = {name: right_answer(name, given) for name in select(options.cases, 0, 0)}
    alone = {n: dataclasses.replace(a.case, invariances=False) for n, a in answers.items()}
    bounds = load_bounds()[options.device]
    for mode, dtype, name in itertools.product(part.MODES, DTYPES, answers):
        made, within = part.mode(mode, options.device, dtype)
        right = dataclasses.replace(answers[name], case=alone[name])
        with within:
            row = attempt(lambda m=made, r=right: answer(m, r.case, r.numbers))
        if "crashed" not in row:
            row = rungs(compare_all(row, right, dtype, bounds[dtype], {}))
        found.setdefault(mode, {}).setdefault(dtype, {})[name] = row
        write_json(options.out, {"backend": options.backend, "modes": found})  # it may be stopped
    return {"backend": options.backend, "modes": found}


def rungs(comparisons: list[Comparison]) -> dict[str, Any]:
    """The first rung that breaks, and of every rung the largest error and ratio; NaN is not JSON's,
    and stands as null."""
    broken = [c.rung for c in comparisons if not c.passed]
    worst: dict[str, dict[str, float | None]] = {}
    for rung in dict.fromkeys(c.rung for c in comparisons):
        own = [c for c in comparisons if c.rung == rung]
        pairs = {"error": max(c.error for c in own), "ratio": max(c.ratio for c in own)}
        worst[rung] = {k: v if math.isfinite(v) else None for k, v in pairs.items()}
    return {"broken": broken[0] if broken else None, "rungs": worst}


def seconds_of(run: Callable[[int], None], steps: int) -> float:
    """Seconds of a step: the median of some rounds, after one that is not counted."""
    run(steps)
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run(steps)
        found.append((time.perf_counter() - began) / steps)
    return statistics.median(found)


def speed(options: argparse.Namespace) -> dict[str, Any]:
    backend, part = registry.load(options.backend), registry.load_part(options.backend, "gpu")
    corpus, rows = load_corpus(None), []
    for numerics in options.numerics or (NUMERICS if options.device == "gpu" else ["float32"]):
        dtype = NUMERICS[numerics]
        best = backend.product_rate(options.device, dtype, options.size, TIMES)
        for n in options.examples:
            for h in options.hidden:
                spec = ModelSpec("lstm", corpus.q, h, corpus.q, RECIPES["d2l"].L)
                recipe = dataclasses.replace(RECIPES["d2l"].recipes["lstm"], n=n)
                for way in part.ways(options.device):
                    which = spec, recipe, numerics, options.device, way
                    row = {"numerics": numerics, "n": n, "h": h, "way": way, "products/s": best}
                    made = attempt(lambda w=which: measured(part.device_steps(*w), options.steps))
                    rows.append(row | made)
                    if "seconds" in made:
                        per_second = n * recipe.T / made["seconds"]
                        share = per_second * operations(spec) / best
                        rows[-1] |= {"tokens/s": per_second, "share": share}
                    write_json(options.out, {"backend": options.backend, "rows": rows})
    return {"backend": options.backend, "rows": rows, "literature": literature(part, options)}


def measured(run: Callable[[int], None], steps: int) -> dict[str, float]:
    return {"seconds": seconds_of(run, steps)}


def literature(part: Any, options: argparse.Namespace) -> dict[str, Any] | None:
    """The literature's own setting, where the backend can take it."""
    if not hasattr(part, "layer_steps") or options.device != "gpu":
        return None
    n, T, h, dtype = LITERATURE.values()
    work = attempt(lambda: measured(part.layer_steps(n, T, h, dtype, options.device), 10))
    more = {"tokens/s": n * T / work["seconds"]} if "seconds" in work else {}
    return LITERATURE | work | more


def activations(options: argparse.Namespace) -> dict[str, Any]:
    """By dtype, how far tanh and the sigmoid inside of the layers lie from the right values."""
    part = registry.load_part(options.backend, "gpu")
    rows = {
        dtype: attempt(lambda dtype=dtype: part.activation_errors(options.device, dtype))
        for dtype in DTYPES
    }
    return {"backend": options.backend, "activations": rows}


CHILDREN = {"rates": rates, "activations": activations, "modes": modes, "speed": speed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("what", choices=tuple(CHILDREN))
    add("--backend", required=True)
    add("--device", choices=("cpu", "gpu"), required=True)
    add("--size", type=int, default=4096)
    add("--cases", nargs="+", default=[])
    add("--examples", nargs="+", type=int, default=[])
    add("--hidden", nargs="+", type=int, default=[])
    add("--numerics", nargs="+", choices=tuple(NUMERICS), default=[])
    add("--steps", type=int, default=1)
    add("--out", type=Path, required=True)
    options = parser.parse_args()
    if registry.load_part(options.backend, "gpu") is None and options.what != "rates":
        raise BadInput("--backend", "", "one with a part for GPUs", options.backend)
    make_folder(options.out.parent)
    made = CHILDREN[options.what](options)
    write_json(options.out, made)


if __name__ == "__main__":
    main()
