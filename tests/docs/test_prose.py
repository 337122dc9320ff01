"""What the prose states about numbers and names is what the data say."""

import ast
import json
import re

import pytest

from common.corpus import load_corpus
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


def test_why_depth_says_what_lives_at_which_layer_as_most_runs_do():
    values = stored("why-depth")["values"]
    assert values["in_order"] > values["seeds"] / 2
    assert values["missed_in_order"] == values["seeds"]
    scales = [values[f"time_scale_{layer}"] for layer in (1, 2, 3)]
    assert scales == sorted(scales) and scales[-1] < 1
    assert 0.05 < scales[-1] - scales[0] < 0.15 and "a tenth of a character" in prose("why-depth")


def test_cells_says_of_the_order_what_the_seeds_say():
    rows = {row["cell"]: row for row in stored("cells")["tables"]["seeds"]}
    gru, *others = (rows[name] for name in ("GRU", "LSTM", "vanilla RNN"))
    assert all(gru["worst"] < other["best"] for other in others)
    assert others[0]["best"] < others[1]["worst"] and others[1]["best"] < others[0]["worst"]
    assert "the GRU is ahead, and the other two are equal within their spread" in prose("cells")


def test_cells_says_where_the_time_of_a_step_follows_the_number_of_gates():
    path = ROOT / "docs" / "results" / "cells.json"
    values = {
        name: kept["values"] for name, kept in json.loads(path.read_text(encoding="utf-8")).items()
    }
    for name in ("numpy", "tensorflow", "jax"):
        assert abs(values[name]["rnn_time"] - 1 / 4) < 0.05, name
        assert abs(values[name]["gru_time"] - 3 / 4) < 0.05, name
    assert values["pytorch"]["gru_time"] > 0.85


def test_convergence_says_of_the_clip_what_the_runs_say():
    """Where the middle run of a cell jumps, with the clip and without."""
    rows = stored("convergence")["tables"]["rates"]
    for cell in ("rnn", "gru"):
        cliff = {
            clip: min(r["rate"] for r in rows if r["cell"] == cell and r["clip"] == clip
                      and r["shown"] == 100)
            for clip in ("clipped at 0.25", "not clipped")
        }  # fmt: skip
        assert cliff["clipped at 0.25"] == 4 * cliff["not clipped"]
    values = stored("convergence")["values"]
    assert values["gru_clipped"] + 5 * values["gru_clipped_sd"] < values["gru_free"]


def test_mixing_authors_says_who_is_understood_by_whom():
    rows = {row["trained on"]: row for row in stored("mixing-authors")["tables"]["wide"]}
    mean = {who: {a: float(rows[who][a].split()[0]) for a in list(row)[1:]}
            for who, row in rows.items()}  # fmt: skip
    authors = list(mean["Wells"])
    own = {a: min(authors, key=lambda who: mean[who][a]) for a in authors}
    assert [a for a in authors if own[a] == a] == ["Wells", "Austen", "Carroll"]
    assert max(abs(mean[who]["Shelley"] - mean["Shelley"]["Shelley"])
               for who in ("Wells", "Austen")) < 0.2  # fmt: skip
    assert all(min(mean, key=lambda who: mean[who][a]) == "all of each" for a in authors)
    values = stored("mixing-authors")["values"]
    assert values["fell"] == values["rose"] == values["seeds"]


def test_more_books_says_what_all_runs_say():
    values = stored("more-books")["values"]
    assert values["more_is_better"] == values["seeds"] and values["below_counts"] == 0
    assert abs(values["most_held_out"] - values["most_training"]) < values["most_held_out_sd"]
    assert values["few_held_out"] - 3 * values["few_held_out_sd"] > 28


def test_disagreements_says_which_faults_are_within_the_band_of_what_is_right():
    rows = [r for r in stored("disagreements")["tables"]["training"] if r["epoch"] == 15]
    last = {row["fault"]: row for row in rows}
    right = last["nothing wrong"]
    for quiet in ("learning rate 5 % too high", "no clip"):
        assert right["low"] <= last[quiet]["perplexity"] <= right["high"], quiet
    assert last["loss summed, not averaged"]["high"] < right["low"]
    broken = last["only the top layer learns"]
    assert all(row["high"] < broken["low"] for row in rows if row is not broken)


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


def test_cells_says_which_single_run_was_first_and_last():
    ends = {row["cell"]: row["epochs to 1.5"] for row in stored("cells")["tables"]["ends"]}
    assert ends["vanilla RNN"] < ends["GRU"] < ends["LSTM"]
    assert "The simplest cell was the first there, and the LSTM the last." in prose("cells")


def test_training_counts_the_characters_of_the_text():
    """All that occur have a number, and one more stands for what is unknown."""
    occur, q = re.findall(r"(\d+) different characters; .*?\$q = (\d+)\$", prose("training"))[0]
    table = " ".join(prose("dependencies").split())
    assert int(occur) + 1 == int(q) == load_corpus(None).q
    assert f"the characters | a number | {q} |" in table


def test_disagreements_names_so_many_characters_as_it_evaluates():
    source = (ROOT / "docs" / "experiments" / "disagreements.py").read_text(encoding="utf-8")
    said = re.search(r"perplexity on ([\d,]+) characters", prose("disagreements"))[1]
    assert f"corpus.tokens[:{said.replace(',', '_')}]" in source


@pytest.mark.parametrize(
    ("page", "follows"),
    [
        ("common/EQUATIONS.md", "those of edition 0.17"),
        ("README.md", "the way D2L 0.17 does"),
        ("docs/chapters/training.md", "D2L (edition 0.17, `train_ch8`) to the letter"),
        ("docs/chapters/concise.md", "In edition 0.17 the concise models"),
        ("docs/chapters/from-scratch.md", "In edition 0.17 the GRU from scratch"),
    ],
)
def test_the_edition_of_d2l_is_named_by_what_follows_it_or_differs(page, follows):
    assert follows in " ".join((ROOT / page).read_text(encoding="utf-8").split())
