"""The page on how the suite is built: its drawing and its table are what the source says."""

import pytest

from docs import rooms

pytestmark = pytest.mark.once

AGAIN = "run: python -m docs.rooms"


def test_every_room_has_a_place_in_the_drawing():
    assert set(rooms.PLACES) == set(rooms.imported()), "PLACES in docs/rooms.py"


def test_the_drawing_is_what_the_source_says():
    edges = rooms.imported()
    assert rooms.DRAWING.read_text(encoding="utf-8") == rooms.drawing(edges), AGAIN
    drawn = rooms.arrows(edges)
    assert ("judge", "diagnose") in drawn, "something is drawn"
    assert ("judge", "oracle") not in drawn, "it follows from others"
    # Whatever is left out follows from what is drawn.
    kept = {room: {other for one, other in drawn if one == room} for room in edges}
    assert {r: rooms.reach(r, kept) for r in edges} == {r: rooms.reach(r, edges) for r in edges}


def test_the_table_is_what_the_source_says():
    text = rooms.PAGE.read_text(encoding="utf-8")
    assert text == rooms.page(text, rooms.imported()), AGAIN
    assert text.count(rooms.BEGIN) == text.count(rooms.END) == 1
