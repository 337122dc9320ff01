"""A live model is captured, and ``diagnose`` answers from the file alone."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from common.capture import read_capture
from common.errors import BadInput
from conformance.__main__ import main


@pytest.fixture
def live(backend_name):
    """The live models of this framework."""
    try:
        return importlib.import_module(f"tests.backends.live_{backend_name}")
    except ModuleNotFoundError as error:
        if error.name != f"tests.backends.live_{backend_name}":
            raise
        pytest.skip(f"{backend_name} has no layers that could be captured")


def pytest_generate_tests(metafunc):
    name = metafunc.config.getoption("--backend")
    for fixture, table in (("model", "MODELS"), ("refused", "UNJUDGED")):
        if fixture in metafunc.fixturenames:
            file = Path(__file__).with_name(f"live_{name}.py")
            module = (
                importlib.import_module(f"tests.backends.{file.stem}") if file.exists() else None
            )
            metafunc.parametrize(fixture, list(getattr(module, table)) if module else ["none"])


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "captured.safetensors"


def diagnosed(path: Path, capsys, *words: str) -> tuple[int, str]:
    code = main(["diagnose", "--quiet", str(path), *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_live_model_is_all_right_from_its_capture_alone(live, model, path, capsys):
    made, inputs = live.MODELS[model]()
    loss = live.loss if model in getattr(live, "SLOPES", live.MODELS) else None
    outputs = live.capture(made, path, *inputs, loss=loss)
    assert outputs is not None
    code, said = diagnosed(path, capsys)
    assert code == 0, said
    found = read_capture(path)
    assert said.count("all right") == len(found.layers)
    for layer in found.layers:
        assert set(layer.gradients) == (set(layer.weights) if loss else set())
        assert all(np.isfinite(array).all() for array in layer.gradients.values())
    assert (found.loss is None) == (loss is None)
    names = [layer.name for layer in found.layers]
    assert names == live.LAYERS.get(model, names)


def test_what_cannot_be_judged_is_one_line_and_never_all_right(live, refused, path, capsys):
    made, inputs = live.UNJUDGED[refused]()
    live.capture(made, path, *inputs)
    code, said = diagnosed(path, capsys)
    assert code == 2 and said.count("\n") == 1 and "can compute" in said


def test_without_a_loss_there_are_no_gradients(live, path):
    made, inputs = next(iter(live.MODELS.values()))()
    live.capture(made, path, *inputs)
    found = read_capture(path)
    assert found.loss is None and not any(layer.gradients for layer in found.layers)


def test_a_model_without_recurrent_layers_is_refused(live, path):
    model, inputs = live.NOTHING
    with pytest.raises(BadInput, match="a model that runs a recurrent layer"):
        live.capture(model, path, *inputs)
    assert not path.exists()


def test_a_layer_that_computes_something_else_is_not_all_right(live, path, capsys):
    made, inputs = next(iter(live.MODELS.values()))()
    live.spoil(made)
    live.capture(made, path, *inputs)
    code, said = diagnosed(path, capsys)
    assert code == 1 and said.count("all right") < len(read_capture(path).layers)


def test_capturing_leaves_the_model_as_it_was(live, path):
    made, inputs = next(iter(live.MODELS.values()))()
    first = live.capture(made, path, *inputs)
    again = made(*inputs)
    assert np.array_equal(live.array(first), live.array(again))
