"""The tiers of a GPU: TF32 and mixed precision, and whatever of them a CPU can show."""

import dataclasses
import functools
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from backends import registry
from backends.protocol import Implementation, Model
from common.corpus import epochs, load_corpus
from common.errors import EXIT_BAD_INPUT, EXIT_PASS, BadInput
from common.parameters import Arrays, zero_state
from common.recipe import RECIPES, Recipe, initial_parameters
from common.spec import ModelSpec
from conformance.__main__ import main
from conformance.cases.given import Given
from conformance.records.training import NUMERICS
from conformance.records.witness import load_witnesses
from conformance.worker.training import Trainee, Training

TIERS = ("tf32", "mixed")
ALL = ("lattice", "float32", *TIERS)
CORPUS = load_corpus(max_tokens=200)
q = CORPUS.q
SPECS = {
    "rnn": ModelSpec("rnn", q, 8, q, 2, ("tanh", "tanh")),
    "gru-after": ModelSpec("gru", q, 8, q, 2, reset="after"),
    "gru-before": ModelSpec("gru", q, 8, q, 2, reset="before"),
    "lstm": ModelSpec("lstm", q, 8, q, 2),
}
LSTM = SPECS["lstm"]
RECIPE = Recipe(2.0, 0.3, n=4, T=5)
LONG = dataclasses.replace(RECIPE, epochs=2)
"""Whose step is compiled at once, whatever else was."""
STEPS = 7
"""TensorFlow makes a graph after the fifth."""
FEW = 3
ROUNDED = 1e-6
"""More than float32 rounds by in a few steps, and less than bfloat16 does, as a share."""
EPOCHS = 2
MARGIN = {"lattice": 0.001, "float32": 0.001, "tf32": 0.02, "mixed": 0.02}
"""As a share of a loss in float32 on the CPU, before the runs have had the time to part."""


def zero(spec: ModelSpec = LSTM) -> Arrays:
    return zero_state(spec, RECIPE.n, "float32")


@pytest.fixture
def on_the_cpu(backend, backend_name, implementation):
    """Makes the model of a tier, or of float32, on the CPU, where ``implementation`` gives none."""

    def found(tier: str | None, spec: ModelSpec = LSTM) -> Model:
        if backend_name == "numpy":
            pytest.skip("NumPy has no tiers")
        made = backend.implementation(implementation, "cpu", "float32")
        made = dataclasses.replace(made, tier=tier)
        if reason := made.unsupported(spec):
            pytest.skip(f"unsupported: {reason}")
        return made.model(spec, initial_parameters(spec, RECIPE))

    return found


def train(model: Model, spec: ModelSpec, count: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Losses and norms of some steps."""
    trainer = model.trainer(RECIPE, zero(spec))
    steps = [trainer.step(X, Y) for X, Y in next(epochs(CORPUS, RECIPE))[:count]]
    assert len(steps) == count
    assert all(array.dtype == "float32" for array in trainer.parameters().values())
    return np.array([float(s.loss) for s in steps]), np.array([float(s.norm) for s in steps])


# --- without a GPU ----------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_of_a_gpu_is_refused_on_the_cpu(tier, backend, backend_name, implementation):
    if tier in getattr(backend, "HALVES", ()):
        assert backend.implementation(implementation, "cpu", tier).tier == tier
        return
    with pytest.raises(BadInput) as error:
        backend.implementation(implementation, "cpu", tier)
    numpy = f"numpy: dtype: expected one of float32, float64, found {tier}"
    other = f"{backend_name}: {tier}: expected device gpu, found cpu"
    assert str(error.value) == (numpy if backend_name == "numpy" else other)


def test_a_gpu_that_is_not_there_is_refused_with_one_line(backend, backend_name, tmp_path, capfd):
    """Of a command with every numerics that there is."""
    try:
        backend.implementation("equations", "gpu", "float64")
    except BadInput as error:
        line = f"{error}\n"
    else:
        pytest.skip("there is a GPU")
    capfd.readouterr()  # what a framework says about it
    out = tmp_path / "results"
    command = ["train", "--backend", backend_name, "--device", "gpu", "--numerics", *ALL]
    assert main([*command, "--out", str(out)]) == EXIT_BAD_INPUT
    assert capfd.readouterr() == ("", line) and line.count("\n") == 1
    assert line.startswith(f"{backend_name}: device: ")
    assert not out.exists()


@pytest.mark.parametrize("tier", TIERS)
def test_only_mxnet_has_no_tiers_and_says_why(tier, backend, backend_name, implementation):
    if backend_name == "numpy":
        pytest.skip("NumPy has no GPU")
    made = backend.implementation(implementation, "cpu", "float32")
    made = dataclasses.replace(made, tier=tier)
    reason = made.unsupported(LSTM)
    assert bool(reason) == (backend_name == "mxnet")
    if reason:
        assert reason.startswith("MXNet 1.9.1 ") and "\n" not in reason
        request = {"do": "train", "implementation": implementation, "dtype": tier}
        request |= {"spec": LSTM.to_json(), "recipe": RECIPE.to_json()}
        assert Training({(implementation, tier): made}).handle(request) == {"unsupported": reason}


@functools.cache
def in_float32(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses and norms as the reference has them. A framework's own are within a few roundings."""
    spec = SPECS[name]
    made = registry.load("numpy").implementation("equations", "cpu", "float32")
    return train(made.model(spec, initial_parameters(spec, RECIPE)), spec)


@pytest.mark.parametrize("name", SPECS)
def test_mixed_precision_trains_nearly_as_float32_does(name, on_the_cpu):
    spec, (plain, norms) = SPECS[name], in_float32(name)
    mixed, mixed_norms = train(on_the_cpu("mixed", spec), spec)
    assert mixed == pytest.approx(plain, rel=MARGIN["mixed"])
    assert mixed_norms == pytest.approx(norms, rel=0.1)
    # Float32's roundings are 6e-8, bfloat16's 4e-3.
    assert np.count_nonzero(np.abs(mixed / plain - 1) > ROUNDED) >= STEPS - 1
    assert np.count_nonzero(np.abs(mixed_norms / norms - 1) > ROUNDED) == STEPS


@pytest.mark.parametrize("name", SPECS)
def test_the_reference_of_mixed_precision_is_a_float32_of_any_framework(name, on_the_cpu):
    """The first steps, before TensorFlow makes a graph."""
    losses, norms = train(on_the_cpu(None, SPECS[name]), SPECS[name], FEW)
    assert losses == pytest.approx(in_float32(name)[0][:FEW], rel=ROUNDED)
    assert norms == pytest.approx(in_float32(name)[1][:FEW], rel=ROUNDED)


@pytest.mark.parametrize("name", SPECS)
def test_mixed_precision_takes_and_gives_float32_and_rounds_to_bfloat16(name, on_the_cpu):
    spec = SPECS[name]
    X, Y = next(epochs(CORPUS, RECIPE))[0]
    found = {}
    for tier in (None, "mixed"):
        model, start = on_the_cpu(tier, spec), zero(spec)
        O, last = model.outputs(X, start)
        forward, back = model.forward(X, start), model.loss_and_gradients(X, Y, start)
        arrays = {"O": O, "forward O": forward.outputs, **back.gradients}
        for kind, parts in (("", last), ("forward ", forward.state), ("trace ", forward.trace)):
            arrays |= {f"{kind}{part}": array for part, array in parts.items()}
        assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
        found[tier] = arrays
    assert found[None].keys() == found["mixed"].keys()
    for key, plain in found[None].items():
        error = np.abs(found["mixed"][key] - plain).max() / np.abs(plain).max()
        # 8 bits of every factor, and of what the layers hand on.
        assert 1e-5 < error < 0.05, key


def tf32_is_on(backend_name: str) -> bool:
    if backend_name == "pytorch":
        flags = importlib.import_module("torch").backends
        found = {flags.cuda.matmul.fp32_precision, flags.cudnn.rnn.fp32_precision}
        assert found == {"tf32"} or "tf32" not in found, "the switches differ"
        return found == {"tf32"}
    return importlib.import_module(f"backends.{backend_name}.runtime").tf32_is_on()


@pytest.fixture
def tf32_is_off(backend, backend_name):
    """As on a GPU, where finding the device turns it off; torch's default for RNNs is on."""
    if backend_name == "pytorch":
        importlib.import_module("backends.pytorch.runtime").set_precision("ieee", "ieee")
    if backend_name not in ("numpy", "mxnet"):
        assert not tf32_is_on(backend_name)


def watch(monkeypatch, kind: type, seen) -> None:
    """Call ``seen`` whenever a net of this kind computes."""
    for name in ("__call__", "trace", "forward"):
        if ordinary := getattr(kind, name, None):

            @functools.wraps(ordinary)
            def method(*args, ordinary=ordinary):
                seen()
                return ordinary(*args)

            monkeypatch.setattr(kind, name, method)


@pytest.mark.usefixtures("tf32_is_off")
def test_tf32_is_on_while_a_model_of_the_tier_computes_and_only_then(
    on_the_cpu, backend_name, monkeypatch
):
    X, Y = next(epochs(CORPUS, RECIPE))[0]
    flags: list[bool] = []
    watch(monkeypatch, type(on_the_cpu("tf32").net), lambda: flags.append(tf32_is_on(backend_name)))
    for tier in (None, "tf32", None):
        model = on_the_cpu(tier)
        trainer = model.trainer(LONG, zero())
        for use, given in (
            (model.outputs, (X, zero())),
            (model.forward, (X, zero())),
            (model.loss_and_gradients, (X, Y, zero())),
            (trainer.step, (X, Y)),
        ):
            flags.clear()
            use(*given)
            # JAX compiled that one for ``forward``, and a net is seen only while it is compiled.
            shared = backend_name == "jax" and use == model.loss_and_gradients
            assert set(flags) == (set() if shared else {tier == "tf32"}), use
            assert not tf32_is_on(backend_name), use


@pytest.mark.usefixtures("tf32_is_off")
def test_tf32_is_off_again_after_an_error(on_the_cpu, backend_name, monkeypatch):
    model = on_the_cpu("tf32")

    def fail() -> None:
        assert tf32_is_on(backend_name)
        raise RuntimeError("it broke")

    watch(monkeypatch, type(model.net), fail)
    X, Y = next(epochs(CORPUS, RECIPE))[0]
    with pytest.raises(RuntimeError, match="it broke"):
        model.trainer(LONG, zero()).step(X, Y)
    assert not tf32_is_on(backend_name)


@pytest.mark.usefixtures("tf32_is_off")
def test_on_a_cpu_tf32_is_float32(on_the_cpu):
    rounded = train(on_the_cpu("tf32"), LSTM)
    for found, wanted in zip(rounded, in_float32("lstm"), strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


# --- on a GPU ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("there_is_a_gpu")
def test_one_command_trains_in_every_tier(backend, backend_name, tmp_path):
    """One worker makes all these runs, in this order: whatever one tier leaves behind is seen."""
    names = backend.IMPLEMENTATIONS
    command = ["train", "--backend", backend_name, "--device", "gpu", "--implementation", *names]
    options = ["--epochs", str(EPOCHS), "--quiet", "--out", str(tmp_path)]
    assert main([*command, "--numerics", *ALL, "float32", *options]) == EXIT_PASS
    witness = next(found for found in load_witnesses() if found.name == "quick-lstm")
    for name in names:
        wanted = cpu_losses(backend.implementation(name, "cpu", "float32"), tmp_path / "none")
        for tier in ALL:
            folder = tmp_path / "training" / f"{backend_name}-gpu" / f"{name}-lstm-quick-{tier}"
            made = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if backend_name == "mxnet" and tier in TIERS:
                assert (made["status"], made["epochs"]) == ("unsupported", []) and made["reason"]
                continue
            assert made["status"] == "finished"
            losses = [np.mean(row["losses"]) for row in made["epochs"]]
            assert losses == pytest.approx(wanted, rel=MARGIN[tier]), tier
            if tier == "lattice":
                digests = [row["digest"] for row in made["epochs"]]
                assert digests == witness.digests[:EPOCHS]
            if backend_name != "mxnet":
                assert set(made["passport"]["tiers"]) == set(TIERS)


def cpu_losses(made: Implementation, checkpoint: Path) -> list[float]:
    """The mean loss of every epoch of the quick recipe for the LSTM, in float32 on the CPU."""
    named, corpus = RECIPES["quick"], load_corpus()
    spec = ModelSpec("lstm", corpus.q, named.h, corpus.q, named.L)
    recipe = dataclasses.replace(named.recipes["lstm"], epochs=EPOCHS)
    job = {"numerics": "float32", "spec": spec.to_json(), "recipe": recipe.to_json()}
    job |= {"checkpoint": str(checkpoint), "digests": "epoch"}
    trainee = Trainee(job, Given(corpus), made)
    return [float(np.mean(trainee.epoch()["losses"])) for _ in range(EPOCHS)]


def has_tf32(backend_name: str) -> bool:
    """Whether the GPU is an Ampere or later."""
    if backend_name == "pytorch":
        return importlib.import_module("torch").cuda.get_device_capability() >= (8, 0)
    if backend_name == "jax":
        gpu = importlib.import_module("jax").local_devices(backend="gpu")[0]
        return float(gpu.compute_capability) >= 8
    config = importlib.import_module("tensorflow").config
    details = config.experimental.get_device_details(config.list_physical_devices("GPU")[0])
    return details["compute_capability"] >= (8, 0)


@pytest.mark.usefixtures("there_is_a_gpu")
@pytest.mark.filterwarnings("ignore:RNN module weights are not part of single")
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_gpu_rounds_as_its_tier_says_and_float32_stays_as_it_is(
    cell, backend, backend_name, implementation
):
    """cuDNN copies the bfloat16 weights of torch's layers together at every call, and warns."""
    recipe = RECIPES["d2l"].recipes[cell]
    activations = ("tanh", "tanh") if cell == "rnn" else ()
    spec = ModelSpec(cell, q, 256, q, 2, activations, "after" if cell == "gru" else None)
    params = initial_parameters(spec, recipe)
    X = np.random.RandomState(1).randint(0, q, (recipe.T, recipe.n))
    exact = backend.implementation(implementation, "cpu", "float64").model(spec, params)
    wanted = exact.outputs(X, zero_state(spec, recipe.n, "float64"))[0]

    def error(tier: str) -> float:
        made = backend.implementation(implementation, "gpu", NUMERICS[tier])
        if reason := made.unsupported(spec):
            pytest.skip(f"unsupported: {reason}")
        O = made.model(spec, params).outputs(X, zero_state(spec, recipe.n, "float32"))[0]
        return float(np.abs(O - wanted).max() / np.abs(wanted).max())

    assert error("float32") < 1e-5
    assert 1e-4 < error("mixed") < 0.05
    assert error("float32") < 1e-5
    if not has_tf32(backend_name):
        pytest.skip("this GPU has no TF32")
    assert 1e-5 < error("tf32") < 1e-2
    assert error("float32") < 1e-5
