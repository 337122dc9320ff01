"""Mixing authors: who is understood by whom, and what goes wrong (exercise 4).

Networks that are alike in everything are trained on one author each, on all authors together, and
on one author after another; then each is asked about the held-out text of every author.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from common.corpus import Corpus, Vocabulary, load_corpus, load_texts
from common.recipe import Recipe
from common.spec import ModelSpec
from docs.experiments import run
from docs.experiments.tools import (
    Found,
    Run,
    begin,
    book,
    continued,
    reference_only,
    stack,
    train,
)

AUTHORS = {
    "Wells": "wells_war_of_the_worlds.txt",
    "Austen": "austen_pride_and_prejudice.txt",
    "Shelley": "shelley_frankenstein.txt",
    "Carroll": "carroll_alice.txt",
}
RECIPE = Recipe(4.0, 1.0)
PREFIX = "it was "


SEEDS = (1, 2, 3)
"""Of the first weights and of the minibatches: one run would tell luck."""


@reference_only
def measure(short: bool) -> Found:
    h, steps, characters = (16, 4, 2_400) if short else (48, 160, 40_000)
    files = {} if short else {name: book(file) for name, file in AUTHORS.items()}
    train_on, test = texts(files, characters)
    shared = next(iter(train_on.values()))
    spec = stack("gru", shared, 2, h)
    seeds = SEEDS[:2] if short else SEEDS
    found = [once(dataclasses.replace(RECIPE, seed=s), spec, train_on, test, steps) for s in seeds]
    values = {"h": h, "steps": steps, "characters": len(shared.tokens), "seeds": len(seeds)}
    return tabulated(found, values)


def once(recipe: Recipe, spec: ModelSpec, train_on: dict, test: dict, steps: int) -> Found:
    """All the networks, each trained once."""
    names, rows, runs = list(train_on), [], {}
    shared = train_on[names[0]]

    def row(name: str, trained: Run) -> None:
        rows.append({"trained on": name, "on": {to: trained.on(test[to]) for to in names}})
        rows[-1]["prediction"] = continued(trained, shared, PREFIX)

    for name in names:
        runs[name] = train(begin(spec, recipe), train_on[name], steps)
        row(name, runs[name])
    mixture = together([part(train_on[name], 1 / len(names)) for name in names])
    row("a quarter of each", train(begin(spec, recipe), mixture, steps))
    union = together(list(train_on.values()))
    row("all of each", train(begin(spec, recipe), union, steps * len(names)))
    found = {"rows": rows, "other numbers": other_numbers(train_on, test, runs)}
    # This goes on training the first author's network, so it comes last.
    found["one after another"] = one_after_another(runs[names[0]], train_on, test, steps)
    return found


def texts(
    files: dict[str, Path], characters: int
) -> tuple[dict[str, Corpus], dict[str, np.ndarray]]:
    """By author, the text to train on and what is held out of it, all in one vocabulary."""
    if files:
        everything, held_out = load_texts(list(files.values()), characters, 0.1)
        pieces = np.split(everything.tokens, len(files))  # equally long, as it was asked for
        left_out = list(held_out.values())
    else:  # a quarter of the sample stands for each author
        everything, _ = load_texts(["sample"], characters * len(AUTHORS), 0.0)
        quarters = np.split(everything.tokens, len(AUTHORS))
        pieces = [quarter[: characters * 9 // 10] for quarter in quarters]
        left_out = [quarter[characters * 9 // 10 :] for quarter in quarters]
    train_on = {
        name: Corpus(name, everything.sha256, everything.vocabulary, tokens)
        for name, tokens in zip(AUTHORS, pieces, strict=True)
    }
    return train_on, dict(zip(AUTHORS, left_out, strict=True))


def part(corpus: Corpus, share: float) -> Corpus:
    """The beginning of a text."""
    tokens = corpus.tokens[: int(share * len(corpus.tokens))]
    return Corpus(corpus.name, corpus.sha256, corpus.vocabulary, tokens)


def together(parts: list[Corpus]) -> Corpus:
    """Texts one behind the other, as one."""
    tokens = np.concatenate([piece.tokens for piece in parts])
    name = " + ".join(piece.name for piece in parts)
    return Corpus(name, parts[0].sha256, parts[0].vocabulary, tokens)


def one_after_another(run: Run, train_on: dict, test: dict, steps: int) -> dict:
    """Go on with the first author's network on the second author, then on the first again: what is
    known of each after every eighth of a stage."""
    first, second = list(train_on)[:2]
    every = max(1, steps // 8)
    curve = {"steps": [0], first: [run.on(test[first])], second: [run.on(test[second])]}
    taken = len(run.losses)

    def seen(now: Run) -> None:
        curve["steps"].append(len(now.losses) - taken)
        for name in (first, second):
            curve[name].append(now.on(test[name]))

    for name in (second, first):
        train(run, train_on[name], steps, every, seen)
    return {"first": first, "second": second, "turn": steps, "curve": curve}


def other_numbers(train_on: dict, test: dict, runs: dict) -> dict:
    """What happens if every author's text is numbered by its own vocabulary: how many of the 27
    characters have another number, and what a network makes of text that was numbered wrongly."""
    decode = next(iter(train_on.values())).vocabulary.decode
    own = {name: Vocabulary.of(decode(corpus.tokens)) for name, corpus in train_on.items()}
    first, second = list(train_on)[:2]
    moved = sum(a != b for a, b in zip(own[first].tokens, own[second].tokens, strict=False))
    text = decode(test[second])
    # The network knows the shared numbers; so its own are taken for the right ones here.
    shared = next(iter(train_on.values())).vocabulary
    wrong = own[second].encode(text)
    return {
        "first": first,
        "second": second,
        "moved": moved,
        "shared first": "".join(shared.tokens[1:13]),
        "own": {name: "".join(vocabulary.tokens[1:13]) for name, vocabulary in own.items()},
        "right": runs[second].on(test[second]),
        "wrong": runs[second].on(wrong),
    }


def tabulated(found: list[Found], values: Found) -> Found:
    """What was found by all seeds, as the chapter's tables: means, and the spread beside them."""
    first = found[0]
    matrix, wide = [], []
    for number, row in enumerate(first["rows"]):
        said = {"trained on": row["trained on"]}
        wide.append(dict(said))
        for author in row["on"]:
            ends = [one["rows"][number]["on"][author] for one in found]
            mean = float(np.mean(ends))
            matrix.append(said | {"asked about": author, "perplexity": mean})
            wide[-1][author] = f"{mean:.2f} ± {np.std(ends, ddof=1):.2f}"
    lines = [{k: row[k] for k in ("trained on", "prediction")} for row in first["rows"]]
    stages, other = first["one after another"], first["other numbers"]
    steps, authors = stages["curve"]["steps"], (stages["first"], stages["second"])
    curves = {
        author: np.array([one["one after another"]["curve"][author] for one in found])
        for author in authors
    }
    forgetting = [
        {"step": step, "asked about": author, "perplexity": float(curve[:, k].mean())}
        | {"low": float(curve[:, k].min()), "high": float(curve[:, k].max())}
        for author, curve in curves.items()
        for k, step in enumerate(steps)
    ]
    turn = steps.index(stages["turn"])
    for name, k in (("before", 0), ("forgotten", turn), ("again", -1)):
        there = curves[authors[0]][:, k]
        values |= {name: float(there.mean()), f"{name}_sd": float(there.std(ddof=1))}
    fell = curves[authors[0]][:, turn] < curves[authors[0]][:, 0]
    rose = curves[authors[1]][:, -1] > curves[authors[1]][:, turn]
    values |= {"fell": int(fell.sum()), "rose": int(rose.sum())}
    for name in ("right", "wrong"):
        numbers = [one["other numbers"][name] for one in found]
        values |= {f"{name}_numbers": float(np.mean(numbers))}
        values |= {f"{name}_numbers_sd": float(np.std(numbers, ddof=1))}
    values |= {"moved": other["moved"]}
    orders = [{"text": name, "commonest first": text} for name, text in other["own"].items()]
    tables = {"matrix": matrix, "wide": wide, "predictions": lines, "forgetting": forgetting}
    return {"values": values, "tables": tables | {"orders": orders}}


def solution_1(backend: str) -> None:
    """A vocabulary of one text, and another of another: which characters change their numbers?"""
    corpus = load_corpus()
    text = corpus.vocabulary.decode(corpus.tokens)
    first, second = Vocabulary.of(text[:5000]), Vocabulary.of(text[5000:])
    moved = [a for a in first.tokens if a in second.tokens]
    moved = [a for a in moved if first.tokens.index(a) != second.tokens.index(a)]
    print("two halves of one book:", "".join(first.tokens[1:13]), "".join(second.tokens[1:13]))
    print(f"{len(moved)} of {len(first.tokens)} have another number")


def solution_2(backend: str) -> None:
    """Twice as much of one author: which share of the minibatches' rows is of whom?"""
    rows = 32
    for wells, austen in ((1, 1), (2, 1), (10, 1)):
        share = wells / (wells + austen)
        his = round(rows * share)
        print(f"{wells} to {austen}: {share:.0%} of the text is Wells', {his} of {rows} rows")


def main(words: list[str] | None = None) -> int:
    return run("mixing-authors", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
