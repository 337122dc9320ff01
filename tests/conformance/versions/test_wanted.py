"""A version that a user names, and what pip is asked for with it."""

import os
import shutil
import subprocess

import pytest

from common.errors import BadInput
from conformance.versions.wanted import REQUIREMENTS, packages, parse_wanted, pins, requirements

pytestmark = pytest.mark.once

ROOT = REQUIREMENTS.parent


def test_a_version_may_name_others_that_go_with_it():
    assert parse_wanted("1.8.0.post0").version == "1.8.0.post0"
    wanted = parse_wanted("2.21.0,Keras==3.6.0")
    assert (wanted.version, wanted.others) == ("2.21.0", {"keras": "3.6.0"})
    assert str(wanted) == "2.21.0,keras==3.6.0"


@pytest.mark.parametrize(
    "text", ["", "2..1", "latest", "2.1,", "2.1,keras", "2.1,keras>=3", "-r x"]
)
def test_what_is_no_version_is_one_line(text):
    with pytest.raises(BadInput, match="--versions: expected a version such as 2.19.1"):
        parse_wanted(text)


def test_the_framework_is_what_its_requirements_name_first():
    assert packages("tensorflow") == ["tensorflow-cpu", "tensorflow"]
    assert packages("pytorch") == ["torch"]
    for backend in ("numpy", "mxnet", "jax"):
        assert packages(backend) == [backend]


def test_what_goes_with_it_is_at_most_what_is_pinned():
    asked = requirements("tensorflow", parse_wanted("2.19.1"))
    assert asked[:2] == [
        'tensorflow-cpu==2.19.1; sys_platform == "linux"',
        'tensorflow==2.19.1; sys_platform != "linux"',
    ]
    pinned = {pin["name"]: pin["version"] for pin in pins("tensorflow")}
    others = [f"{name}<={pinned[name]}" for name in ("keras", "numpy", "safetensors", "pytest")]
    assert set(others) <= set(asked)
    assert len(asked) == len(pinned)


def test_what_is_named_is_exactly_that():
    asked = requirements("tensorflow", parse_wanted("2.21.0,keras==3.6.0,absl-py==2.1.0"))
    assert [line for line in asked if line.startswith(("keras", "absl"))] == [
        "keras==3.6.0",
        "absl-py==2.1.0",
    ]


def configured(environment: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What tox would do."""
    tox = shutil.which("tox")
    if tox is None:
        pytest.skip("needs tox")
    command = [tox, "config", "-e", environment, "-k", "deps", "env_dir"]
    settings = os.environ | variables
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)


def test_tox_installs_the_version_that_a_variable_names_in_a_folder_of_its_own():
    for environment in ("tensorflow", "tensorflow-record"):
        found = configured(environment, DEEP_RNN_TENSORFLOW="2.19.1").stdout
        for line in requirements("tensorflow", parse_wanted("2.19.1")):
            assert line in found
        assert found.rstrip().endswith("tensorflow-2.19.1")
    assert "-r requirements/jax.txt" in configured("jax", DEEP_RNN_TENSORFLOW="2.19.1").stdout


def test_tox_says_in_a_line_what_is_no_version():
    found = configured("tensorflow", DEEP_RNN_TENSORFLOW="newest")
    assert found.returncode != 0
    assert "DEEP_RNN_TENSORFLOW: expected a version such as" in found.stdout + found.stderr
    assert "Traceback" not in found.stdout + found.stderr
