"""Training on the lattice is the same bit for bit as the stored witnesses say, with no other
framework at hand."""

from pathlib import Path

import pytest

from backends import registry
from common.corpus import load_corpus
from conformance.cases.given import Given
from conformance.records.witness import Witness, load_witnesses
from conformance.worker.training import Trainee

QUICK = [witness for witness in load_witnesses() if witness.name.startswith("quick-")]
WIDER = [witness for witness in load_witnesses() if witness.name.startswith("wider-")]
BEGINNING = 4
"""So many epochs, of wider stacks all: the main job trains the others to the end, on the CPU."""


def train(
    backend: registry.Backend, implementation: str, device: str, witness: Witness, tmp_path: Path
) -> list[str]:
    """The digests of as many epochs as there is time for."""
    made = backend.implementation(implementation, device, "float64")
    if reason := made.unsupported(witness.spec, *witness.recipe.needs):
        pytest.skip(f"unsupported: {reason}")
    job = {"spec": witness.spec.to_json(), "recipe": witness.recipe.to_json(), "settings": {}}
    job |= {"numerics": "lattice", "digests": "epoch", "checkpoint": str(tmp_path / "none")}
    trainee = Trainee(job, Given(load_corpus()), made)
    whole = device != "cpu" and implementation == "layers"
    epochs = len(witness.digests) if whole else BEGINNING
    return [trainee.epoch()["digest"] for _ in range(epochs)]


def test_what_cannot_be_trained_is_a_projection_or_a_mask_that_layers_draw(
    backend: registry.Backend, backend_name: str, implementation: str
) -> None:
    made = backend.implementation(implementation, "cpu", "float64")
    without = {w.recipe_name for w in WIDER if made.unsupported(w.spec, *w.recipe.needs)}
    known = {"mxnet": {"wider-dropout"}, "tensorflow": {"wider-projected"}}
    known["jax"] = known["tensorflow"]
    assert without == (known.get(backend_name, set()) if implementation == "layers" else set())


def test_there_is_a_witness_of_every_cell() -> None:
    cells = {(w.spec.cell, w.spec.reset) for w in QUICK}
    assert cells == {("rnn", None), ("gru", "before"), ("gru", "after"), ("lstm", None)}
    for witness in load_witnesses():
        confirmed = {by["implementation"].split(":")[0] for by in witness.confirmed}
        assert len(confirmed - {"numpy"}) >= 3, witness.name
        assert len(set(witness.digests)) == witness.recipe.epochs, witness.name


@pytest.mark.parametrize("witness", QUICK, ids=lambda witness: witness.name)
def test_every_digest_is_the_witness_s(
    backend: registry.Backend, implementation: str, witness: Witness, tmp_path: Path
) -> None:
    found = train(backend, implementation, "cpu", witness, tmp_path)
    assert len(found) >= BEGINNING
    assert found == witness.digests[: len(found)]


@pytest.mark.parametrize("witness", WIDER, ids=lambda witness: witness.name)
def test_every_digest_of_a_wider_stack_is_the_witness_s(
    backend: registry.Backend, implementation: str, witness: Witness, tmp_path: Path
) -> None:
    """Which the main job trains only where it is told to."""
    found = train(backend, implementation, "cpu", witness, tmp_path)
    assert found == witness.digests


@pytest.mark.usefixtures("there_is_a_gpu")
@pytest.mark.parametrize("witness", QUICK, ids=lambda witness: witness.name)
def test_every_digest_is_the_same_on_a_gpu(
    backend: registry.Backend, implementation: str, witness: Witness, tmp_path: Path
) -> None:
    found = train(backend, implementation, "gpu", witness, tmp_path)
    assert found == witness.digests[: len(found)]
