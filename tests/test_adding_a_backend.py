"""What docs/adding-a-backend.md promises: backends from outside, and what a template lacks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backends import registry
from common.errors import EXIT_BAD_INPUT, EXIT_FAIL, EXIT_PASS, BadInput
from tests.source import ROOT, definitions, tree_of
from tests.test_side_by_side import COMPARED, ON_LENT_GPUS, OPTIONAL

pytestmark = pytest.mark.once

TEMPLATE = ROOT / "docs" / "template-backend"

SMALL = '''"""A backend of its own package: the reference under another name."""

from backends.numpy import IMPLEMENTATIONS, implementation, passport

__all__ = ["IMPLEMENTATIONS", "bare", "implementation", "passport"]


def bare(spec, dtype):
    raise NotImplementedError("it has no layers")
'''

WRONG = '''"""As small, but its clip is at half the threshold."""

from backends.numpy import *
from backends.numpy import implementation, passport
import backends.numpy.training as training

IMPLEMENTATIONS = ("equations",)
bare = None
right = training.clip
training.clip = lambda grads, theta: right(grads, theta / 2)
'''


def install(folder: Path, name: str, module: str) -> None:
    """What pip leaves of a package with an entry point."""
    info = folder / f"{name}_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {module}\n")


@pytest.fixture
def conformance(backend_name: str, tmp_path: Path):
    """Runs ``python -m conformance`` where a folder of packages is installed."""
    if backend_name != "numpy":
        pytest.skip("what needs no framework is tested with the reference")
    packages = tmp_path / "packages"
    packages.mkdir()

    def run(*words: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)])}
        command = [sys.executable, "-m", "conformance", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    run.packages = packages
    return run


def test_a_backend_from_outside_is_recorded_and_judged_like_the_suite_s(conformance):
    (conformance.packages / "smallrnn.py").write_text(SMALL)
    install(conformance.packages, "small", "smallrnn")
    cases = ("--cases", "lstm-L1", "gru-before-L1")
    made = conformance("record", "--backend", "small", *cases, "--out", "results", "--quiet")
    assert (made.returncode, made.stderr) == (EXIT_PASS, "")
    judged = conformance("judge", "results", "--expect", "small")
    assert judged.returncode == EXIT_PASS, judged.stdout
    assert "small:equations" in judged.stdout and "PASS" in judged.stdout
    assert "small is not in the matrix" in judged.stdout
    told = conformance("check-backend", "small", "--claims", "small.json")
    assert told.returncode == EXIT_PASS, told.stderr
    judged = conformance("judge", "results", "--expect", "small", *cases, "--claims", "small.json")
    assert judged.returncode == EXIT_PASS, judged.stdout
    assert "not in the matrix" not in judged.stdout
    checked = conformance("check-backend", "small", "--quiet")
    assert checked.returncode == EXIT_PASS, checked.stdout
    assert "nothing is missing" in checked.stdout


def test_a_wrong_backend_is_told_on_which_rung(conformance):
    (conformance.packages / "wrongrnn.py").write_text(WRONG)
    install(conformance.packages, "wrong", "wrongrnn")
    checked = conformance("check-backend", "wrong", "--quiet")
    assert checked.returncode == EXIT_FAIL and "Traceback" not in checked.stderr
    rows = {line.split("│")[1].strip(): line for line in checked.stdout.splitlines() if "│" in line}
    assert all("✗" not in rows[rung] for rung in ("weights", "outputs", "loss", "gradients"))
    assert all("✗" in rows[rung] for rung in ("clip", "steps", "lattice quick-lstm"))
    assert re.search(r"✗ equations float64, clip: \S+: clip/", checked.stdout)


def test_the_template_is_told_what_it_lacks(conformance):
    mine = conformance.packages / "mine"
    shutil.copytree(TEMPLATE, mine)
    for path in mine.glob("*.py"):
        path.write_text(path.read_text(encoding="utf-8").replace("backends.template", "mine"))
    install(conformance.packages, "mine", "mine")
    checked = conformance("check-backend", "mine", "--quiet")
    assert checked.returncode == EXIT_FAIL and "Traceback" not in checked.stderr
    assert "equations.py: Equations.__init__ is not written yet" in checked.stdout
    assert "layers.py: unsupported is not written yet" in checked.stdout
    assert "runtime.py: passport is not written yet" in checked.stdout
    assert "to do" in checked.stdout


def test_a_name_that_is_taken_and_a_package_that_is_broken_are_refused_in_one_line(conformance):
    install(conformance.packages, "numpy", "elsewhere")
    refused = conformance("cases")
    assert refused.returncode == EXIT_PASS, "commands that need no backend go on"
    refused = conformance("check-backend", "numpy")
    assert refused.returncode == EXIT_BAD_INPUT
    assert refused.stderr == (
        "entry point deep_rnn.backends: numpy: expected no other than backends.numpy, "
        "found elsewhere\n"
    )


def test_an_entry_point_that_leads_nowhere_is_refused(monkeypatch):
    monkeypatch.setattr(registry, "modules", lambda: {"gone": "no_such_package"})
    with pytest.raises(BadInput, match="no module 'no_such_package' in this environment"):
        registry.load("gone")


@pytest.mark.parametrize("module", COMPARED)
def test_the_template_has_what_the_backends_have(module):
    wanted = definitions(tree_of(ROOT / "backends" / "pytorch" / f"{module}.py"))
    assert definitions(tree_of(TEMPLATE / f"{module}.py")) == wanted


def test_the_template_has_the_files_that_the_backends_have():
    files = {path.name for path in (ROOT / "backends" / "pytorch").glob("*.py")}
    assert {path.name for path in TEMPLATE.glob("*.py")} == files - ON_LENT_GPUS - OPTIONAL
