"""Mixing authors: who is understood by whom, and what goes wrong (exercise 4).

Networks that are alike in everything are trained on one author each, on all authors together, and
on one author after another; then each is asked about the held-out text of every author.
"""

import sys
from pathlib import Path

import numpy as np

from common.corpus import Corpus, Vocabulary, load_corpus, load_texts
from common.recipe import Recipe
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


@reference_only
def measure(short: bool) -> Found:
    h, steps, characters = (16, 4, 2_400) if short else (48, 160, 40_000)
    files = {} if short else {name: book(file) for name, file in AUTHORS.items()}
    train_on, test = texts(files, characters)
    names = list(train_on)
    shared = train_on[names[0]]
    spec = stack("gru", shared, 2, h)
    rows, runs = [], {}

    def row(name: str, trained: Run) -> None:
        rows.append({"trained on": name, "on": {to: trained.on(test[to]) for to in names}})
        rows[-1]["prediction"] = continued(trained, shared, PREFIX)

    for name in names:
        runs[name] = train(begin(spec, RECIPE), train_on[name], steps)
        row(name, runs[name])
    mixture = together([part(train_on[name], 1 / len(names)) for name in names])
    row("a quarter of each", train(begin(spec, RECIPE), mixture, steps))
    union = together(list(train_on.values()))
    row("all of each", train(begin(spec, RECIPE), union, steps * len(names)))
    found = {"h": h, "steps": steps, "characters": len(shared.tokens), "rows": rows}
    # These go on training the first author's network, so they come last.
    found["other numbers"] = other_numbers(train_on, test, runs)
    found["one after another"] = one_after_another(runs[names[0]], train_on, test, steps)
    return tabulated(found)


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


def tabulated(found: Found) -> Found:
    """What was found as the chapter's tables."""
    matrix = [
        {"trained on": row["trained on"], "asked about": author, "perplexity": perplexity}
        for row in found["rows"]
        for author, perplexity in row["on"].items()
    ]
    wide = [{"trained on": row["trained on"], **row["on"]} for row in found["rows"]]
    lines = [{k: row[k] for k in ("trained on", "prediction")} for row in found["rows"]]
    stages, other = found["one after another"], found["other numbers"]
    curve = stages["curve"]
    forgetting = [
        {"step": step, "asked about": author, "perplexity": perplexity}
        for author in (stages["first"], stages["second"])
        for step, perplexity in zip(curve["steps"], curve[author], strict=True)
    ]
    turn = curve["steps"].index(stages["turn"])
    first = curve[stages["first"]]
    values = {key: found[key] for key in ("h", "steps", "characters")}
    values |= {"before": first[0], "forgotten": first[turn], "again": first[-1]}
    values |= {"right_numbers": other["right"], "wrong_numbers": other["wrong"]}
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
