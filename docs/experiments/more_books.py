"""More books: how perplexity falls, on what was trained on and on what was held out (exercise 3).

The same network takes the same number of steps on four amounts of text: the first 10,000 characters
of The Time Machine, 40,000 of them, all of it, and all of it with three more novels of its author.
The last tenth of every book is held out, and every network is asked about that of The Time Machine.
"""

import dataclasses
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
SEEDS = (1, 2, 3)
"""Of the first weights and of the minibatches: one run would tell luck."""


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
    seeds = SEEDS[:2] if short else SEEDS
    rows = [
        several(everything, name, tokens, test, h, steps, seeds) for name, tokens in texts.items()
    ]
    return tabulated(rows, h, steps, len(test))


def several(
    corpus: Corpus,
    name: str,
    tokens: np.ndarray,
    test: np.ndarray,
    h: int,
    steps: int,
    seeds: tuple[int, ...],
) -> Found:
    """One amount of text, from several first weights: both perplexities of every run."""
    part = Corpus(name, corpus.sha256, corpus.vocabulary, tokens.astype(np.uint8))
    runs = [one(part, test, h, steps, seed) for seed in seeds]
    return {
        "name": name,
        "characters": len(tokens),
        "epochs": steps * RECIPE.n * RECIPE.T / len(tokens),
        "seen": runs[0]["seen"],
        "curve": {on: np.array([run[on] for run in runs]) for on in ("training", "held out")},
        "counting": {k: counting(tokens, test, k, corpus.q) for k in (1, 2, 3, 4)},
        "prediction": runs[0]["prediction"],
    }


def one(part: Corpus, test: np.ndarray, h: int, steps: int, seed: int) -> Found:
    every, a_step = steps // SEEN, RECIPE.n * RECIPE.T
    found: Found = {"seen": [], "training": [], "held out": []}

    def seen(now: Run) -> None:
        found["seen"].append(len(now.losses) * a_step)
        found["training"].append(now.lately(every))
        found["held out"].append(now.on(test))

    recipe = dataclasses.replace(RECIPE, seed=seed)
    trained = train(begin(stack("gru", part, 2, h), recipe), part, steps, every, seen)
    return found | {"prediction": continued(trained, part, "time traveller")}


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
    """The rows as the chapter's tables: means of the runs, and the spread beside them."""
    curves = [
        {"text": row["name"], "on": on, "characters seen": seen, "perplexity": float(there.mean())}
        | {"low": float(there.min()), "high": float(there.max())}
        for row in rows
        for on in ("training", "held out")
        for seen, there in zip(row["seen"], row["curve"][on].T, strict=True)
    ]
    ends, values = [], {"h": h, "steps": steps, "held_out": held_out}
    for row in rows:
        training, new = row["curve"]["training"][:, -1], row["curve"]["held out"][:, -1]
        best = row["curve"]["held out"].min(axis=1)
        row["ends"] = {"training": training, "held_out": new, "best": best}
        said = {"trained on": row["name"], "characters": row["characters"]}
        said |= {"times read": row["epochs"], "runs": len(new)}
        said |= {"training": spread(training), "held out": spread(new)}
        ends.append(said | {"best held out": spread(best)})
    counts = [
        {"trained on": row["name"], "characters of context": int(k) - 1, "perplexity": perplexity}
        for row in rows
        for k, perplexity in row["counting"].items()
    ]
    lines = [{"trained on": row["name"], "prediction": row["prediction"]} for row in rows]
    values |= {"seen": rows[0]["seen"][-1], "seeds": len(rows[0]["ends"]["best"])}
    for name, row in (("few", rows[0]), ("one", rows[-2]), ("most", rows[-1])):
        for what, there in row["ends"].items():
            values |= {f"{name}_{what}": float(there.mean())}
            values |= {f"{name}_{what}_sd": float(there.std(ddof=1))}
        values |= {f"{name}_characters": row["characters"]}
        values |= {f"{name}_counts": list(row["counting"].values())[-1]}
    fewer, more = (row["ends"]["held_out"] for row in rows[-2:])
    values["more_is_better"] = int((more < fewer).sum())
    values["no_worse_on_new"] = int((more <= rows[-1]["ends"]["training"]).sum())
    values["below_counts"] = int((more < values["most_counts"]).sum())
    tables = {"curves": curves, "ends": ends, "counting": counts, "predictions": lines}
    return {"values": values, "tables": tables}


def spread(numbers: np.ndarray) -> str:
    return f"{numbers.mean():.2f} ± {numbers.std(ddof=1):.2f}"


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
