"""What the prose states about numbers and names is what the data say."""

import ast
import json
import re

import pytest

from common.parameters import INITIALISERS
from conformance.records.witness import WITNESSES, load_witness
from docs.notebooks import CHAPTERS, ROOT
from tests.frameworks import OTHERS

pytestmark = pytest.mark.once

WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def prose(chapter: str) -> str:
    """A chapter's text in one line."""
    return " ".join((CHAPTERS / f"{chapter}.md").read_text(encoding="utf-8").split())


def stored(chapter: str) -> dict:
    path = ROOT / "docs" / "results" / f"{chapter}.json"
    return json.loads(path.read_text(encoding="utf-8"))["numpy"]


def test_training_names_those_who_confirmed_the_witness():
    witness = load_witness(WITNESSES / "d2l-lstm.json")
    named = ", ".join(one["implementation"] for one in witness.confirmed)
    assert stored("training")["values"]["d2l_confirmed"] == named
    assert len(witness.confirmed) == len(OTHERS) + 1


def test_the_same_knows_the_largest_error_of_the_last_run():
    """In float32, from README's table, in noise floors."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \w+ \| ✓ [^|]+\| [\d.]+× \| ([\d.]+)× \|", readme, re.MULTILINE)
    ratios = [float(number) for number in rows]
    assert len(ratios) == len(OTHERS) + 1
    text = prose("the-same")
    limit = next(n for n, word in enumerate(WORDS) if f"none more than {word} times" in text)
    assert limit - 1 < max(ratios) <= limit


def test_convergence_says_of_two_layers_what_its_table_says():
    ends = {
        (row["initialiser"], row["layers"]): row["perplexity"]
        for row in stored("convergence")["tables"]["starts"]
    }
    text = prose("convergence")
    assert "One layer with the same draw trains" in text
    assert "`mxnet`'s draw, which is narrow too, it is the same: one layer trains, and two" in text
    for narrow in ("d2l", "mxnet"):
        assert ends[narrow, 1] < 12 < 16 < ends[narrow, 2] < 18
    for wide in ("uniform", "pytorch"):
        assert f"`{wide}`" in text
        assert ends[wide, 2] < 12
    assert "With four layers, nobody left the plateau" in text
    assert all(16 < end < 18 for (_, layers), end in ends.items() if layers == 4)


def test_convergence_shows_every_way_to_draw_the_first_weights():
    text = prose("convergence")
    count = WORDS[len(INITIALISERS)].capitalize()
    assert f"{count} ways to draw the first weights" in text
    functions = " ".join(function.__name__ for function in INITIALISERS.values())
    assert f"```{{source}} common/parameters.py {functions}" in text


def test_the_step_has_the_same_name_in_as_many_frameworks_as_from_scratch_says():
    assert f"of the same name in all {WORDS[len(OTHERS)]} frameworks" in prose("from-scratch")
    for name in OTHERS:
        source = (ROOT / "backends" / name / "equations.py").read_text(encoding="utf-8")
        functions = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
        assert "lstm_step" in functions, name


def test_concise_opens_on_what_a_user_writes():
    text = prose("concise")
    assert text.index("```{frameworks} bare make") < text.index("```{frameworks} layers")
    for name in OTHERS:
        source = (ROOT / "backends" / name / "bare.py").read_text(encoding="utf-8")
        assert "def make(" in source and "LSTM" in source, name


def test_readme_and_chapter_say_that_flax_s_gru_is_not_as_it_comes():
    """As the field guide does, whose entries are tested in the frameworks' environments."""
    layers = (ROOT / "backends" / "jax" / "layers.py").read_text(encoding="utf-8")
    replaced = "here it is one with a bias" in " ".join(layers.split())
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert replaced == ("in Flax's GRU one module is replaced" in readme)
    assert replaced == ("replaced by one that has a bias" in prose("concise"))
    guide = (ROOT / "docs" / "field_guide.toml").read_text(encoding="utf-8")
    assert 'jax = "one, (3h,), with the input weights"' in guide


def test_why_depth_says_of_each_layer_what_all_runs_say():
    values = stored("why-depth")["values"]
    assert values["seeds"] >= 5
    assert values["better_2"] > values["seeds"] / 2 > values["better_3"]
    assert values["gain_2"] > values["gain_2_sd"] and -values["gain_3"] > values["gain_3_sd"]


def test_readme_says_how_often_a_fault_is_named_as_the_page_does():
    naming = (ROOT / "docs" / "naming-faults.md").read_text(encoding="utf-8")
    one, two = re.findall(r"^\| [12] \| \d+ \| \d+ \(([\d.]+)%\)", naming, re.MULTILINE)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"put in {one} % of the time, and both of two at once {two} %" in readme


def test_recurrent_networks_says_of_each_radius_what_was_measured():
    values = stored("recurrent-networks")["values"]
    rows = stored("recurrent-networks")["tables"]["way_back"]
    at_40 = {row["W_hh"]: row["norm"] for row in rows if row["back"] == 40}
    assert at_40["ρ = 0.7"] < 3e-8 and 3e-4 < at_40["ρ = 1.0"] < 3e-3
    assert 0.3 < at_40["ρ = 1.5"] < 3 and 300 < at_40["ρ = 2.5"] < 3000
    assert values["at_20_7"] < values["at_20_10"] < 1 < values["at_20_15"] < values["at_20_25"]
