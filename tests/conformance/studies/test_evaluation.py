"""What is made of a finished run: its numbers, its loss on other texts, and the pictures."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
import pytest

from backends.registry import load
from common.corpus import load_corpus
from common.parameters import initialise
from common.recipe import Recipe
from common.spec import CELLS, ModelSpec
from conformance.cases.given import Given
from conformance.studies.evaluate import (
    Trained,
    epochs_to,
    finite,
    held_out_curve,
    loss_on,
    perplexity_of,
    tokens_per_second,
    training_curve,
)
from conformance.studies.plot import MARKERS, Curve, Grid, curves, heat_map

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>&\"'\x1b[31m\0"


def made_up_run(*losses: float) -> dict:
    """A run.json whose epochs have these losses, on 100 tokens in 2, 1 and 4 seconds in turn."""
    rows = [
        {
            "losses": [loss - 0.5, loss + 0.5],
            "tokens": 100,
            "seconds": (2.0, 1.0, 4.0)[number % 3],
            "held out": {"long.txt": loss + 1, "short.txt": loss + 2},
        }
        for number, loss in enumerate(losses)
    ]
    return {"epochs": rows, "held out": {"long.txt": 300, "short.txt": 100}}


def model_of(spec: ModelSpec, scale: float = 1.0):
    params = {name: array * scale for name, array in initialise(spec, "pytorch", 3).items()}
    return load("numpy").implementation("equations", "cpu", "float64").model(spec, params)


# --- numbers ----------------------------------------------------------------------------------


def test_the_target_is_reached_on_the_line_between_two_epochs():
    curve = training_curve(made_up_run(2.0, 1.0, 0.5))
    assert curve == pytest.approx([math.exp(2.0), math.e, math.exp(0.5)])
    assert epochs_to(math.exp(1.25), curve) == pytest.approx(1.75)
    assert epochs_to(math.exp(0.75), curve) == pytest.approx(2.5)


def test_a_target_that_an_epoch_meets_is_reached_by_it():
    assert epochs_to(4.0, [8.0, 4.0, 2.0]) == 2.0
    assert epochs_to(9.0, [8.0, 4.0]) == 1.0
    assert epochs_to(9.0, [math.inf, 4.0]) == 2.0


def test_a_target_is_reached_when_it_is_reached_first():
    assert epochs_to(4.0, [8.0, 4.0, 8.0, 4.0]) == 2.0


def test_a_target_that_no_epoch_meets_is_not_reached():
    assert epochs_to(1.5, [8.0, 1.6]) is None
    assert epochs_to(1.5, []) is None


def test_held_out_texts_count_by_their_lengths():
    found = held_out_curve(made_up_run(2.0, 1.0))
    assert found == pytest.approx([math.exp(3.25), math.exp(2.25)])


def test_a_run_without_held_out_text_has_no_such_curve():
    made = made_up_run(2.0)
    del made["epochs"][0]["held out"]
    assert held_out_curve(made) == []


def test_the_speed_is_the_median_epochs():
    assert tokens_per_second(made_up_run(2.0, 1.0, 0.5)) == 50.0


def test_what_json_cannot_hold_becomes_null():
    assert perplexity_of(1000.0) == math.inf
    value = {"rows": [{"a": [1.0, math.inf], "b": math.nan}], "c": "inf"}
    assert finite(value) == {"rows": [{"a": [1.0, None], "b": None}], "c": "inf"}


# --- losses -----------------------------------------------------------------------------------


def test_a_model_that_knows_nothing_has_the_loss_of_guessing():
    spec = ModelSpec("lstm", 28, 4, 28, 2)
    tokens = load_corpus("sample", 500).tokens
    found = loss_on(model_of(spec, 0.0), spec, tokens, n=4, T=8, dtype="float64")
    assert found == pytest.approx(math.log(28))


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_carried_so_that_the_length_of_the_pieces_does_not_matter(cell):
    activations, reset = (("tanh",) * 2 if cell == "rnn" else ()), None
    spec = ModelSpec(cell, 28, 5, 28, 2, activations, "after" if cell == "gru" else reset)
    model, tokens = model_of(spec), load_corpus("sample", 241).tokens
    whole = loss_on(model, spec, tokens, n=1, T=240, dtype="float64")
    pieces = loss_on(model, spec, tokens, n=1, T=6, dtype="float64")
    assert pieces == pytest.approx(whole, rel=1e-12)


def test_a_model_does_better_on_a_text_that_it_is_made_for():
    spec = ModelSpec("rnn", 28, 4, 28, 1, ("tanh",))
    params = {name: array * 0 for name, array in initialise(spec, "pytorch", 3).items()}
    [bias] = [name for name, array in params.items() if array.shape == (28,)]
    params[bias][5] = 3.0
    model = load("numpy").implementation("equations", "cpu", "float64").model(spec, params)
    always = np.full(100, 5, np.uint8)
    expected = math.log(math.exp(3) + 27) - 3
    assert loss_on(model, spec, always, n=1, T=9, dtype="float64") == pytest.approx(expected)
    assert loss_on(model, spec, always + 1, n=1, T=9, dtype="float64") > expected + 2.9


def test_characters_that_the_vocabulary_lacks_are_counted_and_read_as_unknown():
    corpus = load_corpus("sample", 500)
    known = corpus.vocabulary.tokens[1]
    spec = ModelSpec("gru", corpus.q, 4, corpus.q, 1, (), "after")
    recipe = Recipe(1.0, 1.0, n=1, T=4)
    trained = Trained(spec, model_of(spec), Given(corpus), recipe, "float64")
    score = trained.on({"a": known * 50 + "é" * 7, "b": "é" * 20})
    assert (score.unknown, score.characters) == (27, 77)
    losses = [
        loss_on(trained.model, spec, np.array(tokens), n=1, T=4, dtype="float64")
        for tokens in ([1] * 50 + [0] * 7, [0] * 20)
    ]
    expected = math.exp((57 * losses[0] + 20 * losses[1]) / 77)
    assert score.perplexity == pytest.approx(expected)


# --- pictures ---------------------------------------------------------------------------------


def texts_of(picture: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def lines_of(picture: str) -> list[tuple[set[str], np.ndarray]]:
    """Every curve: its classes, and its points (epochs, 2)."""
    return [
        (
            set(line.get("class").split()),
            np.array([point.split(",") for point in line.get("points").split()], float),
        )
        for line in ElementTree.fromstring(picture).iter(f"{SVG}polyline")
    ]


def drawn(*series: Curve, panels: Sequence[str] = ("lstm",)) -> str:
    return curves("a title", {panel: list(series) for panel in panels}, "epoch", "perplexity")


def test_training_is_solid_and_held_out_dashed_and_every_label_has_its_marker():
    picture = drawn(Curve("pytorch", [9, 3], [9, 4]), Curve("mxnet", [8, 2], [8, 3]))
    kinds = [classes for classes, _ in lines_of(picture)]
    assert kinds[0::2] == [{"curve", "s0"}, {"curve", "s1"}]
    assert kinds[1::2] == [{"curve", "s0", "held"}, {"curve", "s1", "held"}]
    marks = [
        (path.get("class"), path.get("d"))
        for path in ElementTree.fromstring(picture).iter(f"{SVG}path")
        if "mark" in path.get("class")
    ]
    assert all(d.endswith(MARKERS[int(kind[-1])]) for kind, d in marks)
    assert {kind for kind, _ in marks} == {"mark s0", "mark s1"}
    assert "stroke-dasharray" in picture
    assert {"a title", "epoch", "perplexity", "pytorch", "mxnet", "training", "held-out text"} <= (
        set(texts_of(picture))
    )


def test_the_vertical_axis_is_logarithmic_and_lower_is_better():
    [(_, points)] = lines_of(drawn(Curve("numpy", [16.0, 4.0, 2.0])))
    steps = np.diff(points, axis=0)
    assert steps[0, 1] == pytest.approx(2 * steps[1, 1], abs=0.2)
    assert (steps > 0).all()  # to the right, and down


def test_all_panels_share_their_axes():
    picture = drawn(Curve("numpy", [16.0, 4.0]), panels=("rnn", "gru", "lstm"))
    first, second, third = (points.tolist() for _, points in lines_of(picture))
    assert first == second == third
    assert texts_of(picture).count("epoch") == 3


@pytest.mark.parametrize(
    "values", [[1.0], [1.0, 1.0], [17.1, 17.2], [1e300, 1.0], [math.inf, 3.0], [math.inf], []]
)
def test_every_curve_stays_within_its_panel(values):
    for _, points in lines_of(drawn(Curve("numpy", values))):
        assert len(points) == sum(map(math.isfinite, values))
        assert (points >= 0).all()
        assert (points[:, 0] <= 300).all()
        assert (points[:, 1] <= 260).all()


def test_a_picture_has_a_light_and_a_dark_side():
    for picture in (drawn(Curve("numpy", [2.0])), heat_map("t", [], "rows", "columns")):
        assert "@media (prefers-color-scheme: dark)" in picture


def test_a_heat_map_holds_every_number_and_says_where_there_is_none():
    grid = Grid("lstm", ["a", "b", "both"], ["a", "b"], [[3.25, 9.5], [math.inf, 4], [None, 5]])
    shown = texts_of(heat_map("title", [grid, grid], "trained on", "evaluated on"))
    assert [shown.count(number) for number in ("3.25", "9.5", "inf", "4", "–", "5")] == [2] * 6
    assert "lstm: trained on ↓, evaluated on →" in shown


def test_the_smallest_number_is_palest_and_the_largest_darkest():
    picture = heat_map("title", [Grid("", ["a"], ["b", "c"], [[2.0, 8.0]])], "rows", "columns")
    cells = [
        (rect.get("fill"), rect.get("class"))
        for rect in ElementTree.fromstring(picture).iter(f"{SVG}rect")
        if "cell" in rect.get("class")
    ]
    assert [fill for fill, _ in cells] == ["rgb(222,235,247)", "rgb(8,69,126)"]


def test_hostile_names_are_shown_as_text():
    grid = Grid(HOSTILE, [HOSTILE], [HOSTILE], [[2.0]])
    for picture in (
        curves(HOSTILE, {HOSTILE: [Curve(HOSTILE, [2.0], [3.0])]}, HOSTILE, HOSTILE),
        heat_map(HOSTILE, [grid], HOSTILE, HOSTILE),
    ):
        root = ElementTree.fromstring(picture)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "title", "style", "rect", "g", "path", "polyline", "text"}
        shown = "</text><script>&\"'\\x1b[31m\\x00"
        assert shown in texts_of(picture)
        assert all(c.isprintable() or c == "\n" for c in picture)
