"""The README tells the truth: its commands run, and what it names exists."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CERTIFY
from tests.frameworks import OTHERS

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]


def test_ci_runs_the_readmes_two_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    main_job, tests = (line for line in COMMANDS if line.startswith("python3.11 -m pip"))
    assert script.index(tests) < script.index(main_job)


def test_the_tox_environments_and_labels_that_it_names_exist() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    environments = {name.strip() for name in tox["tox"]["env_list"].split(",")}
    labels = {line.split("=")[0].strip() for line in tox["tox"]["labels"].strip().splitlines()}
    called = [
        shlex.split(line)[shlex.split(line).index("tox") :] for line in COMMANDS if "tox" in line
    ]
    assert len(called) >= 5
    for words in called:
        for option, known in (("-e", environments), ("-m", labels)):
            if option in words and words[words.index(option) - 1] in ("tox", "p"):
                assert words[words.index(option) + 1] in known


def test_the_commands_for_one_backend_run_as_they_stand(
    backend_name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In order, in an empty folder, with the environment that the README speaks of. The longest of
    them is the one whose run in this process serves all tests."""
    if backend_name != "numpy":
        pytest.skip("the README's examples use the numpy backend")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    ran = 0
    for line in COMMANDS:
        if line.startswith("python -m conformance"):
            words = [sys.executable, *shlex.split(line)[1:]]
            ran += 1
            if tuple(words[3:]) == CERTIFY:
                assert request.getfixturevalue("certificate").holds
                continue
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert ran == 13
    assert (tmp_path / "docs" / "verdict.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "results agree" in (tmp_path / "docs" / "badge.svg").read_text(encoding="utf-8")
    assert "\n| numpy | ✓ " in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_results_table_is_there_and_passes() -> None:
    table = README.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    for name in ("numpy", *OTHERS):
        assert f"\n| {name} | ✓ " in table
    assert "PASS:" in table


def test_the_files_that_it_names_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 4
    for link in (link for link in links if not link.startswith("https://")):
        assert (ROOT / link).exists(), link
