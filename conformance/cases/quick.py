"""The quick main job: the fewest cases that kill every wrong convention, and one training run.

``python -m conformance certify --quick`` chooses them and writes quick.json.
"""

from pathlib import Path

from common.storage.files import read_json

STORED = Path(__file__).with_name("quick.json")
CELL = "lstm"
"""What the quick main job trains, with the quick recipe on the lattice."""


def quick_cases() -> list[str]:
    """Their names, in the order of the table."""
    return read_json(STORED)["cases"]
