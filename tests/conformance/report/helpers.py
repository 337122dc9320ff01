"""Verdicts for the tests of the report: a real one, and one that somebody made to do harm."""

from typing import Any

from common.storage.sums import seal
from conformance.verdict.asked import Asked

RUNGS = ("weights", "outputs", "loss", "gradients", "clip", "steps", "invariances")
HOSTILE = (
    "<script>alert(1)</script>\"'</style>&amp;\x1b[31m\u202e" + "very-long-" * 40 + "|`[x](y)@all"
)


def rung(ratio: float | None = 1.0, passed: bool = True) -> dict[str, Any]:
    error = None if ratio is None else 1e-7 * ratio
    return {
        "tensors": 4,
        "passed": 4 if passed else 3,
        "error": error,
        "ratio": ratio,
        "of bound": None if ratio is None else ratio / 8,
    }


def result(implementation: str, case: str, **changed: Any) -> dict[str, Any]:
    made = {
        "implementation": implementation,
        "device": "cpu",
        "dtype": "float32",
        "case": case,
        "status": "pass",
        "reason": "",
        "place": "",
        "why": "",
        "suspects": [],
        "searched": False,
        "vote": "",
        "heat": [],
        "rungs": {name: rung() for name in RUNGS},
        "failed": [],
    }
    return made | changed


def failing(implementation: str, case: str, ratio: float = 1e6, text: str = "wrong") -> dict:
    rungs = {name: rung() for name in RUNGS} | {"outputs": rung(ratio, passed=False)}
    comparison = {
        "tensor": "forward/O",
        "problem": text,
        "elements": 8,
        "error": 1e-7 * ratio,
        "ratio": ratio,
        "bound": 8e-7,
        "index": [0, 1, 2],
        "got": 1.0,
        "wanted": 2.0,
        "differing": 0,
        "straddles": 0,
    }
    heat = {
        "title": "forward: error of H",
        "rows": ["layer 2", "layer 1"],
        "columns": ["1", "2", "3"],
        "errors": [[1e-8, 1e-2, None], [0.0, 1e-16, 1e-5]],
    }
    return result(
        implementation,
        case,
        status="fail",
        place="forward, step 2, layer 2, H",
        why=text,
        rungs=rungs,
        failed=[comparison],
        heat=[heat],
    )


def run(implementation: str, title: str = "quick-lstm", **changed: Any) -> dict[str, Any]:
    made = {
        "implementation": implementation,
        "device": "cpu",
        "numerics": "lattice",
        "title": title,
        "status": "pass",
        "agreed": 3,
        "epochs": 3,
        "against": f"witness {title}",
        "reason": "",
        "place": "",
        "perplexity": 7.25,
        "rate": 1234.5,
        "prediction": "time traveller",
        "curve": [20.0, 12.5, 7.25],
        "tests": [],
    }
    return made | changed


def record(backend: str, **passport: Any) -> dict[str, Any]:
    return {
        "suite": "0.1.0",
        "backend": backend,
        "device": "cpu",
        "dtypes": ["float32"],
        "implementations": ["equations"],
        "passport": {"framework": backend, "version": "1.0"} | passport,
    }


def verdict(results: list[dict], training: list[dict] = (), **changed: Any) -> dict[str, Any]:
    backends = dict.fromkeys(r["implementation"].split(":")[0] for r in results)
    passed = all(r["status"] in ("pass", "unsupported") for r in (*results, *training))
    word = changed.pop("outcome", "PASS" if passed else "FAIL")
    said = {"PASS": "all agree", "FAIL": "some do not", "INCOMPLETE": "something is left"}
    made = {
        "format": "deep-rnn-verdict-3",
        "suite": "0.1.0",
        "outcome": word,
        "passed": word == "PASS",
        "sentence": f"{word}: {said[word]}.",
        "text": {"name": "sample", "sha256": "0" * 64},
        "grid": {"elements": 0, "differing": 0, "straddles": 0},
        "quick": False,
        "asked": Asked().to_json(),
        "inputs": {},
        "basis": {},
        "claims": [],
        "open": [],
        "outside": [],
        "absent": [],
        "stale deviations": [],
        "records": [record(backend) for backend in backends],
        "results": [*results],
        "training": [*training],
    }
    made |= changed
    return made | {"seal": seal(made)}


def hostile() -> dict[str, Any]:
    """Every text in it is an attack, or too long."""
    who = f"numpy:{HOSTILE}"
    made = verdict(
        [
            failing(who, HOSTILE, text=HOSTILE),
            result("numpy:equations", "lstm-L2"),
            result("numpy:equations", "other", status="unsupported", reason=HOSTILE, rungs={}),
        ],
        [run(who, HOSTILE, status="crashed", reason=HOSTILE, place=HOSTILE, prediction=HOSTILE)],
        sentence=HOSTILE,
        absent=[HOSTILE],
        claims=[HOSTILE],
        open=[HOSTILE],
        outside=[HOSTILE],
    )
    made["records"][0]["passport"] |= {"device": HOSTILE, HOSTILE: HOSTILE}
    made["text"]["name"] = HOSTILE
    made["results"][0]["heat"][0]["title"] = HOSTILE
    return made
