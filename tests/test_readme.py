"""The README tells the truth: its commands run, and what it names exists."""

import configparser
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from common.recipe import D2L_EPOCHS
from conformance.cases.given import WEIGHTS_N, WEIGHTS_T
from conformance.cases.quick import quick_cases
from conformance.closeness.compare import load_bounds
from conformance.mutants import CATALOGUE, REGIMES
from tests.conftest import CERTIFY
from tests.frameworks import OTHERS

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = " ".join(README.split())
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


WORDS = {"five": 5, "eight": 8, "fourteen": 14}


def numbers(pattern: str, text: str = PROSE) -> tuple[float, ...]:
    """What stands in the groups of a sentence that must be there once."""
    (found,) = re.findall(pattern, text)
    found = [found] if isinstance(found, str) else found
    return tuple(WORDS.get(said) or float(said.replace(",", "")) for said in found)


def test_it_counts_the_catalogue_and_the_quick_cases() -> None:
    assert numbers(r"(\d+) wrong conventions \(\[conformance/mutants\]") == (len(CATALOGUE),)
    assert numbers(r"some size or magnitude on: (\d+) more faults") == (len(REGIMES),)
    assert numbers(r"gives a first answer: (\w+) cases") == (len(quick_cases()),)
    certified = (ROOT / "docs" / "detecting-power.md").read_text(encoding="utf-8")
    assert numbers(r"(\d+) wrong conventions, \d+ cases", certified) == (len(CATALOGUE),)


def test_its_bounds_are_those_of_the_data() -> None:
    exact, rounded = (load_bounds()["cpu"][dtype] for dtype in ("float64", "float32"))
    said = numbers(r"must agree to ([\de-]+) \(outputs\) and ([\de-]+) \(gradients\)")
    assert said == (exact["outputs"].error, exact["gradients"].error)
    assert numbers(r"float32 must stay within (\d+) noise floors") == (rounded["outputs"].ratio,)


def test_it_counts_the_networks_that_diagnose_was_asked_about() -> None:
    page = (ROOT / "docs" / "naming-faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \w+ \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    wrong, named, _, false = (sum(map(int, column)) for column in zip(*rows, strict=True))
    said = numbers(r"([\d,]+) wrong networks in (\d+) layouts.*? all right, ([\d,]+) got their")
    assert (*said, 0) == (wrong, len(rows), named, false)


def test_it_says_what_the_recipes_the_weights_and_the_ensembles_are() -> None:
    assert numbers(r"full D2L recipe, (\d+) epochs") == (D2L_EPOCHS,)
    assert numbers(r"about (\d+) examples of (\d+) steps") == (WEIGHTS_N, WEIGHTS_T)
    ensemble = ROOT / "conformance" / "judge" / "ensembles" / "d2l-lstm.json"
    members = json.loads(ensemble.read_text(encoding="utf-8"))["members"]
    assert numbers(r"The latter has (\w+) members") == (members,)


def test_the_ways_in_have_the_same_times_and_sizes_here_and_on_the_site() -> None:
    index = " ".join((ROOT / "docs" / "index.md").read_text(encoding="utf-8").split())
    (look,) = numbers(r"beside a framework that you have, ([\d.]+) GB")
    (main_job,) = numbers(r"all frameworks and all cases, ([\d.]+) GB")
    minutes = numbers(r"and (\w+) minutes on two cores")
    assert minutes == tuple(math.ceil(s / 60) for s in numbers(r"takes (\d+) seconds by the clock"))
    assert f"two minutes and {look:g} GB beside" in index
    assert f"over all of them, five minutes and {main_job:g} GB" in index
    assert f"seconds, {look:g} GB without any framework" in PROSE
    assert f"seconds and {look:g} GB" in index


def test_every_number_of_seconds_has_its_command() -> None:
    """Times and sizes are of one machine: each paragraph that has one names what measures it."""
    measured = ("conformance bench", "tox p -m conformance", "bench --")
    text = README.partition("## Contents")[2]
    for paragraph in (" ".join(part.split()) for part in text.split("\n\n")):
        if re.search(r"\d+ (processor )?seconds|\d+ GB|\d+ MiB", paragraph):
            assert any(command in paragraph for command in measured), paragraph
