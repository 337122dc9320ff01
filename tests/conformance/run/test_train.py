"""``python -m conformance train``: what it writes, and what it shows."""

import math
import re

import numpy as np
import pytest

from backends import registry
from common import SUITE_VERSION, lattice
from common.corpus import load_corpus
from common.errors import EXIT_PASS
from common.recipe import RECIPES, Recipe
from common.spec import ModelSpec
from common.weights import load_weights
from conformance.cases.given import load_given
from conformance.parser import make_parser
from conformance.records.training import perplexity
from conformance.run import plan
from conformance.run.child import Child
from tests.conformance.training_helpers import EPOCHS, content, folder_of, run_in, train

pytestmark = pytest.mark.once

TITLE = "numpy:equations-lstm-quick"
PREDICTED = 50


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Runs of two numerics and three cells, made by one command; no test may write to it."""
    folder = tmp_path_factory.mktemp("trained")
    cells = ("--cell", "rnn", "gru", "lstm", "--reset", "before", "after")
    numerics = ("--numerics", "lattice", "float32", "--held-out", "0.25", "--prefix", "the")
    assert train(folder, "--quiet", *cells, *numerics) == EXIT_PASS
    return folder


@pytest.fixture(scope="module")
def made(out):
    return run_in(folder_of(out, "lattice"))


def runs_of(*options: str) -> list[plan.Run]:
    return plan.runs(make_parser().parse_args(["train", "--backend", "numpy", *options]))


def test_every_combination_is_a_run_with_a_folder_of_its_own(out):
    cells = ("rnn", "gru-before", "gru-after", "lstm")
    wanted = {f"equations-{c}-quick-{n}" for c in cells for n in ("lattice", "float32")}
    folders = folder_of(out).parent
    assert {path.name for path in folders.iterdir()} == wanted | {"worker.log"}
    for name in wanted:
        files = ["given.safetensors", "run.json", "weights.safetensors"]
        assert content(folders / name) == files
        found = run_in(folders / name)
        assert (found["status"], len(found["epochs"])) == ("finished", EPOCHS)
        reset = found["spec"]["reset"]
        cell = f"{found['spec']['cell']}-{reset}" if reset else found["spec"]["cell"]
        assert name == f"equations-{cell}-quick-{found['numerics']}"


def test_the_runs_of_one_command_share_a_worker(tmp_path, monkeypatch):
    started = []
    launch = Child.launch
    monkeypatch.setattr(Child, "launch", lambda self: started.append(self) or launch(self))
    assert train(tmp_path, "--quiet", "--cell", "rnn", "lstm", "--epochs", "1") == EXIT_PASS
    assert len(started) == 1


def test_a_run_says_what_was_trained(made):
    assert made["suite"] == SUITE_VERSION
    keys = ("backend", "device", "implementation", "numerics", "recipe name", "threads")
    assert [made[key] for key in keys] == ["numpy", "cpu", "equations", "lattice", "quick", 1]
    q = load_corpus().q
    assert ModelSpec.from_json(made["spec"]) == ModelSpec("lstm", q, 6, q, 1)
    named = RECIPES["quick"].recipes["lstm"]
    wanted = Recipe(named.learning_rate, named.clip, EPOCHS, 4, 5, lattice=True)
    assert Recipe.from_json(made["recipe"]) == wanted
    sha256 = load_corpus().sha256
    assert made["text"] == {"name": "sample", "sha256": sha256, "characters": 150}
    assert made["held out"] == {"sample": 50}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["made"])
    assert made["seconds"] >= 0 and made["peak MiB"] > 0
    assert made["passport"]["framework"] == "numpy"
    for key in ("version", "python", "numpy", "platform", "cores", "threads"):
        assert made["passport"][key], key


def test_a_run_says_what_came_of_every_epoch(made):
    assert len(made["epochs"]) == EPOCHS
    for row in made["epochs"]:
        assert set(row) == {"losses", "norms", "tokens", "seconds", "digest", "held out"}
        assert len(row["losses"]) == len(row["norms"]) == row["tokens"] / (4 * 5) >= 6
        assert row["seconds"] > 0
        assert re.fullmatch("[0-9a-f]{64}", row["digest"])
        assert 0 < row["held out"]["sample"] < 10


def test_the_last_digest_is_that_of_the_weights_beside_it(out, made):
    spec, params = load_weights(folder_of(out, "lattice") / "weights.safetensors")
    assert spec == ModelSpec.from_json(made["spec"])
    assert lattice.digest(params) == made["epochs"][-1]["digest"]
    assert all(array.dtype == np.float64 for array in params.values())


def test_without_a_lattice_there_are_no_digests(out):
    folder = folder_of(out)
    assert not any("digest" in row or "digests" in row for row in run_in(folder)["epochs"])
    _, params = load_weights(folder / "weights.safetensors")
    assert all(array.dtype == np.float32 for array in params.values())


def test_float32_and_float64_train_alike_and_not_the_same(out, tmp_path):
    assert train(tmp_path, "--numerics", "float64", "--held-out", "0.25") == EXIT_PASS
    wide, narrow = (run_in(f)["epochs"] for f in (folder_of(tmp_path, "float64"), folder_of(out)))
    first = [rows[0]["losses"][0] for rows in (wide, narrow)]
    assert first[0] != first[1] and abs(first[0] - first[1]) < 1e-5
    assert wide[-1]["losses"] != narrow[-1]["losses"]


def test_training_learns(made):
    assert perplexity(made["epochs"][-1]) < 0.9 * perplexity(made["epochs"][0])


def test_the_prediction_goes_on_from_the_prefix(made):
    assert made["prediction"]["prefix"] == "the"
    text = made["prediction"]["text"]
    assert text.startswith("the")
    assert len(text.replace("<unk>", "?")) == 3 + PREDICTED


def test_what_was_given_lies_beside_the_run(out, made):
    given = load_given(folder_of(out) / "given.safetensors")
    text = load_corpus(max_tokens=200)
    assert given.corpus.tokens.tolist() == text.tokens[:150].tolist()
    assert given.held_out["sample"].tolist() == text.tokens[150:].tolist()
    assert given.corpus.vocabulary == text.vocabulary


def test_perplexity_is_the_exponential_of_the_mean_loss_per_token():
    """PPL-1: minibatches of one size, so that tokens cancel."""
    assert perplexity({"losses": [0.0, 0.0]}) == 1
    uniform = perplexity({"losses": [math.log(28)] * 5})
    assert abs(uniform - 28) < 1e-12
    losses, tokens = [3.0, 1.0, 2.5], 20
    by_tokens = math.exp(sum(loss * tokens for loss in losses) / (tokens * len(losses)))
    assert abs(perplexity({"losses": losses}) - by_tokens) < 1e-12
    assert perplexity({"losses": [1e6]}) == math.inf


def test_held_out_loss_is_that_of_the_model_on_the_text_that_was_left_out(out, made):
    """One example, T steps at a time, the state carried; computed here from the weights."""
    spec, params = load_weights(folder_of(out, "lattice") / "weights.safetensors")
    tokens = load_corpus(max_tokens=200).tokens[150:].astype(int)
    whole = (len(tokens) - 1) // 5 * 5
    model = registry.load("numpy").implementation("equations", "cpu", "float64").model(spec, params)
    state = {part: np.zeros((1, 1, spec.h)) for part in spec.states}
    X, Y = tokens[:whole, None], tokens[1 : whole + 1, None]
    loss = model.loss_and_gradients(X, Y, state).loss
    assert abs(loss - made["epochs"][-1]["held out"]["sample"]) < 1e-12


def test_held_out_text_does_not_change_the_training(tmp_path):
    """What is held out is measured beside the training: 160 of 200 and 160 characters, alike."""
    first, second = tmp_path / "held-out", tmp_path / "cut"
    assert train(first, "--numerics", "lattice", "--held-out", "0.2") == EXIT_PASS
    assert train(second, "--numerics", "lattice", "--max-tokens", "160") == EXIT_PASS
    digests = [
        [row["digest"] for row in run_in(folder_of(out, "lattice"))["epochs"]]
        for out in (first, second)
    ]
    assert digests[0] == digests[1]


def test_digests_after_every_step_end_in_the_epochs_digest(tmp_path, made):
    options = ("--numerics", "lattice", "float32", "--digests", "step", "--held-out", "0.25")
    assert train(tmp_path, "--quiet", *options) == EXIT_PASS
    rows = run_in(folder_of(tmp_path, "lattice"))["epochs"]
    for row, without in zip(rows, made["epochs"], strict=True):
        assert len(row["digests"]) == len(row["losses"])
        assert row["digests"][-1] == row["digest"] == without["digest"]
    assert "digests" not in run_in(folder_of(tmp_path))["epochs"][0]


def test_several_texts_are_one_to_train_on_and_are_held_out_each(tmp_path):
    texts = {"one.txt": "The first text, and what it says. ", "two.txt": "Quite another. "}
    for name, text in texts.items():
        (tmp_path / name).write_text(text * 40, encoding="utf-8")
    paths = [str(tmp_path / name) for name in texts]
    options = ("--text", *paths, "--held-out", "0.1", "--prefix", "quite", "--epochs", "1")
    assert train(tmp_path, "--quiet", *options) == EXIT_PASS
    found = run_in(folder_of(tmp_path))
    assert found["text"]["name"] == "one.txt + two.txt"
    assert found["text"]["characters"] == 2 * 180
    assert found["held out"] == {"one.txt": 20, "two.txt": 20}
    assert set(found["epochs"][0]["held out"]) == set(texts)
    assert found["spec"]["q"] == len(set("".join(texts.values()).lower()) - set(",.")) + 1


def test_elsewhere_than_on_a_terminal_progress_is_a_line_for_every_tenth_epoch(tmp_path, capfd):
    assert train(tmp_path, "--numerics", "lattice", "--epochs", "20") == EXIT_PASS
    captured = capfd.readouterr()
    assert captured.out == ""
    *lines, predicted, last = captured.err.splitlines()
    numbers = r"perplexity [\d.]+, [\d,]+ tokens/s"
    left = r", \d+ s left"
    rows = run_in(folder_of(tmp_path, "lattice"))["epochs"]
    for line, epoch in zip(lines, range(2, 21, 2), strict=True):
        end = f"{left if epoch < 20 else ''}, digest {rows[epoch - 1]['digest'][:12]}"
        assert re.fullmatch(f"{TITLE}-lattice: epoch {epoch} of 20: {numbers}{end}", line), line
        assert f"perplexity {perplexity(rows[epoch - 1]):.4g}," in line
    assert predicted.startswith(f"{TITLE}-lattice: time traveller")
    assert re.fullmatch(rf"{TITLE}-lattice: {re.escape(str(folder_of(tmp_path)))[:-7]}.*s", last)


def test_quiet_shows_nothing(tmp_path, capfd):
    assert train(tmp_path, "--quiet", "--epochs", "1") == EXIT_PASS
    assert capfd.readouterr() == ("", "")


def test_a_spec_that_is_unsupported_is_reported_and_is_no_error(tmp_path, capsys, monkeypatch):
    """NumPy supports everything; the answer of a framework's layers stands in for the worker's."""
    ask = Child.ask

    def unsupported(self, request, limit):
        answer = ask(self, request, limit)
        gru = request["do"] == "train" and request["spec"]["cell"] == "gru"
        return {"unsupported": "the layer resets elsewhere"} if gru else answer

    monkeypatch.setattr(Child, "ask", unsupported)
    assert train(tmp_path, "--quiet", "--cell", "gru", "lstm", "--epochs", "1") == EXIT_PASS
    shown = capsys.readouterr().err
    assert shown == "numpy:equations-gru-after-quick-float32: unsupported: " + (
        "the layer resets elsewhere\n"
    )
    folder = folder_of(tmp_path, name="equations-gru-after-quick")
    found = run_in(folder)
    assert (found["status"], found["reason"]) == ("unsupported", "the layer resets elsewhere")
    assert run_in(folder_of(tmp_path))["status"] == "finished"
    assert "epochs" not in found or found["epochs"] == []


def test_what_is_not_said_is_the_recipes():
    for cell, named in RECIPES["quick"].recipes.items():
        (run,) = runs_of("--cell", cell)
        assert run.recipe == named
        assert (run.spec.L, run.spec.h) == (2, 32)
        assert (run.numerics, run.implementation, run.threads) == ("float32", "equations", 1)
    assert run.given.corpus.name == "sample"


def test_every_option_of_the_recipe_reaches_it():
    options = {
        "learning_rate": ("--learning-rate", 0.25),
        "clip": ("--clip", 2.5),
        "epochs": ("--epochs", 7),
        "n": ("--batch", 3),
        "T": ("--steps", 9),
        "order": ("--order", "random"),
        "initialiser": ("--initialiser", "keras"),
        "seed": ("--seed", 0),
        "perturbation": ("--perturbation", 5),
    }
    words = [str(word) for option in options.values() for word in option]
    (run,) = runs_of(*words, "--layers", "3", "--hidden", "5", "--threads", "2")
    wanted = {field: value for field, (_, value) in options.items()} | {"lattice": False}
    assert run.recipe.to_json() == wanted
    assert (run.spec.L, run.spec.h, run.threads) == (3, 5, 2)


def test_a_framework_trains_with_its_layers_unless_told_otherwise():
    arguments = ["train", "--backend", "pytorch"]
    (run,) = plan.runs(make_parser().parse_args(arguments))
    assert run.implementation == "layers"
    both = [*arguments, "--implementation", "equations", "layers"]
    names = [run.implementation for run in plan.runs(make_parser().parse_args(both))]
    assert names == ["equations", "layers"]


def test_a_run_is_the_same_again(out, tmp_path, made):
    options = ("--numerics", "lattice", "--held-out", "0.25", "--prefix", "the", "--quiet")
    assert train(tmp_path, *options) == EXIT_PASS
    again = run_in(folder_of(tmp_path, "lattice"))
    volatile = ("made", "seconds", "peak MiB", "epochs", "seal")
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in made.items() if k not in volatile
    }
    for row, wanted in zip(again["epochs"], made["epochs"], strict=True):
        assert row | {"seconds": 0} == wanted | {"seconds": 0}
