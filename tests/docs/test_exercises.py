"""Every chapter ends with exercises, each with a folded solution whose code is run; the four of
D2L's chapter are among them. test_experiments.py holds what they print."""

import re

import pytest

from docs.notebooks import CHAPTERS, chapters
from tests.docs.test_experiments import stored

pytestmark = pytest.mark.once

EXERCISE = re.compile(
    r"^\*\*(\d)\.\*\* .+?\n\n````\{dropdown\} Solution\n.+?\n\n```\{example\} (\w+)\n```\n````\n",
    re.DOTALL | re.MULTILINE,
)
D2L = {1: "from-scratch", 2: "cells", 3: "more-books", 4: "mixing-authors"}
ORDINALS = ("first", "second", "third", "fourth")


def last_section(chapter: str) -> str:
    return (CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8").split("\n## ")[-1]


@pytest.mark.parametrize("chapter", chapters())
def test_a_chapter_ends_with_exercises_whose_solutions_are_folded_and_run(chapter: str) -> None:
    title, _, text = last_section(chapter).partition("\n\n")
    found = EXERCISE.findall(text)
    assert title == "Exercises" and len(found) >= 2
    assert EXERCISE.sub("", text).strip() == "", "nothing but exercises"
    assert found == [(str(k), f"solution_{k}") for k in range(1, len(found) + 1)]
    for run in stored(chapter).values():
        assert all(run["printed"][solution] for _, solution in found)


@pytest.mark.parametrize("number", D2L)
def test_d2l_s_four_exercises_are_there(number: int) -> None:
    said = f"(This is the {ORDINALS[number - 1]} of D2L's four.)"
    text = " ".join(last_section(D2L[number]).split())
    assert text.count("D2L's four") == 1 and said in text.partition("Solution")[0]
