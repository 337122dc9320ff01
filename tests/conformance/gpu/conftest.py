"""Terms for small plans."""

from pathlib import Path

import pytest

from conformance.gpu.carry_out import Terms


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    return Terms(tmp_path / "out", seconds=60.0, pythons={}, careful=False)
