"""Commands that are started as a framework's launcher would."""

import subprocess
from pathlib import Path

import pytest

from tests.backends.launchers import LAUNCHERS, Host, start


@pytest.fixture
def launch(backend_name: str, tmp_path: Path):
    """Start commands on hosts; whatever is left of them is ended."""
    if backend_name not in LAUNCHERS:
        pytest.skip(f"{backend_name} has no engine that joins processes")
    started: list[subprocess.Popen] = []

    def begin(hosts: list[Host], commands: list[list[str]]) -> list[subprocess.Popen]:
        started.extend(start(backend_name, hosts, commands, tmp_path))
        return started[: len(commands)]

    yield begin
    for process in started:
        process.kill()
        process.wait()
