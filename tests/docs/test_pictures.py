"""The picture at the top of the README is what the stored results say."""

import pytest

pytest.importorskip("sphinx", reason="needs the packages of requirements/docs.txt")

from docs import pictures
from docs._ext.stored import records

pytestmark = pytest.mark.once


def test_the_picture_is_what_the_data_say():
    drawn = pictures.PICTURE.read_text(encoding="utf-8")
    assert drawn == pictures.drawing(), "run: python -m docs.pictures"
    assert all(name in drawn for name in pictures.NAMES.values())


def test_it_shows_what_the_caption_says():
    last = {row["numerics"]: row["apart"] for row in records("the-same/parting")}  # by step
    assert last["lattice"] < 1e-15
    assert min(last["float32"], last["float64"]) > 1e6 * last["lattice"]
