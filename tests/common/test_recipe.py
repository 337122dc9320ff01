"""Recipes: what they refuse, what they are as JSON, and what training starts from."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadInput
from common.lattice import UNITS
from common.parameters import INITIALISERS, initialise, parameter_shapes
from common.recipe import (
    LARGEST_SEED,
    NAMED,
    ORDERS,
    RECIPES,
    TASKS,
    WIDER,
    Recipe,
    initial_parameters,
)
from common.spec import CELLS, ModelSpec

RECIPE = Recipe(0.5, 1.0, epochs=3, n=4, T=5)
SPECS = [
    ModelSpec("rnn", 3, 4, 3, 2, ("tanh", "relu")),
    ModelSpec("gru", 3, 4, 3, 2, reset="after"),
    ModelSpec("lstm", 3, 4, 3, 1),
]

positive = st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False)
sizes = st.integers(min_value=1, max_value=10**6)
seeds = st.integers(min_value=0, max_value=LARGEST_SEED)
recipes = st.builds(
    Recipe,
    learning_rate=positive,
    clip=positive,
    epochs=sizes,
    n=sizes,
    T=sizes,
    order=st.sampled_from(ORDERS),
    initialiser=st.sampled_from(sorted(INITIALISERS)),
    seed=seeds,
    perturbation=seeds,
    lattice=st.booleans(),
    task=st.sampled_from(TASKS),
    dropout=st.sampled_from([0, 0.0, 0.5]),
)

NUMBER = "expected a finite number above 0"
WHOLE = "expected a whole number of at least 1"
RATE = "expected a number from 0 to less than 1"
SEED = f"expected a whole number from 0 to {LARGEST_SEED}"
BAD = [
    *((field, value, NUMBER) for field in ("learning_rate", "clip") for value in (0, -1.0)),
    *((field, value, NUMBER) for field in ("learning_rate", "clip") for value in ("1", None, True)),
    *((field, math.nan, NUMBER) for field in ("learning_rate", "clip")),
    *((field, sign * math.inf, NUMBER) for field in ("learning_rate", "clip") for sign in (1, -1)),
    *((field, value, WHOLE) for field in ("epochs", "n", "T") for value in (0, -3, 1.0, True)),
    *((field, value, WHOLE) for field in ("epochs", "n", "T") for value in ("2", None, math.nan)),
    *((field, value, SEED) for field in ("seed", "perturbation") for value in (-1, 2**32, 1.0)),
    *((field, value, SEED) for field in ("seed", "perturbation") for value in (False, "1", None)),
    *(("order", value, "expected one of sequential, random") for value in ("shuffled", None, 1)),
    *(("initialiser", value, "expected a str") for value in (None, 1)),
    *((field, value, "expected a bool") for field in ("lattice", "words") for value in (None, 1)),
    *(("task", value, "expected one of next, restore") for value in ("tag", None, 1)),
    *(("dropout", value, RATE) for value in (1, -0.1, math.nan, "0", None, True)),
]


def changed(**fields) -> Recipe:
    return dataclasses.replace(RECIPE, **fields)


@pytest.mark.parametrize(("field", "value", "expected"), BAD)
def test_a_field_out_of_range_is_refused_with_one_line_that_names_it(field, value, expected):
    with pytest.raises(BadInput) as refused:
        changed(**{field: value})
    line = str(refused.value)
    assert line == f"recipe: {field}: {expected}, found {value!r}"
    assert line.isprintable()


def test_every_field_of_a_recipe_is_refused_somewhere():
    assert {field for field, _, _ in BAD} == {field.name for field in dataclasses.fields(Recipe)}


def test_the_ends_of_the_ranges_are_allowed():
    changed(learning_rate=5e-324, clip=1e308, epochs=1, n=1, T=1, seed=0, perturbation=LARGEST_SEED)
    changed(learning_rate=1, clip=2, seed=LARGEST_SEED, perturbation=0)


def test_whole_words_are_of_pieces_in_random_order():
    assert changed(order="random", words=True).words
    with pytest.raises(BadInput, match="recipe: order: expected random, where examples end with"):
        changed(words=True)


def test_what_a_recipe_has_not_is_not_in_its_json():
    """So what was written before there were other tasks is still the same question."""
    assert not {"task", "words", "dropout"} & set(RECIPE.to_json())
    wider = changed(order="random", task="restore", words=True, dropout=0.5)
    assert Recipe.from_json(RECIPE.to_json() | {"task": "next"}) == RECIPE
    assert Recipe.from_json(wider.to_json()) == wider != RECIPE


@given(recipes)
def test_a_recipe_survives_the_way_through_json(recipe):
    text = json.dumps(recipe.to_json(), allow_nan=False)
    assert Recipe.from_json(json.loads(text)) == recipe


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "recipe",
        {},
        {**RECIPE.to_json(), "momentum": 0.9},
        {field: value for field, value in RECIPE.to_json().items() if field != "seed"},
    ],
    ids=["null", "list", "text", "empty", "one too many", "one missing"],
)
def test_json_without_exactly_the_fields_of_a_recipe_is_refused(value):
    with pytest.raises(BadInput, match="run.json: recipe: expected the fields T, clip, epochs"):
        Recipe.from_json(value, "run.json")


def test_an_error_in_json_names_the_file_and_the_field():
    value = RECIPE.to_json() | {"T": 0}
    with pytest.raises(BadInput, match="^run.json: T: expected a whole number of at least 1, fou"):
        Recipe.from_json(value, "run.json")


def test_a_named_recipe_has_one_for_every_cell():
    assert set(RECIPES) == {"quick", "d2l"}
    for name, named in RECIPES.items():
        assert set(named.recipes) == set(CELLS), name
        assert {type(recipe) for recipe in named.recipes.values()} == {Recipe}, name
        assert named.L >= 1 and named.h >= 1, name


def test_a_wider_recipe_is_of_a_network_that_the_plain_ones_have_not():
    assert set(NAMED) == set(RECIPES) | set(WIDER) and not set(RECIPES) & set(WIDER)
    for name, named in WIDER.items():
        assert name.startswith("wider-")
        assert set(named.recipes) <= set(CELLS) and named.recipes
        assert set(named.model) <= {"directions", "sizes", "p"} and named.model


def test_d2ls_recipe_has_d2ls_numbers():
    named = RECIPES["d2l"]
    assert (named.L, named.h) == (2, 256)
    lstm = named.recipes["lstm"]
    assert (lstm.learning_rate, lstm.clip, lstm.epochs) == (2, 1, 500)
    assert (lstm.n, lstm.T, lstm.order, lstm.lattice) == (32, 35, "sequential", False)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.cell)
@pytest.mark.parametrize("scheme", INITIALISERS)
def test_training_starts_from_the_initialisers_draw(spec, scheme):
    found = initial_parameters(spec, changed(initialiser=scheme, seed=7))
    wanted = initialise(spec, scheme, 7)
    assert list(found) == list(wanted) == list(parameter_shapes(spec))
    for name, array in found.items():
        assert array.dtype == np.float64
        assert array.tobytes() == wanted[name].tobytes(), name


def test_another_seed_gives_other_parameters():
    first, second = (initial_parameters(SPECS[2], changed(seed=seed)) for seed in (1, 2))
    assert all((first[name] != second[name]).all() for name in first)


def units_in_the_last_place(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How many float32 numbers after lies above before, read from their bits: of one sign, float32
    numbers are in the order of their bits."""

    def place(array: np.ndarray) -> np.ndarray:
        bits = array.astype("float32").view("int32").astype("int64")
        return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    return place(after) - place(before)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(SPECS), st.sampled_from(sorted(INITIALISERS)), st.integers(1, LARGEST_SEED))
def test_a_perturbation_moves_every_element_by_exactly_one_unit_of_float32(spec, scheme, seed):
    plain = initial_parameters(spec, changed(initialiser=scheme))
    moved = initial_parameters(spec, changed(initialiser=scheme, perturbation=seed))
    sides = []
    for name, array in moved.items():
        assert array.dtype == np.float64
        assert (array == array.astype("float32")).all(), f"{name}: not a float32"
        units = units_in_the_last_place(plain[name], array)
        assert (np.abs(units) == 1).all(), name
        sides += units.ravel().tolist()
    assert set(sides) == {-1, 1}


def test_another_perturbation_moves_other_elements_up():
    first, second, again = (
        initial_parameters(SPECS[2], changed(perturbation=seed)) for seed in (1, 2, 1)
    )
    assert any((first[name] != second[name]).any() for name in first)
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)


@pytest.mark.parametrize("perturbation", [0, 3])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.cell)
def test_on_the_lattice_training_starts_from_the_nearest_lattice_points(spec, perturbation):
    plain = initial_parameters(spec, changed(perturbation=perturbation))
    found = initial_parameters(spec, changed(perturbation=perturbation, lattice=True))
    assert list(found) == list(plain)
    for name, array in found.items():
        assert array.dtype == np.float64
        assert all((value * UNITS).is_integer() for value in array.ravel().tolist()), name
        assert (np.abs(array - plain[name]) <= 0.5 / UNITS).all(), name
    assert any((found[name] != plain[name]).any() for name in found)
