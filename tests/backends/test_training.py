"""Training in this backend, against a loop over NumPy's gradients that is written out here."""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from backends import registry
from backends.protocol import Implementation, Trainer
from common import lattice
from common.corpus import epochs, load_corpus
from common.errors import EXIT_PASS
from common.parameters import Arrays, zero_state
from common.recipe import RECIPES, Recipe, initial_parameters
from common.spec import ModelSpec
from common.weights import load_weights, write_arrays
from conformance.__main__ import main
from conformance.cases.given import Given
from conformance.closeness.compare import relative_error
from conformance.worker.training import Trainee
from tests.backends.made import made_by

CORPUS = load_corpus(max_tokens=130)
q = CORPUS.q
SPECS = {
    "rnn": ModelSpec("rnn", q, 8, q, 2, ("tanh", "tanh")),
    "gru-after": ModelSpec("gru", q, 8, q, 2, reset="after"),
    "gru-before": ModelSpec("gru", q, 8, q, 2, reset="before"),
    "lstm": ModelSpec("lstm", q, 8, q, 2),
}
LSTM = SPECS["lstm"]
RECIPE = Recipe(2.0, 0.3, epochs=3, n=4, T=5, lattice=True)
"""Some of its steps are clipped and some are not."""

ONE_STEP = dataclasses.replace(RECIPE, epochs=1)
"""TensorFlow runs it eagerly, which is quicker for a few steps."""

TOLERANCE = 1e-12


def train_by_hand(spec: ModelSpec, recipe: Recipe, corpus=CORPUS) -> list[tuple]:
    """Loss, norm and digest of every step: D2L's loop over the gradients of the reference."""
    reference = registry.load("numpy").implementation("equations", "cpu", "float64")
    params = initial_parameters(spec, recipe)
    found = []
    for batches in epochs(corpus, recipe):
        state = zero_state(spec, recipe.n, "float64")
        for X, Y in batches:
            if recipe.order == "random":
                state = zero_state(spec, recipe.n, "float64")
            model = reference.model(spec, params)
            back = model.loss_and_gradients(X, Y, state)
            grads = {name: back.gradients[name] for name in params}
            norm = np.sqrt(sum((g * g).sum() for g in grads.values()))
            scale = recipe.clip / norm if norm > recipe.clip else 1.0
            state = lattice.to_lattice(model.forward(X, state).state)
            params = lattice.to_lattice(
                {
                    name: w - recipe.learning_rate * (scale * grads[name])
                    for name, w in params.items()
                }
            )
            found.append((back.loss, norm, lattice.digest(params)))
    return found


@functools.cache
def by_hand(name: str, order: str) -> list[tuple]:
    return train_by_hand(SPECS[name], dataclasses.replace(RECIPE, order=order))


@pytest.fixture
def make(backend_name: str, implementation: str):
    """Gives the float64 implementation for a spec; skips where the spec is unsupported."""

    def found(spec: ModelSpec) -> Implementation:
        made = made_by(backend_name, implementation)
        if reason := made.unsupported(spec):
            pytest.skip(f"unsupported: {reason}")
        return made

    return found


@pytest.fixture
def trainer(make):
    """Makes a trainer of the LSTM that starts from the recipe's parameters and a zero state."""

    def found(recipe: Recipe = ONE_STEP) -> Trainer:
        model = make(LSTM).model(LSTM, initial_parameters(LSTM, recipe))
        return model.trainer(recipe, zero(recipe))

    return found


def zero(recipe: Recipe = RECIPE) -> Arrays:
    return zero_state(LSTM, recipe.n, "float64")


def minibatches(recipe: Recipe = RECIPE) -> list:
    return next(epochs(CORPUS, recipe))


def one_hot(X: np.ndarray) -> np.ndarray:
    return np.eye(q)[X]


def some_state(seed: int) -> Arrays:
    rng = np.random.RandomState(seed)
    return {part: rng.uniform(-1, 1, array.shape) for part, array in zero().items()}


def assert_same_bits(found: Arrays, wanted: Arrays) -> None:
    assert found and found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].tobytes() == wanted[name].tobytes(), name


def assert_close(found, wanted) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape and found.size
    assert relative_error(found, wanted) <= TOLERANCE


@pytest.mark.parametrize("order", ["sequential", "random"])
@pytest.mark.parametrize("name", SPECS)
def test_lattice_training_is_the_same_bit_for_bit_at_every_step(name, order, make):
    spec, recipe = SPECS[name], dataclasses.replace(RECIPE, order=order)
    trainer = (
        make(spec)
        .model(spec, initial_parameters(spec, recipe))
        .trainer(recipe, zero_state(spec, recipe.n, "float64"))
    )
    found = []
    for batches in epochs(CORPUS, recipe):
        for k, (X, Y) in enumerate(batches):
            if k == 0 or order == "random":
                trainer.start(zero_state(spec, recipe.n, "float64"))
            step = trainer.step(X, Y)
            digest = lattice.digest(trainer.parameters())
            found.append((float(step.loss), float(step.norm), digest))
    wanted = by_hand(name, order)
    assert len(found) == len(wanted) >= 15
    assert [digest for *_, digest in found] == [digest for *_, digest in wanted]
    assert len({digest for *_, digest in found}) == len(found)
    for column in (0, 1):
        assert_close([row[column] for row in found], [row[column] for row in wanted])


def test_some_steps_are_clipped_and_some_are_not():
    norms = [norm for name in SPECS for _, norm, _ in by_hand(name, "sequential")]
    assert min(norms) < RECIPE.clip < max(norms)


def test_class_numbers_give_the_bits_that_one_hot_floats_give(make):
    model, state = make(LSTM).model(LSTM, initial_parameters(LSTM, RECIPE)), some_state(1)
    X, Y = minibatches()[0]
    numbers, floats = model.outputs(X, state), model.outputs(one_hot(X), state)
    assert_same_bits({"O": numbers[0], **numbers[1]}, {"O": floats[0], **floats[1]})
    numbers, floats = (model.loss_and_gradients(form, Y, state) for form in (X, one_hot(X)))
    assert numbers.loss == floats.loss
    assert_same_bits(numbers.gradients, floats.gradients)


def test_class_numbers_train_as_one_hot_floats_do(trainer):
    numbers, floats = trainer(), trainer()
    for X, Y in minibatches()[:2]:
        assert float(numbers.step(X, Y).loss) == float(floats.step(one_hot(X), Y).loss)
    assert_same_bits(numbers.parameters(), floats.parameters())


def test_outputs_are_those_of_forward(make):
    model, state = make(LSTM).model(LSTM, initial_parameters(LSTM, RECIPE)), some_state(2)
    X, _ = minibatches()[0]
    O, last = model.outputs(X, state)
    forward = model.forward(X, state)
    assert_close(O, forward.outputs)
    assert last.keys() == forward.state.keys() == state.keys()
    for part in state:
        assert_close(last[part], forward.state[part])
        assert_close(last[part], forward.trace[part][-1])


def test_the_state_is_carried_and_start_replaces_it(make, trainer):
    (X, Y), (X2, Y2) = minibatches()[:2]
    carried, started, restarted = trainer(), trainer(), trainer()
    for each in (carried, started, restarted):
        each.step(X, Y)
    started.start(some_state(3))
    restarted.start(zero())
    model = make(LSTM).model(LSTM, carried.parameters())
    before = make(LSTM).model(LSTM, initial_parameters(LSTM, RECIPE))
    state = lattice.to_lattice(before.forward(X, zero()).state)
    losses = []
    for each, begin in ((carried, state), (started, some_state(3)), (restarted, zero())):
        loss = float(each.step(X2, Y2).loss)
        assert_close(loss, model.loss_and_gradients(X2, Y2, begin).loss)
        losses.append(loss)
    first, second, third = losses
    assert min(abs(first - second), abs(second - third), abs(first - third)) > 1e-6


def test_training_leaves_what_it_was_given_as_it_was(trainer):
    given = trainer()
    state = some_state(4)
    kept = {part: array.copy() for part, array in state.items()}
    given.start(state)
    for X, Y in minibatches()[:2]:
        copies = X.copy(), Y.copy()
        given.step(X, Y)
        assert (copies[0] == X).all() and (copies[1] == Y).all()
    assert_same_bits(state, kept)


def test_loss_and_norm_can_be_read_after_later_steps(trainer):
    at_once, late = trainer(), trainer()
    batches = minibatches()[:4]
    read = [(float(s.loss), float(s.norm)) for s in (at_once.step(X, Y) for X, Y in batches)]
    steps = [late.step(X, Y) for X, Y in batches]
    assert [(float(step.loss), float(step.norm)) for step in steps] == read
    assert len(set(read)) == len(read)


def test_parameters_and_gradients_that_were_read_do_not_move_with_later_steps(trainer):
    moving = trainer()
    (X, Y), (X2, Y2) = minibatches()[:2]
    moving.step(X, Y)
    for read in (moving.parameters, moving.gradients):
        first = read()
        kept = {name: array.copy() for name, array in first.items()}
        moving.step(X2, Y2)
        assert_same_bits(first, kept)
        assert any((first[name] != array).any() for name, array in read().items())


def make_trainee(made: Implementation, recipe: Recipe, folder: Path) -> Trainee:
    job = {
        "numerics": "lattice",
        "dtype": "float64",
        "spec": LSTM.to_json(),
        "recipe": recipe.to_json(),
        "settings": {},
        "checkpoint": str(folder / "checkpoint.safetensors"),
        "digests": "step",
    }
    return Trainee(job, Given(CORPUS), made)


def test_random_minibatches_start_from_a_zero_state_each(make, tmp_path):
    trainee = make_trainee(make(LSTM), dataclasses.replace(RECIPE, order="random"), tmp_path)
    digests = trainee.epoch()["digests"]
    assert len(digests) >= 5
    assert digests == [digest for *_, digest in by_hand("lstm", "random")][: len(digests)]


def test_prediction_takes_the_likeliest_character_every_time(make, tmp_path):
    # Large parameters: what comes next depends on everything that came before.
    params = {name: 20 * array for name, array in initial_parameters(LSTM, RECIPE).items()}
    write_arrays(tmp_path / "checkpoint.safetensors", params, {"rows": "[]"})
    trainee = make_trainee(make(LSTM), RECIPE, tmp_path)
    prefix, vocabulary = "th", CORPUS.vocabulary
    model = make(LSTM).model(LSTM, trainee.trainer.parameters())
    text = prefix
    state = {part: np.zeros((LSTM.L, 1, LSTM.h)) for part in LSTM.states}
    read = vocabulary.encode(prefix)[:, None]
    for _ in range(12):
        forward = model.forward(one_hot(read), state)
        state, read = forward.state, forward.outputs[-1].argmax(axis=-1)[None]
        text += vocabulary.tokens[int(read[0, 0])]
    assert trainee.predict(prefix, 12) == text
    assert len(text) == len(prefix) + 12
    assert len(set(text)) > 4


def test_training_through_the_worker_gives_the_same_digests(backend_name, backend, tmp_path, capfd):
    out = tmp_path / "results"
    options = ["--epochs", "2", "--max-tokens", "1400", "--numerics", "lattice", "--out", str(out)]
    which = ["--backend", backend_name, "--implementation", *backend.IMPLEMENTATIONS]
    assert main(["train", *which, *options, "--digests", "step"]) == EXIT_PASS
    captured = capfd.readouterr()
    assert captured.out == ""

    corpus, named = load_corpus(max_tokens=1400), RECIPES["quick"]
    spec = ModelSpec("lstm", q, named.h, q, named.L)
    recipe = dataclasses.replace(named.recipes["lstm"], epochs=2, lattice=True)
    wanted = train_by_hand(spec, recipe, corpus)
    for implementation in backend.IMPLEMENTATIONS:
        name = f"{implementation}-lstm-quick-lattice"
        folder = out / "training" / f"{backend_name}-cpu" / name
        made = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert made["status"] == "finished"
        # As asked for, also where there are more cores, all of which XLA and others would take.
        assert int(made["passport"]["threads"]) == 1
        digests = [digest for row in made["epochs"] for digest in row["digests"]]
        assert digests == [digest for *_, digest in wanted]
        for row in made["epochs"]:
            assert row["digest"] == row["digests"][-1]
        for column, series in enumerate(("losses", "norms")):
            found = [number for row in made["epochs"] for number in row[series]]
            assert_close(found, [row[column] for row in wanted])
        found, params = load_weights(folder / "weights.safetensors")
        assert found == spec
        assert lattice.digest(params) == wanted[-1][2]
        assert f"{name}: epoch 2 of 2: " in captured.err
    assert captured.err.count(f"digest {wanted[-1][2][:12]}") == len(backend.IMPLEMENTATIONS)
