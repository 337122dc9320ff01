"""The child process of a record or a training run: it imports one framework, and answers.

Requests come as JSON lines on standard input, replies go as JSON lines to standard output, arrays
go to files. When this process dies, the parent sees it and starts another one.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from backends import registry
from backends.protocol import Part, Place, Workers
from common.errors import BadInput
from common.weights import write_arrays
from conformance.cases.given import Given, load_given
from conformance.cases.halves import DTYPES, HALVES, NATIVE, left_out
from conformance.cases.table import find_case, material
from conformance.worker.agreement import ALONE
from conformance.worker.failure import failure
from conformance.worker.ladder import ORDER, answer, answer_invariances
from conformance.worker.lifetime import (
    be_collected_seldom,
    be_the_first_to_go,
    end_with_the_parent,
    peak_memory,
)
from conformance.worker.step_finder import Locating


def handle(
    request: dict[str, Any], given: Given, implementations: dict, last: str
) -> dict[str, Any]:
    """Answer one request, ``{implementation, dtype, case, path}``, with the case's entry; with
    ``system`` if the answers cannot be written, which is not the framework's fault.

    last: the highest rung that the backend answers"""
    case = find_case(request["case"], given)
    numbers = material(case, given.corpus)
    entry: dict[str, Any] = {"digest": numbers.digest()}
    implementation = implementations[request["implementation"], request["dtype"]]
    left = left_out(case, request["dtype"])
    if reason := left or implementation.unsupported(case.spec, *case.needs):
        return entry | {"status": "unsupported", "reason": reason}
    try:
        answers = answer(implementation, case, numbers, last)
        if case.invariances:
            more, entry["inapplicable"] = answer_invariances(implementation, case, numbers)
            answers |= more
    except Exception as error:  # whatever a framework raises is this case's result
        found = failure(error)
        if "crashed" in found:
            return entry | {"status": "crashed", "reason": found["crashed"]}
        return found
    try:
        write_arrays(Path(request["path"]), answers, {"digest": entry["digest"]})
    except OSError as error:
        return failure(error, ours=True)
    return entry | {"status": "recorded"}


def modes_of(name: str, backend: registry.Backend, globs: list[str]) -> list[str]:
    """The modes of a backend that are asked for; BadInput for one that it has not."""
    known = {f"{name}:{mode}": mode for mode in getattr(backend, "MODES", ())}
    found: list[str] = []
    for glob in globs:
        own = [mode for whole, mode in known.items() if fnmatchcase(whole, glob)]
        if not own and glob.partition(":")[0] == name:
            every = [f"{name}:{own}" for own in backend.IMPLEMENTATIONS] + [*known]
            raise BadInput("implementation", "", f"one of {', '.join(every)}", glob)
        found += own
    return list(dict.fromkeys(found))


def check_precisions(name: str, backend: registry.Backend, options: argparse.Namespace) -> None:
    """BadInput for a tier of half precision that the backend has not. What a GPU computes in
    besides, its implementations say themselves."""
    part: Part | None = getattr(backend, "PART", None)
    known = (*(part.dtypes if part else DTYPES), *getattr(backend, "HALVES", ()))
    for dtype in options.dtypes:
        on_a_gpu = options.device == "gpu" and dtype not in NATIVE
        if dtype in HALVES and dtype not in known and not on_a_gpu:
            raise BadInput(name, "dtype", f"one of {', '.join(known)}", dtype)
        if dtype in HALVES and options.modes:
            expected = f"{' or '.join(DTYPES)} beside --modes"
            raise BadInput("--dtype", "", expected, dtype)


def product_rate(backend: registry.Backend, request: dict[str, Any]) -> dict[str, Any]:
    """How fast the framework multiplies matrices, if its backend can tell."""
    if not hasattr(backend, "product_rate"):
        return {}
    return {"rate": backend.product_rate(*(request[k] for k in ("device", "dtype", "n", "times")))}


def spent(backend: registry.Backend) -> dict[str, Any]:
    """What this process has cost so far."""
    compiled = backend.compiled() if hasattr(backend, "compiled") else {}
    return {"cpu": time.process_time(), "compiled": compiled}


def join(backend: registry.Backend, options: argparse.Namespace, reply: Callable) -> Workers:
    """Meet the other workers; the parent is told whether a launcher has started them, and if not,
    it starts them and says where they meet."""
    if not hasattr(backend, "join"):
        found = f"{options.backend}, which has none"
        raise BadInput("--workers", "", "a backend whose framework joins processes", found)
    reply({"launched": backend.launched()})
    meet = json.loads(sys.stdin.readline())
    place = Place(**meet | {"addresses": tuple(meet["addresses"])}) if meet else None
    workers = backend.join(place, options.device)
    if workers.size != options.workers:
        raise BadInput("--workers", "", f"the {workers.size} that joined", options.workers)
    return workers


def main() -> None:
    parser = argparse.ArgumentParser(
        description="child process of: python -m conformance record, train"
    )
    for option in ("--backend", "--device"):
        parser.add_argument(option, required=True)
    parser.add_argument("--given", help="of a record; a training run brings its own")
    parser.add_argument("--dtypes", nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--modes", nargs="+", default=[], help="backend:mode, by pattern")
    options = parser.parse_args()

    # Frameworks print what they like; replies must not mix with it.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    be_the_first_to_go()
    end_with_the_parent()
    be_collected_seldom()

    def reply(value: dict[str, Any]) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    try:
        backend = registry.load(options.backend)
        workers = join(backend, options, reply) if options.workers > 1 else ALONE
        check_precisions(options.backend, backend, options)
        modes = modes_of(options.backend, backend, options.modes)
        names = [*backend.IMPLEMENTATIONS, *modes]
        part: Part | None = getattr(backend, "PART", None)
        implementations = {
            (name, dtype): backend.implementation(name, options.device, dtype)
            for name in names
            for dtype in options.dtypes
            if part is None or dtype in part.dtypes
        }
        given = load_given(Path(options.given)) if options.given else None
        # The first worker's is the run's; to make one takes as long as to start some frameworks.
        passport = {} if workers.rank else backend.passport(options.device)
        if modes and not workers.rank:
            passport["modes"] = {mode: backend.ran(mode, options.device) for mode in modes}
    except BadInput as error:
        reply({"bad input": [error.where, error.field, error.expected, error.found]})
        return
    greeting = {"implementations": names, "passport": passport, "rank": workers.rank}
    reply(greeting | ({"part": asdict(part)} if part else {}))
    training = Locating(implementations, workers)
    be_collected_seldom()  # again: the framework is there now
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("do") == "product_rate":
            entry = product_rate(backend, request)
        elif request.get("do") == "spent":
            entry = spent(backend)
        elif "do" in request:
            entry = training.handle(request)
        elif given is None:
            raise ValueError("a question about a case needs --given")
        else:
            entry = handle(request, given, implementations, part.rung if part else ORDER[-1])
        reply(entry | {"peak MiB": peak_memory()})
    workers.leave()


if __name__ == "__main__":
    main()
