"""A live model is captured, and ``diagnose`` answers from the file alone."""

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.capture import read_capture
from common.errors import BadInput
from conformance.__main__ import main
from conformance.captures.side import read_side
from tests.captures import captured, layer_of

ROOT = Path(__file__).parents[2]
OTHER_PACKAGES = ("rich", "threadpoolctl", "argcomplete", "flint", "jinja2", "pytest")
"""What the suite has beside NumPy and safetensors."""

SMALL = {
    "pytorch": "import torch\nmodel, X = torch.nn.LSTM(3, 4), torch.zeros(5, 2, 3)",
    "tensorflow": "import keras, numpy\nX = numpy.zeros((2, 5, 3), 'float32')\n"
    "model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)])",
    "mxnet": "from mxnet import gluon, nd\nmodel, X = gluon.rnn.LSTM(4, input_size=3), "
    "nd.zeros((5, 2, 3))\nmodel.initialize()",
    "jax": "import jax\nfrom flax import nnx\nX = jax.numpy.zeros((2, 5, 3))\n"
    "model = nnx.RNN(nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0)))",
}
"""A script's model and input."""


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
        assert ("X" in layer.calls[0].gradients) == bool(loss)
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


@pytest.fixture
def command(live, backend_name, tmp_path, path, monkeypatch) -> list[str]:
    """``capture``, in a folder with a user's own module, of whose functions one fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "mine.py").write_text(
        f"import numpy as np\nfrom tests.backends.live_{backend_name} import MODELS, array\n"
        "def make():\n    print('a model')\n    model, (X,) = next(iter(MODELS.values()))()\n"
        "    np.save('x.npy', array(X))\n    return model\ndef fails(): return make() + 1\n"
    )
    _, (X,) = next(iter(live.MODELS.values()))()
    np.save("x.npy", live.array(X))
    return ["capture", "--backend", backend_name, "--input", "x.npy", "--out", str(path)]


def test_the_command_makes_the_model_in_a_process_of_its_own(command, path, capsys):
    assert main([*command, "--model", "mine:make"]) == 0
    assert "a model" not in capsys.readouterr().out
    assert diagnosed(path, capsys)[0] == 0


def test_a_model_that_cannot_be_made_is_one_line_with_the_place(command, path, capsys):
    code = main([*command, "--model", "mine:fails"])
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and "TypeError" in said and "mine.py, line 8" in said
    assert not path.exists()


def test_a_model_agrees_with_itself_and_with_another_frameworks_layout(live, path, capsys):
    """The other layout's capture is computed by the evaluator, out of the same weights."""
    name = next(iter(getattr(live, "SLOPES", live.MODELS)))
    made, inputs = live.MODELS[name]()
    live.capture(made, path, *inputs, loss=live.loss)
    again, other = path.with_name("again.safetensors"), path.with_name("other.safetensors")
    live.capture(made, again, *inputs, loss=live.loss)
    assert main(["diff", str(path), str(again)]) == 0
    said = capsys.readouterr().out
    assert "gradients: " in said and "loss: " in said and "Not compared" not in said
    side = read_side(path, [])
    network = side.levels[0].network
    network = replace(network, layers=tuple(level.network.layers[0] for level in side.levels))
    layout = "keras" if side.levels[0].layer.layout == "pytorch" else "pytorch"
    captured(other, layer_of(network, layout, X=side.levels[0].given["X"]))
    assert main(["diff", str(path), str(other)]) == 0
    said = capsys.readouterr().out
    assert "weights: " in said and "outputs: " in said and "it: gradients" in said
    wrong = replace(network, layers=(*network.layers[:-1], exchanged(network.layers[-1])))
    captured(other, layer_of(wrong, layout, X=side.levels[0].given["X"]))
    assert main(["diff", str(path), str(other)]) == 1
    assert f"begins: weights, layer {len(network.layers)}, gates i, f" in capsys.readouterr().out


def exchanged(halves):
    """The first two gates of every direction, each in the other's place."""

    def change(a):
        first, second, *others = np.split(a, 4, axis=-1)
        return np.concatenate([second, first, *others], axis=-1)

    return tuple(
        replace(h, W=change(h.W), U=change(h.U), b_x=change(h.b_x), b_h=change(h.b_h))
        for h in halves
    )


def test_the_gradient_of_what_went_in_is_that_of_the_loss(live, path):
    """Along a random direction, by central differences."""
    made, inputs = live.MODELS[live.WHOSE_X_IS_THE_MODEL_S]()
    live.capture(made, path, *inputs, loss=live.loss)
    (X,) = inputs
    first = live.array(X)
    (slope,) = [
        layer.calls[0].gradients["X"]
        for layer in read_capture(path).layers
        if np.array_equal(layer.arrays["X"], first)
    ]
    direction = np.random.RandomState(7).standard_normal(first.shape)
    step = 1e-5
    there, back = (
        live.array(live.loss(made(live.from_array(first + sign * step * direction)))).item()
        for sign in (1, -1)
    )
    assert np.sum(slope * direction) == pytest.approx((there - back) / (2 * step), rel=1e-6)


def test_capturing_leaves_the_model_as_it_was(live, path):
    made, inputs = next(iter(live.MODELS.values()))()
    first = live.capture(made, path, *inputs)
    again = made(*inputs)
    assert np.array_equal(live.array(first), live.array(again))


def test_the_installed_suite_captures_a_model_and_leaves_names_alone(backend_name, tmp_path):
    """Laid out as in the wheel (tests/test_installing.py); the user has a ``common`` of their own,
    and of what the suite needs the framework, NumPy and safetensors alone."""
    if backend_name not in SMALL:
        pytest.skip(f"{backend_name} has no layers that could be captured")
    inside, mine = tmp_path / "site" / "deep_rnn_reference_suite", tmp_path / "mine"
    inside.mkdir(parents=True)
    (mine / "common").mkdir(parents=True)
    (mine / "common" / "__init__.py").write_text("OWN = True\n")
    for folder in ("common", "backends", "conformance"):
        (inside / folder).symlink_to(ROOT / folder)
    shutil.copy(ROOT / "conformance" / "installed.py", inside / "__init__.py")
    script = f"""
import sys
import common
{SMALL[backend_name]}
for name in {OTHER_PACKAGES}:
    sys.modules.setdefault(name, None)  # what the framework itself has imported may stay
from deep_rnn_reference_suite import KEPT, capture
capture(model, "mine.safetensors", X)
assert common.OWN and sys.modules["common"] is common
assert not any(name.split(".")[0] in ("backends", "conformance") for name in sys.modules)
assert KEPT and not any(name.split(".")[0] == "conformance" for name in KEPT)
"""
    (mine / "script.py").write_text(script)
    known = os.environ | {"PYTHONPATH": os.pathsep.join([str(mine), str(tmp_path / "site")])}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=mine, env=known, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert read_capture(mine / "mine.safetensors").layers
