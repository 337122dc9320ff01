"""Wider stacks on the lattice: two directions, lengths, sizes, a projection, masks of dropout. What
goes wrong in one of these alone is found in the step in which it begins, and located."""

import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.corpus import load_corpus
from common.dropout import Dropout
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS
from common.recipe import WIDER, Recipe
from common.spec import ModelSpec
from common.storage.files import read_json, write_json
from common.storage.sums import sealed
from common.weights import read_arrays, write_arrays
from conformance.__main__ import main
from conformance.judge.replay import Replay
from conformance.judge.training import judge_training
from conformance.records.difference import DIFFERENCE
from conformance.records.witness import Witness, load_witnesses
from conformance.verdict.asked import Asked
from conformance.verdict.outcome import FAIL, NOT_RUN, PASS
from conformance.verdict.results import TrainingResult
from tests.conformance.helpers import assert_one_line, verdict_of
from tests.conformance.lattice_helpers import CORPUS, Implementation, scaled, train_here

pytestmark = pytest.mark.once

q = CORPUS.q
SPEC = ModelSpec("lstm", q, 7, q, 2, directions=2, sizes=(7, 5), p=3)
RECIPE = Recipe(
    8.0, 0.2, epochs=2, n=64, T=9, order="random", lattice=True,
    task="restore", words=True, dropout=0.3,
)  # fmt: skip
WITNESSES = [w for w in load_witnesses() if w.recipe_name in WIDER]


@pytest.fixture(scope="module")
def right() -> Witness:
    """By the oracle, which shares no code with what is trained here."""
    replay = Replay(SPEC, RECIPE, CORPUS)
    made = [replay.epoch() for _ in range(RECIPE.epochs)]
    text = {"sha256": CORPUS.sha256, "characters": len(CORPUS.tokens)}
    losses = [float(np.mean(epoch.losses)) for epoch in made]
    return Witness("all-lstm", SPEC, RECIPE, text, [e.digest for e in made], losses, [])


Trained = Callable[[Path, Implementation], None]


@pytest.fixture(scope="module")
def train(right: Witness, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trains with a fault once, and gives a folder the run."""

    @functools.cache
    def made(fault: Implementation) -> Path:
        out = tmp_path_factory.mktemp("trained")
        options = {"spec": SPEC, "recipe": RECIPE, "prefix": "the locks of hazel quay"}
        train_here(out, "pytorch", fault, tuple(right.digests), **options)
        return out

    def copied(out: Path, fault: Implementation) -> None:
        shutil.copytree(made(fault), out, dirs_exist_ok=True)

    return copied


def judged(out: Path, witness: Witness) -> TrainingResult:
    (found,) = judge_training(out, witnesses=[witness], ensembles=[])
    return found


def run_of(out: Path) -> Path:
    return out / "training" / "pytorch-cpu" / "layers-lstm-quick-lattice"


SOUND = Implementation()


def test_a_sound_run_has_the_oracle_s_digests(
    tmp_path: Path, train: Trained, right: Witness
) -> None:
    train(tmp_path, SOUND)
    found = judged(tmp_path, right)
    assert (found.status, found.agreed, found.reason) == (PASS, 2, "")


def without_lengths(more: tuple[Any, ...]) -> tuple[Any, ...]:
    return (None, *more[1:])


def one_longer(more: tuple[Any, ...]) -> tuple[Any, ...]:
    return () if not more else (np.minimum(more[0] + 1, RECIPE.T), *more[1:])


def without_masks(more: tuple[Any, ...]) -> tuple[Any, ...]:
    return more[:1]


def not_scaled(more: tuple[Any, ...]) -> tuple[Any, ...]:
    return () if not more else (more[0], Dropout(0.0, more[1].masks))


def one_mask_for_all_steps(more: tuple[Any, ...]) -> tuple[Any, ...]:
    if not more:
        return ()
    masks = np.broadcast_to(more[1].masks[:, :1], more[1].masks.shape)
    return more[0], Dropout(more[1].rate, masks)


FORWARD = "outputs: begins forward, step "
FAULTS = {
    "lengths ignored": (Implementation(of_more=without_lengths), FORWARD),
    "lengths off by one": (Implementation(of_more=one_longer), FORWARD),
    "nothing dropped": (Implementation(of_more=without_masks), f"{FORWARD}1, layer 2"),
    "what is kept not scaled": (Implementation(of_more=not_scaled), f"{FORWARD}1, layer 2"),
    "one mask for all steps": (
        Implementation(of_more=one_mask_for_all_steps),
        f"{FORWARD}9, layer 2, its backward direction"),
    "backward direction": (
        Implementation(of_parameters=scaled("layer1.backward.W_hf", 1.01)),
        f"{FORWARD}8, layer 1, its backward direction"),
    "gradient of the backward direction": (
        Implementation(scaled("layer2.backward.W_xi", 1 + 1e-4)),
        "gradients: layer 2, backward direction, input gate, W_xi ["),
    "gradient of the projection": (
        Implementation(scaled("layer1.W_hp", 0.0)), "gradients: layer 1, W_hp ["),
    "gradient of the smaller layer": (
        Implementation(scaled("layer2.b_o", 1.001)), "gradients: layer 2, output gate, b_o ["),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_located_in_the_step_in_which_it_begins(
    tmp_path: Path, train: Trained, right: Witness, name: str
) -> None:
    fault, reason = FAULTS[name]
    train(tmp_path, fault)
    found = judged(tmp_path, right)
    assert (found.status, found.place) == (FAIL, "epoch 1, step 1")
    assert found.reason.startswith(reason), found.reason


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("lengths", lambda a: a[:-1], "lengths: shape (63,)"),
        ("lengths", lambda a: a + RECIPE.T, "lengths: expected 1 to 9"),
        ("masks", lambda a: a + 2, "masks: expected 0 and 1 alone"),
        ("masks", None, "masks: expected shape (1, 9, 64, 6), found no such tensor"),
    ],
)
def test_evidence_whose_lengths_or_masks_do_not_fit_is_that_run_s_failure(
    tmp_path: Path, train: Trained, right: Witness, name: str, change: Any, said: str
) -> None:
    train(tmp_path, FAULTS["nothing dropped"][0])
    path = run_of(tmp_path) / DIFFERENCE
    arrays, metadata = read_arrays(path)
    array = arrays.pop(name)
    write_arrays(path, arrays | ({name: change(array)} if change else {}), metadata)
    found = judged(tmp_path, right)
    assert found.status == FAIL
    assert found.reason.startswith(DIFFERENCE) and name in found.reason, found.reason


def test_a_text_that_was_not_restored_so_is_a_failure(
    tmp_path: Path, train: Trained, right: Witness
) -> None:
    train(tmp_path, SOUND)
    path = run_of(tmp_path) / "run.json"
    data = read_json(path)
    text = data["prediction"]["text"]
    for other, said in (
        (text[:2] + ("x" if text[2] != "x" else "y") + text[3:], "do not predict character 3 of"),
        ("x" + text[1:], "differs from its prefix where nothing was blanked"),
    ):
        write_json(path, sealed(data | {"prediction": data["prediction"] | {"text": other}}))
        found = judged(tmp_path, right)
        assert found.status == FAIL and said in found.reason, found.reason


def test_as_many_characters_as_examples_have_are_counted(
    tmp_path: Path, train: Trained, right: Witness
) -> None:
    train(tmp_path, SOUND)
    path = run_of(tmp_path) / "run.json"
    data = read_json(path)
    row = data["epochs"][0]
    row["tokens"] = len(row["losses"]) * RECIPE.n * RECIPE.T
    write_json(path, sealed(data))
    found = judged(tmp_path, right)
    assert found.status == FAIL and "epoch 1: expected " in found.reason


def test_every_wider_recipe_has_a_witness_of_four_frameworks_and_the_reference() -> None:
    wanted = {(name, cell) for name, named in WIDER.items() for cell in named.recipes}
    assert {(w.recipe_name, w.spec.cell) for w in WITNESSES} == wanted
    for witness in WITNESSES:
        named = WIDER[witness.recipe_name]
        recipe = dataclasses.replace(named.recipes[witness.spec.cell], lattice=True)
        assert witness.recipe == recipe
        who = {by["implementation"].partition(":")[0] for by in witness.confirmed}
        assert who == {"numpy", "pytorch", "mxnet", "tensorflow", "jax"}


def test_the_oracle_trains_to_the_first_digest_of_every_wider_witness() -> None:
    for witness in WITNESSES:
        assert (
            Replay(witness.spec, witness.recipe, load_corpus()).epoch().digest == witness.digests[0]
        )


def test_recipes_that_are_asked_for_must_have_been_trained(tmp_path: Path, capsys) -> None:
    some = ["--backend", "numpy", "--cases", "lstm-L1", "--quiet", "--out", str(tmp_path)]
    assert main(["record", *some]) == EXIT_PASS
    train = ["train", "--backend", "numpy", "--numerics", "lattice", "--quiet"]
    for recipe in ("quick", "wider-sizes"):
        assert main([*train, "--recipe", recipe, "--out", str(tmp_path)]) == EXIT_PASS
    asked = ("--quick", "--training", "--expect", "numpy")
    options = (*asked, "--recipes", "wider-sizes")
    _, verdict = verdict_of(tmp_path, *options)
    assert Asked.from_json(verdict["asked"]).recipes == ("wider-sizes",)
    assert {r["title"]: r["status"] for r in verdict["training"]} == {
        "quick-lstm": PASS, "wider-sizes-gru-after": PASS,
    }  # fmt: skip
    code, verdict = verdict_of(tmp_path, *asked, "--recipes", "wider-*")
    assert code == EXIT_FAIL
    missing = {r["title"] for r in verdict["training"] if r["status"] == NOT_RUN}
    assert missing == {w.name for w in WITNESSES} - {"wider-sizes-gru-after"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--training", "--recipes", "wider-nothing"], "--recipes: expected patterns of wider-"),
        (["--recipes", "wider-sizes"], "--recipes: expected --training beside it, found none"),
    ],
)
def test_recipes_that_ask_for_nothing_are_one_line(
    tmp_path: Path, capsys, words: list[str], line: str
) -> None:
    some = ["--backend", "numpy", "--cases", "lstm-L1", "--quiet", "--out", str(tmp_path / "out")]
    assert main(["record", *some, *words]) == EXIT_BAD_INPUT
    assert line in assert_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


TRAIN = ["train", "--backend", "numpy", "--numerics", "lattice", "--quiet", "--recipe"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["wider-both-ways", "--cell", "rnn"], "--cell: expected one of gru, lstm with --recipe"),
        (["wider-both-ways", "--workers", "2"], "--workers: expected 1 of examples that differ in"),
        (["wider-dropout", "--held-out", "0.1"], "--held-out: expected 0 with --recipe wider-drop"),
        (["wider-dropout", "--layers", "1"], "dropout: expected 0 of one layer"),
        (["wider-both-ways", "--order", "sequential"], "order: expected random, where examples"),
        (["wider-sizes", "--layers", "3"], "h: expected one number, or 3, one per layer"),
    ],
)
def test_what_a_wider_recipe_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys, words: list[str], line: str
) -> None:
    assert main([*TRAIN, *words, "--out", str(tmp_path / "out")]) == EXIT_BAD_INPUT
    assert line in assert_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
