"""More books: how perplexity falls, on what was trained on and on what was held out (exercise 3).

The same network takes the same number of steps on four amounts of text: the first 10,000 characters
of The Time Machine, 40,000 of them, all of it, and all of it with three more novels of its author.
The last tenth of every book is held out, and every network is asked about that of The Time Machine.
"""

import math
import sys
from collections import Counter

import numpy as np

from common.corpus import Corpus, load_corpus, load_texts
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
    time_machine,
    train,
)

BOOKS = (
    "wells_war_of_the_worlds.txt",
    "wells_island_of_doctor_moreau.txt",
    "wells_first_men_in_the_moon.txt",
)
RECIPE = Recipe(4.0, 1.0)
SEEN = 14
"""How often a run is looked at."""


@reference_only
def measure(short: bool) -> Found:
    h, steps, amounts = (16, 28, (2_000, 8_000)) if short else (128, 1_400, (10_000, 40_000))
    files = [time_machine(short), *([] if short else map(book, BOOKS))]
    everything, held_out = load_texts(files, None, 0.1)
    test = next(iter(held_out.values()))
    first, _ = load_texts(files[:1], None, 0.1)
    tokens = everything.tokens[: len(first.tokens)]
    texts = {f"{amount:,} characters": tokens[:amount] for amount in amounts}
    texts["one book"] = tokens
    if len(files) > 1:
        texts["four books"] = everything.tokens
    rows = [one(everything, name, tokens, test, h, steps) for name, tokens in texts.items()]
    return tabulated(rows, h, steps, len(test))


def one(
    corpus: Corpus, name: str, tokens: np.ndarray, test: np.ndarray, h: int, steps: int
) -> Found:
    """Train on one amount of text and look at both perplexities on the way."""
    part = Corpus(name, corpus.sha256, corpus.vocabulary, tokens.astype(np.uint8))
    every, a_step = steps // SEEN, RECIPE.n * RECIPE.T
    curve: dict[str, list] = {"characters": [], "training": [], "held out": []}

    def seen(now: Run) -> None:
        curve["characters"].append(len(now.losses) * a_step)
        curve["training"].append(now.lately(every))
        curve["held out"].append(now.on(test))

    trained = train(begin(stack("gru", corpus, 2, h), RECIPE), part, steps, every, seen)
    return {
        "name": name,
        "characters": len(tokens),
        "epochs": steps * a_step / len(tokens),
        "curve": curve,
        "counting": {k: counting(tokens, test, k, corpus.q) for k in (1, 2, 3, 4)},
        "prediction": continued(trained, corpus, "time traveller"),
    }


def counting(tokens: np.ndarray, test: np.ndarray, k: int, q: int) -> float:
    """The perplexity of a table of counts: how often each character followed the k − 1 before it,
    mixed with the table of shorter contexts for what was seldom or never seen."""
    tables = [followers(tokens, length) for length in range(k)]
    total = 0.0
    for t in range(k - 1, len(test)):
        p = 1 / q
        for length, table in enumerate(tables):
            counts = table.get(tuple(test[t - length : t]), Counter())
            p = (counts[test[t]] + 2 * p) / (counts.total() + 2)
        total -= math.log(p)
    return math.exp(total / (len(test) - k + 1))


def followers(tokens: np.ndarray, length: int) -> dict[tuple, Counter]:
    """By every context of that length, how often each character came next."""
    values = tokens.tolist()
    table: dict[tuple, Counter] = {}
    for t in range(length, len(values)):
        table.setdefault(tuple(values[t - length : t]), Counter())[values[t]] += 1
    return table


def tabulated(rows: list[Found], h: int, steps: int, held_out: int) -> Found:
    """The rows as the chapter's tables."""
    curves = [
        {"text": row["name"], "on": on, "characters seen": seen, "perplexity": perplexity}
        for row in rows
        for on in ("training", "held out")
        for seen, perplexity in zip(row["curve"]["characters"], row["curve"][on], strict=True)
    ]
    ends = [
        {
            "trained on": row["name"],
            "characters": row["characters"],
            "times read": row["epochs"],
            "training": row["curve"]["training"][-1],
            "held out": row["curve"]["held out"][-1],
            "best held out": min(row["curve"]["held out"]),
        }
        for row in rows
    ]
    counts = [
        {"trained on": row["name"], "characters of context": int(k) - 1, "perplexity": perplexity}
        for row in rows
        for k, perplexity in row["counting"].items()
    ]
    lines = [{"trained on": row["name"], "prediction": row["prediction"]} for row in rows]
    values = {
        "h": h,
        "steps": steps,
        "held_out": held_out,
        "seen": curves[SEEN - 1]["characters seen"],
    }
    for name, row in (("few", rows[0]), ("one", rows[-2]), ("most", rows[-1])):
        values |= {
            f"{name}_training": row["curve"]["training"][-1],
            f"{name}_held_out": row["curve"]["held out"][-1],
            f"{name}_best": min(row["curve"]["held out"]),
            f"{name}_characters": row["characters"],
            f"{name}_counts": list(row["counting"].values())[-1],
        }
    tables = {"curves": curves, "ends": ends, "counting": counts, "predictions": lines}
    return {"values": values, "tables": tables}


def solution_1(backend: str) -> None:
    """Longer and longer contexts, counted in 8,000 characters: by heart there, lost elsewhere."""
    corpus = load_corpus()
    text, test = corpus.tokens[:8000], corpus.tokens[8000:]
    for k in (0, 1, 2, 3, 5, 8):
        known, new = (counting(text, where, k + 1, corpus.q) for where in (text, test))
        print(f"{k} characters of context: {known:.2f} on its own text, {new:.2f} on new text")


def solution_2(backend: str) -> None:
    """A text that repeats itself is held out badly: half of the test has been read before."""
    corpus = load_corpus()
    text, test = corpus.tokens[:8000], corpus.tokens[8000:]
    mixed = np.concatenate([test[: len(test) // 2], text[: len(test) // 2]])
    for name, where in (("new text", test), ("half of it read before", mixed)):
        print(f"{name}: {counting(text, where, 4, corpus.q):.2f}")


def main(words: list[str] | None = None) -> int:
    return run("more-books", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
