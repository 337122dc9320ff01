"""A backend's part for GPUs (conformance/gpu), on the CPU as far as it goes: many training runs in
one batch of weights, other modes of the layers, steps whose data are on the device."""

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends import registry
from common.corpus import epochs, load_corpus
from common.recipe import RECIPES
from common.spec import ModelSpec
from common.weights import read_arrays
from conformance.calibrate.curve_mutants import MISTAKES, Mutant
from conformance.calibrate.ensemble import asked
from conformance.cases.given import gather
from conformance.gpu import members
from conformance.gpu.measure import seconds_of
from conformance.oracle.truth import right_answer
from conformance.run.asked import Run
from conformance.worker.ladder import answer_invariances
from conformance.worker.training import Trainee
from tests.deviations.reproduction import in_a_process

ROOT = Path(__file__).resolve().parents[2]
STEPS = 8


@pytest.fixture
def part(backend_name: str) -> Any:
    found = registry.load_part(backend_name, "gpu")
    if found is None:
        pytest.skip("conformance/gpu is for frameworks that lent machines have")
    return found


@pytest.fixture
def stacking(part) -> Any:
    if not hasattr(part, "stacked"):
        pytest.skip("members are stacked in one framework alone")
    return part


@pytest.fixture(scope="module")
def run() -> Run:
    question = argparse.Namespace(recipe="quick", cell=["lstm"], reset=["after"], text=None)
    return asked(question)[0]


def by_the_reference(run: Run, member: members.Member) -> tuple[np.ndarray, np.ndarray]:
    """Losses and norms of an epoch of NumPy's float32, with the mistake as calibrate makes it."""
    own = dataclasses.replace(run.recipe, perturbation=member.perturbation)
    made: Any = registry.load("numpy").implementation("equations", "cpu", "float32")
    if member.kind != members.HONEST:
        made = Mutant(made, MISTAKES[member.kind])
    job = dataclasses.replace(run, recipe=own).settings()
    row = Trainee(job | {"digests": "epoch", "checkpoint": "none"}, run.given, made).epoch()
    return np.array(row["losses"]), np.array(row["norms"])


def test_stacked_members_are_those_of_the_reference_honest_or_not(stacking, run, tmp_path):
    """The first steps: what float32 parts later is chaos, not a mistake."""
    who = members.members(run.spec, 2, 1)
    name = stacking.__name__.split(".")[1]
    path = members.train(run, who, name, "cpu", 1, tmp_path)
    found = list(members.runs_of(path))
    assert [member for member, _ in found] == who
    curves = {}
    for member, made in found:
        (row,) = made["epochs"]
        losses, norms = by_the_reference(run, member)
        assert row["losses"][:STEPS] == pytest.approx(losses[:STEPS], rel=1e-5), member
        assert row["norms"][:STEPS] == pytest.approx(norms[:STEPS], rel=1e-4), member
        curves[member] = row["losses"]
    assert len({json.dumps(curve) for curve in curves.values()}) >= len(who) - 1, "none is another"


def test_members_go_on_from_a_checkpoint_bit_for_bit(stacking, run, tmp_path, monkeypatch):
    who, name = members.members(run.spec, 2, 0), stacking.__name__.split(".")[1]
    whole = members.train(run, who, name, "cpu", 3, tmp_path / "whole")
    monkeypatch.setattr(members, "CHECKPOINT_EVERY", 2)
    stopped, calls = tmp_path / "stopped", []

    def until_the_third(corpus, recipe, first):
        for number, batches in enumerate(epochs(corpus, recipe, first=first), start=first + 1):
            if number == 3 and not calls:
                calls.append(number)
                raise KeyboardInterrupt
            yield batches

    monkeypatch.setattr(members, "epochs", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        members.train(run, who, name, "cpu", 3, stopped)
    assert (stopped / members.CHECKPOINT).exists()
    again = members.train(run, who, name, "cpu", 3, stopped)
    one, other = read_arrays(whole)[0], read_arrays(again)[0]
    for field in ("losses", "norms", "steps"):
        assert np.array_equal(one[field], other[field]), field
    assert not (stopped / members.CHECKPOINT).exists()


def test_a_step_whose_data_are_on_the_device_runs_in_every_way(part):
    spec, recipe = ModelSpec("lstm", 7, 5, 7, 2), RECIPES["d2l"].recipes["lstm"]
    small = dataclasses.replace(recipe, n=3, T=4)
    for way in part.ways("cpu"):
        for numerics in ("float32", "mixed"):
            run = part.device_steps(spec, small, numerics, "cpu", way)
            assert seconds_of(run, 2) > 0


def test_cudnn_is_off_within_its_mode_and_on_again_afterwards(part):
    """With TF32 switched off for RNNs alone, as on a GPU, ``cudnn.flags`` raises."""
    if not hasattr(part, "MODES"):
        pytest.skip("this backend's layers have no other mode")
    cudnn = part.torch.backends.cudnn
    before = cudnn.rnn.fp32_precision
    try:
        cudnn.rnn.fp32_precision = "ieee"
        _, within = part.mode("cuDNN off", "cpu", "float32")
        with within:
            assert not cudnn.enabled
        assert cudnn.enabled
    finally:
        cudnn.rnn.fp32_precision = before


def child(what: str, backend: str, out: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "conformance.gpu.measure", what, "--backend", backend]
    command += ["--device", "cpu", "--out", str(out), *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return json.loads(out.read_text(encoding="utf-8"))


def test_rates_and_the_passport_are_written(part, backend_name, tmp_path):
    made = child("rates", backend_name, tmp_path / "rates.json", "--size", "32")
    assert made["passport"]["device"]
    assert set(made["rates"]) == {"float64", "float32"}
    assert all(rate > 0 for rate in made["rates"].values())


def test_speed_is_a_share_of_the_product_rate(part, backend_name, tmp_path):
    words = ["--size", "32", "--examples", "2", "--hidden", "4", "--steps", "1"]
    made = child("speed", backend_name, tmp_path / "speed.json", *words)
    (row,) = made["rows"]
    assert row["tokens/s"] == pytest.approx(2 * 35 / row["seconds"])
    assert row["share"] > 0
    assert made["literature"] is None


def test_the_layers_hold_in_other_modes(part, backend_name, tmp_path):
    if not hasattr(part, "MODES"):
        pytest.skip("this backend's layers have no other mode")
    made = child("modes", backend_name, tmp_path / "modes.json", "--cases", "lstm-one-step")
    assert set(made["modes"]) == set(part.MODES)
    for dtypes in made["modes"].values():
        for cases in dtypes.values():
            row = cases["lstm-one-step"]
            assert row.get("broken", row) is None, row
            assert row["rungs"]["outputs"]["ratio"] <= 8


def test_the_functions_inside_of_the_layers_are_shown_bare(part, monkeypatch):
    if not hasattr(part, "activation_errors"):
        pytest.skip("asked of a framework whose layers are kernels of others")
    monkeypatch.setattr(part, "POINTS", 64)
    for dtype, exact in (("float32", 3e-7), ("float64", 1e-15)):
        rows = part.activation_errors("cpu", dtype)
        assert {row["function"] for row in rows} == {"tanh", "sigmoid"}
        assert len(rows) == 2 + 2 * (4 + 2 * 3 + 2 * 4)
        assert max(row["relative"] for row in rows) < exact, "gates are open or shut, nothing else"


@pytest.mark.parametrize("name", ["lstm-L2", "gru-after-L2", "rnn-tanh-relu"])
def test_layers_get_their_state_in_one_piece(name, part, backend, monkeypatch):
    """cuDNN refuses a state that was cut out of another along the batch; a CPU takes it. The
    invariances cut one."""
    if backend.__name__ != "backends.pytorch":
        pytest.skip("asked of the framework that hands states to cuDNN")
    given: list[Any] = []

    def call(module: Any, X: Any, *state: Any) -> Any:
        given.extend(tensor for s in state for tensor in (s if isinstance(s, tuple) else (s,)))
        return module(X, *state)

    made = backend.implementation("layers", "cpu", "float32")
    monkeypatch.setattr(made.net, "call", staticmethod(call))
    right = right_answer(name, gather(load_corpus(None), None))
    answer_invariances(made, right.case, right.numbers)
    assert given and all(tensor.is_contiguous() for tensor in given)


def cudnn_of_an_lstm() -> list[Any]:
    """Whether Keras' LSTM may be cuDNN's: one direction, then both halves of two."""
    engine = {"jax": "jax", "torch": "pytorch"}[os.environ["KERAS_BACKEND"]]
    made = importlib.import_module(f"backends.{engine}.modes")
    layers = [
        made.keras_layers().make_layer(ModelSpec("lstm", 2, 3, 2, 1, directions=D), 1, "float32")
        for D in (1, 2)
    ]
    halves = [layers[0], layers[1].forward_layer, layers[1].backward_layer]
    return [half.use_cudnn for half in halves]


@pytest.mark.parametrize(("engine", "wanted"), [("jax", False), ("torch", "auto")])
def test_keras_calls_cudnn_where_it_is_right(backend_name, engine, wanted):
    """On JAX its gradients are not: cudnn-lstm-in-any-layout."""
    if backend_name != engine.replace("torch", "pytorch"):
        pytest.skip(f"of Keras on {engine}")
    assert in_a_process(cudnn_of_an_lstm, KERAS_BACKEND=engine) == [wanted] * 3


def test_flax_layers_are_made_without_orthogonal_matrices(backend_name):
    """JAX 0.11 makes none of bfloat16."""
    if backend_name != "jax":
        pytest.skip("of Flax")
    jax, nnx = pytest.importorskip("jax"), pytest.importorskip("flax.nnx")
    make_layer = importlib.import_module("backends.jax.layers").make_layer
    cells: list[dict[str, Any]] = [
        {"cell": "rnn", "activations": ("tanh",)},
        {"cell": "gru", "reset": "after"},
        {"cell": "lstm"},
    ]
    for cell in cells:
        spec = ModelSpec(d=2, h=3, q=2, L=1, **cell)

        def weights(spec: ModelSpec = spec) -> Any:
            return nnx.split(make_layer(spec, 1, jax.numpy.float32, jax.numpy.float32))[1]

        assert " qr[" not in str(jax.make_jaxpr(weights)()), cell
