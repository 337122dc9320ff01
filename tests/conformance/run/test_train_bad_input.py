"""Bad input to ``train``: one line, exit code 2, and nothing is left behind."""

import importlib.util
import threading

import pytest

from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from conformance.__main__ import main
from conformance.run import plan
from conformance.run.child import Child
from tests.conformance.helpers import assert_one_line, fingerprint
from tests.conformance.training_helpers import content, folder_of, train
from tests.frameworks import FRAMEWORKS as ALL

pytestmark = pytest.mark.once

WHOLE = "expected a whole number of at least 1, found"
ABOVE_0 = "expected a finite number above 0, found"
SEED = "expected a whole number from 0 to 4294967295, found"
FRAMEWORKS = {name: packages[0] for name, packages in ALL.items() if packages}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with a run that must not change; no test may write to it."""
    out = tmp_path_factory.mktemp("results")
    assert train(out, "--quiet", "--epochs", "1") == EXIT_PASS
    return out


@pytest.fixture
def refused(results, capsys, tmp_path):
    """Give bad input to ``train``, into a folder with a run and into none; returns the line."""

    def give(*options: str) -> str:
        before, lines = fingerprint(results / "training" / "numpy-cpu"), []
        for out in (results, tmp_path / "none" / "deeper"):
            capsys.readouterr()
            assert train(out, *options) == EXIT_BAD_INPUT
            captured = capsys.readouterr()
            assert captured.out == ""
            lines.append(assert_one_line(captured.err))
        assert lines[0] == lines[1]
        assert not (tmp_path / "none").exists()
        after = fingerprint(results / "training" / "numpy-cpu")
        logs = {name for name in after if name == "worker.log"}
        assert {k: v for k, v in after.items() if k not in logs} == {
            k: v for k, v in before.items() if k not in logs
        }
        assert content(results)[:3] == ["training", "training/numpy-cpu", content(results)[2]]
        assert not list(results.rglob("*.partial"))
        return lines[0]

    return give


@pytest.fixture
def refused_at_once(refused, monkeypatch):
    """The same, for what must be known before a framework is imported."""
    monkeypatch.setattr(Child, "launch", lambda self: pytest.fail("a worker was started"))
    return refused


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--learning-rate 0", f"recipe: learning_rate: {ABOVE_0} 0.0"),
        ("--learning-rate -1", f"recipe: learning_rate: {ABOVE_0} -1.0"),
        ("--learning-rate nan", f"recipe: learning_rate: {ABOVE_0} nan"),
        ("--learning-rate inf", f"recipe: learning_rate: {ABOVE_0} inf"),
        ("--learning-rate 1e999", f"recipe: learning_rate: {ABOVE_0} inf"),
        ("--clip 0", f"recipe: clip: {ABOVE_0} 0.0"),
        ("--clip nan", f"recipe: clip: {ABOVE_0} nan"),
        ("--epochs 0", f"recipe: epochs: {WHOLE} 0"),
        ("--epochs -2", f"recipe: epochs: {WHOLE} -2"),
        ("--steps 0", f"recipe: T: {WHOLE} 0"),
        ("--batch 0", f"recipe: n: {WHOLE} 0"),
        ("--batch -4", f"recipe: n: {WHOLE} -4"),
        ("--seed -1", f"recipe: seed: {SEED} -1"),
        ("--seed 4294967296", f"recipe: seed: {SEED} 4294967296"),
        ("--perturbation -1", f"recipe: perturbation: {SEED} -1"),
        ("--layers 0", "--layers: expected at least 1, found 0"),
        ("--layers -1 --cell rnn", "--layers: expected at least 1, found -1"),
        ("--hidden 0", f"spec: h: {WHOLE} 0"),
        ("--threads 0", "--threads: expected at least 1, found 0"),
        ("--threads -1", "--threads: expected at least 1, found -1"),
        ("--limit 0", "--limit: expected a number above 0"),
        ("--limit -1", "--limit: expected a number above 0"),
        ("--limit nan", "--limit: expected a number above 0"),
        ("--limit inf", "--limit: expected a number above 0 and up to"),
        ("--limit 1e10", "--limit: expected a number above 0 and up to"),
        ("--max-tokens -1", "max_tokens: expected at least 1, found -1"),
        ("--max-tokens 25", "sample: expected at least 26 characters for minibatches of 4 x 5"),
        ("--batch 40", "sample: expected at least 206 characters for minibatches of 40 x 5"),
        ("--steps 41", "sample: expected at least 206 characters for minibatches of 4 x 41"),
        ("--held-out 1", "held out: expected a share from 0 up to, and without, 1"),
        ("--held-out -0.1", "held out: expected a share"),
        ("--held-out nan", "held out: expected a share"),
        ("--held-out 0.9", "sample: expected at least 26 characters"),
        (
            "--held-out 0.02",
            "sample: --held-out: expected more than 5 characters held out, found 4",
        ),
        ("--prefix Time", "--prefix: expected a character of sample, found 'T'"),
        ("--prefix t1me", "--prefix: expected a character of sample, found '1'"),
        ("--prefix <unk>", "--prefix: expected a character of sample, found '<'"),
        ("--numerics tf32", "--numerics: tf32: expected --device gpu, found cpu"),
        ("--numerics float32 mixed", "--numerics: mixed: expected --device gpu, found cpu"),
        ("--backend theano", "--backend: expected one of numpy, pytorch, mxnet, tensorflow"),
        ("--backend ../numpy", "--backend: expected one of numpy, pytorch"),
        ("--text sample sample", "text: sample: expected texts of different names"),
        ("--text nowhere.txt", "nowhere.txt: expected"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_worker_is_started(
    options, expected, refused_at_once
):
    assert refused_at_once(*options.split()).startswith(expected)


@pytest.mark.parametrize("prefix", ["", "time\ttraveller", "σ", "the\x1b[31m"])
def test_a_prefix_that_the_text_cannot_go_on_from_is_refused(prefix, refused_at_once):
    assert refused_at_once("--prefix", prefix).startswith("--prefix: expected ")


@pytest.mark.parametrize("workers", ["0", "-2", "3", "8"])
def test_a_batch_that_the_workers_cannot_share_is_refused(workers, refused_at_once):
    """SIZES has a batch of 4."""
    line = refused_at_once("--workers", workers)
    divisor = "a divisor of the 4 examples of a minibatch"
    expected = divisor if int(workers) > 0 else "at least 1"
    assert line == f"--workers: expected {expected}, found {workers}"


def test_workers_of_a_backend_that_cannot_join_them_are_refused(refused):
    line = refused("--workers", "2")
    expected = "a backend whose framework joins processes"
    assert line == f"--workers: expected {expected}, found numpy, which has none"


def test_a_second_run_that_makes_no_sense_keeps_the_first_from_starting(refused_at_once):
    assert "mixed" in refused_at_once("--cell", "rnn", "lstm", "--numerics", "lattice", "mixed")


@pytest.mark.parametrize("content", [b"", b"1234 5678\n" * 99, b"abc \xff def" * 99, b"\0" * 200])
def test_a_text_that_cannot_be_used_is_refused(content, refused_at_once, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert "text.txt" in refused_at_once("--text", "sample", str(path), "--prefix", "a")


def test_a_device_that_the_backend_does_not_have_is_refused(refused):
    assert refused("--device", "gpu") == "numpy: device: expected cpu, found gpu"


def test_the_lattice_on_a_gpu_is_refused_where_there_is_none(refused):
    assert "numpy: device: expected cpu" in refused("--device", "gpu", "--numerics", "lattice")


@pytest.mark.parametrize("numerics", ["tf32", "mixed"])
def test_a_tier_of_a_gpu_is_refused_where_there_is_none(numerics, refused):
    line = refused("--device", "gpu", "--numerics", numerics)
    assert line == "numpy: device: expected cpu, found gpu"


def test_layers_that_a_backend_does_not_have_are_refused(refused):
    line = refused("--implementation", "layers")
    assert line == "--implementation: expected one of equations, found no layers of numpy"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_framework_that_is_not_installed_is_refused_by_name(name, refused):
    if importlib.util.find_spec(FRAMEWORKS[name]):
        pytest.skip(f"{FRAMEWORKS[name]} is installed here")
    line = refused("--backend", name)
    assert line.startswith(f"backend {name}: expected its framework installed")


def test_a_folder_that_is_a_file_is_refused_with_one_line(tmp_path, capsys):
    path = tmp_path / "results"
    path.write_text("not a folder", encoding="utf-8")
    assert train(path) == EXIT_BAD_INPUT
    assert str(path) in assert_one_line(capsys.readouterr().err)
    assert path.read_text(encoding="utf-8") == "not a folder"


def test_an_empty_folder_that_was_there_before_stays(tmp_path):
    out = folder_of(tmp_path).parents[2]
    out.mkdir(exist_ok=True)
    assert train(out, "--device", "gpu") == EXIT_BAD_INPUT
    assert content(out) == []


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "1.5"],
        ["--learning-rate", "fast"],
        ["--cell", "transformer"],
        ["--numerics", "float16"],
        ["--recipe", "slow"],
        ["--order", "shuffled"],
        ["--initialiser", "zeros"],
        ["--reset", "never"],
        ["--digests", "never"],
        ["--device", "tpu"],
        ["--epoch", "3"],
        ["--text"],
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_refused_with_the_usage(
    options, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # results/ would be here
    with pytest.raises(SystemExit) as ended:
        main(["train", "--backend", "numpy", *options])
    assert ended.value.code == EXIT_BAD_INPUT
    assert not list(tmp_path.iterdir())
    captured = capsys.readouterr()
    assert captured.err.startswith("usage: python -m conformance")
    assert captured.out == ""


def test_the_longest_limit_can_be_waited_for():
    assert plan.LONGEST_LIMIT < threading.TIMEOUT_MAX
