"""The suite as an installed tool: ``deep-rnn``, from any folder, without a framework."""

import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from packaging.requirements import Requirement

from common import SUITE_VERSION
from common.errors import EXIT_BAD_INPUT, EXIT_PASS
from common.parameters import initialise
from common.spec import ModelSpec
from common.weights import save_weights, write_arrays
from conformance.options import program
from tests.frameworks import FRAMEWORKS, OTHERS, PARTS
from tests.source import ROOT, roots, sources, tree_of
from tests.test_adding_a_backend import SMALL, install
from tests.test_architecture import FORMATS, REPORT

pytestmark = pytest.mark.once

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSIDE = "deep_rnn_reference_suite"
MODULES = {
    "flint": "python-flint",
    "jinja2": "jinja2",
    "markupsafe": "jinja2",
    "vl_convert": "vl-convert-python",
}
"""Whose distribution has another name, or comes with another one."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def deep_rnn(wheel: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs the installed command in a folder of somebody else's, where a ``common`` lies as well.

    The environment is empty but for the wheel; it finds the packages that the wheel asks for where
    these tests found them.
    """
    home, elsewhere = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("elsewhere")
    venv.EnvBuilder(symlinks=True).create(home)
    python = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    found = sysconfig.get_path("purelib", vars={"base": str(home)})
    Path(found, "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    for name in ("common", "conformance", "backends"):
        (elsewhere / name).mkdir()
        (elsewhere / name / "__init__.py").write_text("raise SystemExit('not the suite')\n")

    def run(*words: str) -> subprocess.CompletedProcess:
        known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [str(home / "bin" / "deep-rnn"), *words]
        return subprocess.run(
            command, cwd=elsewhere, env=known, capture_output=True, text=True, check=False
        )

    run.folder, run.packages, run.python = elsewhere, Path(found), python
    return run


def test_the_wheel_holds_every_file_of_the_three_folders(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    wanted = {
        f"{INSIDE}/{path.relative_to(ROOT).as_posix()}"
        for folder in ("common", "backends", "conformance")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    moved = f"{INSIDE}/conformance/installed.py"  # is the package's own __init__.py there
    assert held == wanted - {moved} | {f"{INSIDE}/__init__.py"}
    assert metadata["Version"] == SUITE_VERSION


def test_it_records_judges_reports_and_diagnoses_in_a_folder_of_somebody_elses(deep_rnn):
    made = deep_rnn("record", "--backend", "numpy", "--cases", "lstm-L2", "--quiet")
    assert (made.returncode, made.stderr) == (EXIT_PASS, "")
    trained = deep_rnn("train", "--backend", "numpy", "--numerics", "lattice", "--quiet")
    assert (trained.returncode, trained.stderr) == (EXIT_PASS, "")
    judged = deep_rnn("judge", "results", "--training", "--json", "results/verdict.json")
    assert judged.returncode == EXIT_PASS, judged.stdout + judged.stderr
    verdict = json.loads((deep_rnn.folder / "results" / "verdict.json").read_text("utf-8"))
    assert [run["against"] for run in verdict["training"]] == ["witness quick-lstm"]
    reported = deep_rnn("report", "results", "--junit", "results/junit.xml")
    assert reported.returncode == EXIT_PASS, reported.stderr
    assert "numpy:equations" in (deep_rnn.folder / "results" / "report.html").read_text("utf-8")

    rng = np.random.RandomState(3)
    W_x, W_h, b = rng.standard_normal((4, 5)), rng.standard_normal((5, 5)), rng.standard_normal(5)
    X, H, outputs = rng.standard_normal((6, 2, 4)), np.zeros((2, 5)), []
    for X_t in X:
        H = np.tanh(X_t @ W_x + H @ W_h + b)
        outputs.append(H)
    keras = {"kernel": W_x, "recurrent_kernel": W_h, "bias": b}
    weights = {f"layers.0.{name}": array for name, array in keras.items()}
    write_arrays(deep_rnn.folder / "w.safetensors", weights, {})
    io = {"X": X.swapaxes(0, 1), "outputs": np.stack(outputs, axis=1)}  # Keras: examples first
    write_arrays(deep_rnn.folder / "io.safetensors", io, {})
    files = ("--weights", "w.safetensors", "--io", "io.safetensors", "--layout", "keras")
    told = deep_rnn("diagnose", *files, "--quiet")
    assert told.returncode == EXIT_PASS, told.stderr
    assert "reproduces the outputs" in told.stdout


def test_what_convert_prints_works_where_it_is_installed(deep_rnn):
    """The lines that load the suite's own file name no package of the suite's."""
    spec = ModelSpec("lstm", 4, 5, 3, 2, p=2)
    params = initialise(spec, "uniform", 1)
    save_weights(deep_rnn.folder / "own.safetensors", spec, params)
    words = ("own.safetensors", "--to", "canonical", "--out", "moved.safetensors")
    made = deep_rnn("convert", *words)
    assert (made.returncode, made.stderr) == (EXIT_PASS, "")
    lines = made.stdout.partition("To load it:\n")[2].partition("To check it later: ")
    shown = "print(json.dumps([spec, {name: array.tolist() for name, array in params.items()}]))"
    code = f"{dedent(lines[0])}{shown}"
    run = subprocess.run(
        [deep_rnn.python, "-c", code], cwd=deep_rnn.folder, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    read, arrays = json.loads(run.stdout)
    assert ModelSpec.from_json(read) == spec
    assert all(np.array_equal(arrays[name], array) for name, array in params.items())
    checked = deep_rnn(*lines[2].split()[1:])
    assert lines[2].startswith("deep-rnn verify") and checked.returncode == EXIT_PASS


def test_its_help_names_the_command_that_was_started(deep_rnn, monkeypatch):
    shown = deep_rnn("judge", "--help")
    assert shown.returncode == EXIT_PASS
    assert "usage: deep-rnn judge" in shown.stdout and "python -m" not in shown.stdout
    assert program() == "python -m conformance"
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/deep-rnn", "judge"])
    assert program() == "deep-rnn"


@pytest.mark.parametrize("name", OTHERS)
def test_a_framework_that_is_missing_is_one_line_that_says_which(name, deep_rnn):
    missing = deep_rnn("record", "--backend", name)
    assert missing.returncode == EXIT_BAD_INPUT
    wanted = f"its framework installed (extra {name!r})"
    found = rf"no module '({'|'.join(FRAMEWORKS[name])})' in this environment"
    expected = re.escape(f"backend {name}: expected {wanted}, found ")
    assert re.fullmatch(f"{expected}{found}\n", missing.stderr)


def test_a_backend_of_another_package_is_found(deep_rnn):
    (deep_rnn.packages / "smallrnn.py").write_text(SMALL)
    install(deep_rnn.packages, "small", "smallrnn")
    words = ("--backend", "small", "--cases", "lstm-L1", "--out", "small", "--quiet")
    made = deep_rnn("record", *words)
    assert (made.returncode, made.stderr) == (EXIT_PASS, "")
    judged = deep_rnn("judge", "small", "--expect", "small")
    assert judged.returncode == EXIT_PASS and "small:equations" in judged.stdout


def pins(name: str) -> dict[str, Requirement]:
    """A file of requirements/ and what it includes, by distribution."""
    found = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r ").removesuffix(".txt"))
        elif line and not line.startswith("#"):
            found[Requirement(line).name] = Requirement(line)
    return found


def version(pin: Requirement) -> str:
    (one,) = pin.specifier
    return one.version


def test_the_dependencies_are_what_is_imported_and_allow_what_is_pinned():
    imported = set().union(*(roots(tree_of(path)) for path in sources("common", "conformance")))
    own = {"common", "backends", "conformance", "playwright"}  # a browser times the page
    assert imported & REPORT
    assert imported >= FORMATS
    others = imported - sys.stdlib_module_names - own - FORMATS
    names = {MODULES.get(name, name) for name in others}
    asked = {Requirement(line).name: Requirement(line) for line in PROJECT["dependencies"]}
    assert set(asked) == names
    for environment in ("numpy", "mxnet"):
        pinned = pins(environment)
        for name, wanted in asked.items():
            if name in pinned:
                assert version(pinned[name]) in wanted.specifier, (environment, name)
    assert set(asked) <= set(pins("numpy"))


@pytest.mark.parametrize("name", [*OTHERS, *PARTS])
def test_an_extra_is_what_the_tests_of_its_backend_run_with(name):
    pinned = pins(name)
    for line in PROJECT["optional-dependencies"][name]:
        wanted = Requirement(line)
        assert version(wanted) == version(pinned[wanted.name]), line
    assert set(PROJECT["optional-dependencies"]) == {*OTHERS, *PARTS, "files"}


@pytest.mark.parametrize("environment", ["numpy", "mxnet"])
def test_the_extra_for_files_allows_what_is_pinned(environment):
    asked = [Requirement(line) for line in PROJECT["optional-dependencies"]["files"]]
    assert {wanted.name for wanted in asked} == FORMATS - {"google"}  # which comes with onnx
    for wanted in asked:
        assert version(pins(environment)[wanted.name]) in wanted.specifier, wanted.name
