"""The chapter's lines of capture run in a script of each framework, and its commands after them."""

import importlib
import re
import shlex
import textwrap

import pytest

from conformance.__main__ import main
from tests.docs.test_experiments import ROOT

CHAPTER = (ROOT / "docs" / "chapters" / "your-own-model.md").read_text(encoding="utf-8")
MOST = 4
"""Lines in the user's own script, as was promised."""


def lines_for(backend_name: str) -> str:
    block = re.search(rf":sync: {backend_name}\n\n((?:    .*\n|\n)+)```", CHAPTER)
    if block is None:
        pytest.skip(f"the chapter captures nothing in {backend_name}")
    return textwrap.dedent(block[1]).strip()


def commands(name: str) -> list[str]:
    found = re.findall(rf"^python -m conformance ({name} .*)$", CHAPTER, re.MULTILINE)
    assert found, name
    return found


def test_the_chapter_s_lines_are_enough(backend_name, tmp_path, monkeypatch, capsys):
    code = lines_for(backend_name)
    assert len([line for line in code.splitlines() if line.strip()]) <= MOST
    live = importlib.import_module(f"tests.backends.live_{backend_name}")
    model, (X,) = next(iter(live.MODELS.values()))()
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "the chapter", "exec"), {"model": model, "X": X})
    (diagnose,) = [line for line in commands("diagnose") if "--" not in line]
    assert main(shlex.split(diagnose)) == 0
    assert "all right" in capsys.readouterr().out
    (tmp_path / "mine.safetensors").rename("first.safetensors")
    exec(compile(code, "the chapter", "exec"), {"model": model, "X": X})
    (tmp_path / "mine.safetensors").rename("second.safetensors")
    (diff,) = commands("diff")
    assert main(shlex.split(diff)) == 0
    assert "PASS" in capsys.readouterr().out


@pytest.mark.once
def test_the_chapter_s_other_commands_are_commands():
    from conformance.parser import make_parser

    for line in (*commands("capture"), *commands("diff"), *commands("diagnose")):
        assert make_parser().parse_args(shlex.split(line)).command
