"""A training run's claims against one another, and against what the oracle trains to."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.corpus import load_corpus
from common.errors import EXIT_FAIL, EXIT_PASS
from common.lattice import UNITS
from common.recipe import RECIPES
from common.storage.files import read_json, write_json
from common.storage.sums import sealed
from common.weights import load_weights, save_weights
from conformance.__main__ import main
from conformance.judge.replay import FirstEpochs, Replay, Step, follow_straddle
from conformance.records.difference import arrays_of
from conformance.records.witness import WITNESSES
from tests.conformance.helpers import verdict_of
from tests.conformance.lattice_helpers import CORPUS, RECIPE, SPEC, passport_of

pytestmark = pytest.mark.once

MACHINE = {"python": "3.11", "numpy": "2", "platform": "Linux", "cores": 2}
LATTICE, FLOAT32 = "equations-rnn-quick-lattice", "equations-rnn-quick-float32"


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory) -> Path:
    """NumPy's quick runs of the vanilla RNN; not to be changed."""
    out = tmp_path_factory.mktemp("trained")
    quick = ["train", "--backend", "numpy", "--cell", "rnn", "--out", str(out), "--quiet"]
    assert main([*quick, "--numerics", "lattice", "float32"]) == EXIT_PASS
    return out


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    return Path(shutil.copytree(trained_once, tmp_path / "results"))


def run_of(out: Path, name: str = LATTICE) -> Path:
    return out / "training" / "numpy-cpu" / name


def edit_run(out: Path, change: Callable[[dict], None], name: str = LATTICE) -> None:
    path = run_of(out, name) / "run.json"
    data = read_json(path)
    change(data)
    write_json(path, sealed(data))


def told(out: Path, name: str = "lattice") -> str:
    """Why the run of these numerics fails; the other one passes."""
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    statuses = {r["numerics"]: r["status"] for r in verdict["training"]}
    assert statuses == {"lattice": "pass", "float32": "pass"} | {name: "fail"}
    return next(r["reason"] for r in verdict["training"] if r["numerics"] == name)


def test_honest_runs_pass(trained):
    code, verdict = verdict_of(trained)
    assert code == EXIT_PASS
    assert [r["against"] for r in verdict["training"]] == [
        "ensemble quick-rnn",
        "witness quick-rnn",
    ]


def test_a_run_that_was_written_from_the_witness_is_refused(trained):
    """It takes the weights of the last epoch to have trained."""
    known = read_json(WITNESSES / "quick-rnn.json")
    row = {"losses": [0.001], "norms": [1.0], "tokens": 1, "seconds": 1.0}
    data = {key: known[key] for key in ("spec", "recipe", "text")} | {
        "suite": "0.1.0",
        "backend": "mxnet",
        "device": "cpu",
        "implementation": "layers",
        "numerics": "lattice",
        "recipe name": "quick",
        "passport": {},
        "status": "finished",
        "epochs": [row | {"digest": epoch["digest"]} for epoch in known["epochs"]],
    }
    folder = trained / "training" / "mxnet-cpu" / "x"
    folder.mkdir(parents=True)
    write_json(folder / "run.json", data)
    assert "run.json: text: expected its name" in refused(trained)
    # With every field that is wanted, and the passport of one who was there:
    data |= {"text": {"name": "sample"} | known["text"], "held out": {}, "threads": 1}
    data |= {"digests": "epoch", "made": "2026-01-01T00:00:00+00:00", "seconds": 1.0}
    data |= {"prediction": {"prefix": "t", "text": "time"}}
    data["passport"] = passport_of("mxnet") | MACHINE
    write_json(folder / "run.json", sealed(data))
    assert "given.safetensors" in forged_reason(trained)
    shutil.copy(run_of(trained) / "given.safetensors", folder)
    assert "weights.safetensors" in forged_reason(trained)
    shutil.copy(run_of(trained, FLOAT32) / "weights.safetensors", folder)
    assert "expected float64" in forged_reason(trained)
    # And with the weights of one who has trained:
    shutil.copy(run_of(trained) / "weights.safetensors", folder)
    assert "epoch 1: expected 19 steps of" in forged_reason(trained)


def refused(out: Path) -> str:
    """Why a run cannot be read, which fails; the rest is judged."""
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    (line,) = [line for line in verdict["claims"] if line.startswith("not judged: ")]
    return line


def forged_reason(out: Path) -> str:
    code, verdict = verdict_of(out)
    assert code == EXIT_FAIL
    (found,) = [r for r in verdict["training"] if r["implementation"] == "mxnet:layers"]
    assert found["status"] == "fail"
    return found["reason"]


def first_loss(factor: float) -> Callable[[dict], None]:
    def change(data: dict) -> None:
        losses = data["epochs"][0]["losses"]
        losses[3] *= factor
        losses[4] += losses[3] / factor - losses[3]  # the mean stays

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (first_loss(1.0001), "epoch 1: the losses are not those that the oracle trains with"),
        (
            lambda d: d["epochs"][0]["norms"].reverse(),
            "epoch 1: the norms are not those that the oracle trains with",
        ),
        (
            lambda d: d["epochs"][14].update(losses=[1.001] * len(d["epochs"][14]["losses"])),
            "epoch 15: a mean loss of 1.001, the witness has 2.0",
        ),
        (lambda d: d["epochs"][6].update(tokens=1), "epoch 7: expected"),
        (
            lambda d: d["prediction"].update(text="time traveller was never there at all"),
            "the stored weights do not predict character",
        ),
        (lambda d: d["prediction"].update(text="so it goes"), "does not begin with its prefix"),
        (lambda d: d["text"].update(sha256="0" * 64), "in given.safetensors"),
        (lambda d: d["text"].update(name="another"), "in given.safetensors"),
        (lambda d: d["text"].update(characters=9), "in given.safetensors"),
        (lambda d: d.update(device="gpu"), "device: numpy has none of the name gpu"),
        (lambda d: d.update(implementation="layers"), "numpy has no implementation layers"),
        (lambda d: d["passport"].update(framework="torch"), "numpy's framework is numpy"),
    ],
)
def test_what_contradicts_the_rest_of_a_run_fails(change, said, trained):
    edit_run(trained, change)
    assert said in told(trained)


def test_the_stored_weights_must_have_the_last_digest(trained):
    path = run_of(trained) / "weights.safetensors"
    spec, params = load_weights(path)
    params["layer1.W_xh"][0, 0] += 1 / UNITS
    save_weights(path, spec, params)
    assert "weights.safetensors: digest: expected the last epoch's" in told(trained)


def test_weights_that_are_not_there_fail(trained):
    (run_of(trained, FLOAT32) / "weights.safetensors").unlink()
    said = "weights.safetensors: expected a whole safetensors file, found no such file"
    assert told(trained, "float32") == said


def test_a_lattice_run_under_another_label_is_refused(trained):
    edit_run(trained, lambda data: data.update(numerics="float32"))
    assert "recipe: expected lattice false" in refused(trained)


def test_a_lattice_run_is_told_by_its_weights_though_every_trace_is_removed(trained):
    """What is left of it would lie within any envelope of float32."""

    def disguise(data: dict) -> None:
        lattice = read_json(run_of(trained) / "run.json")
        data["epochs"] = [
            {key: value for key, value in row.items() if key != "digest"}
            for row in lattice["epochs"]
        ]
        data["prediction"] = lattice["prediction"]

    edit_run(trained, disguise, FLOAT32)
    spec, params = load_weights(run_of(trained) / "weights.safetensors")
    params = {name: array.astype("float32") for name, array in params.items()}
    save_weights(run_of(trained, FLOAT32) / "weights.safetensors", spec, params)
    assert "expected weights that float32 leaves, found every one on the lattice" in told(
        trained, "float32"
    )


def test_a_run_that_an_implementation_can_train_is_not_unsupported(trained):
    def change(data: dict) -> None:
        data.pop("prediction")
        data.pop("peak MiB")
        data |= {"status": "unsupported", "reason": "cannot", "epochs": []}

    edit_run(trained, change)
    assert "said to be unsupported, which it is not (required/numpy.json)" in told(trained)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(backend="../numpy"),
        lambda d: d.update(surprise=1),
        lambda d: d.update({"recipe name": "quick\n"}),
        lambda d: d.pop("prediction"),
        lambda d: d.pop("held out"),
        lambda d: d.update(workers=0),
        lambda d: d.update(threads=True),
        lambda d: d["epochs"].pop(),
        lambda d: d["epochs"][0].update(seconds=0),
        lambda d: d["epochs"][0].update(perplexity=1.001),
        lambda d: d["epochs"][0]["norms"].pop(),
        lambda d: d["epochs"][0].update(digest="ab"),
        lambda d: d["epochs"][0].update(losses=[1e400]),
        lambda d: d.update(digests="step"),
        lambda d: d["recipe"].update(lattice=False),
    ],
)
def test_a_run_with_a_field_that_is_not_what_it_should_be_is_refused(change, trained):
    path = run_of(trained) / "run.json"
    data = read_json(path)
    change(data)
    text = repr(sealed(data)).replace("'", '"').replace("True", "true").replace("None", "null")
    path.write_text(text.replace("False", "false").replace("inf", "1e999"), encoding="utf-8")
    assert "run.json" in refused(trained)


def test_a_run_that_was_changed_and_not_sealed_again_is_refused(trained):
    path = run_of(trained, FLOAT32) / "run.json"
    data = read_json(path)
    data["epochs"][5]["losses"][2] *= 1 + 1e-12
    write_json(path, data)
    assert "run.json: seal: expected a run as it was written" in refused(trained)


# A straddle excuses every digest after it, so it is trained through.


@pytest.fixture(scope="module")
def straddled() -> tuple[list[str], dict[str, np.ndarray]]:
    """The digests of a run that left the common path in the second epoch's third step by one unit
    in one element, and what it wrote down about that step."""
    evidence: dict[str, np.ndarray] = {}

    def leave(step: Step) -> None:
        if step.number != 3:
            return
        params = dict(step.after[0])
        params["output.b_q"] = params["output.b_q"].copy()
        params["output.b_q"][5] += 1 / UNITS
        step.after = params, step.after[1]
        evidence.update(arrays_of(step.question))
        for prefix, arrays in (
            ("before", step.before[0]),
            ("state before", step.before[1]),
            ("after", step.after[0]),
            ("state after", step.after[1]),
        ):
            evidence.update({f"{prefix}/{name}": array for name, array in arrays.items()})

    replay = Replay(SPEC, RECIPE, CORPUS)
    digests = [replay.epoch(leave if epoch == 2 else None).digest for epoch in (1, 2, 3, 4)]
    return digests, evidence


def follow(digests: list[str], evidence: dict, place: tuple[int, int] = (2, 3)) -> str | None:
    return follow_straddle(SPEC, RECIPE, CORPUS, digests, evidence, place)


def test_a_run_that_goes_through_its_straddle_is_followed_to_its_end(straddled):
    assert follow(*straddled) == ""


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_wrong_digests_after_a_straddle_are_not_excused(epoch, straddled):
    digests, evidence = straddled
    digests = [*digests[: epoch - 1], "0" * 64, *digests[epoch:]]
    assert follow(digests, evidence) == f"epoch {epoch} does not follow from it"


def test_the_evidence_of_a_straddle_must_be_of_its_step(straddled):
    digests, evidence = straddled
    other = evidence | {"X": evidence["X"][::-1].copy()}
    assert follow(digests, other) == "its evidence is not of that step: another X"
    assert "its evidence is not of that step" in follow(digests, evidence, (2, 4))
    moved = evidence | {"before/output.b_q": evidence["before/output.b_q"] + 1 / UNITS}
    assert follow(digests, moved) == "its evidence is not of that step: another before/output.b_q"


def test_a_run_that_is_too_long_is_neither_believed_nor_refuted(straddled):
    digests, evidence = straddled
    long, large = RECIPES["d2l"].recipes["lstm"], dataclasses.replace(SPEC, h=256)
    assert follow_straddle(large, long, load_corpus(), digests, evidence, (2, 3)) is None


def test_the_first_epoch_is_trained_once_for_all_who_answer(monkeypatch):
    made = []
    monkeypatch.setattr(Replay, "epoch", lambda self: made.append(self) or "an epoch")
    first = FirstEpochs()
    assert {first.of(SPEC, RECIPE, load_corpus()) for _ in range(3)} == {"an epoch"}
    assert len(made) == 1
