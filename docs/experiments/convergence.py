"""Initialisation, learning rate and clipping: what fails to converge, and why."""

import sys

import numpy as np

from common.corpus import Corpus, load_corpus, one_hot
from common.parameters import INITIALISERS, initialise, zero_state
from common.recipe import Recipe
from docs.experiments import run
from docs.experiments.tools import Found, begin, endless, reference_only, stack, train

RATES = (0.5, 1, 2, 4, 8, 16, 32)
NO_CLIP = 1e9
CLIPS = {"clipped at 0.25": 0.25, "not clipped": NO_CLIP}
CELLS = ("rnn", "gru", "lstm")
SEEDS = (1, 2, 3)
"""Of the first weights and of the minibatches: one run would tell luck."""
STEPS_AN_EPOCH = 19
"""Of the sample's 10,000 characters in minibatches of 32 × 16."""


@reference_only
def measure(short: bool) -> Found:
    corpus = load_corpus()
    steps, h, rates = (3, 8, (1, 64)) if short else (8 * STEPS_AN_EPOCH, 32, RATES)
    depths, seeds = ((1, 2), SEEDS[:2]) if short else ((1, 2, 4), SEEDS)
    swept = [
        one_rate(corpus, cell, clip, rate, h, steps, seeds)
        for cell in CELLS
        for clip in CLIPS
        for rate in rates
    ]
    starts = [
        one_start(corpus, scheme, L, h, steps, seeds) for scheme in INITIALISERS for L in depths
    ]
    norms, values = gradient_norms(corpus, h, steps, seeds)
    tables = {
        "rates": swept,
        "starts": starts,
        "norms": norms,
        "through_time": through_time(corpus),
    }
    values |= {"steps": steps, "h": h, "seeds": len(seeds)}
    for cell in CELLS:
        for clip, name in zip(CLIPS, ("clipped", "free"), strict=True):
            ends = [r for r in swept if (r["cell"], r["clip"]) == (cell, clip) and r["perplexity"]]
            best = min(ends, key=lambda row: row["perplexity"])
            values |= {f"{cell}_{name}": best["perplexity"], f"{cell}_{name}_rate": best["rate"]}
            values |= {f"{cell}_{name}_sd": best["±"]}
    return {"values": values, "tables": tables}


def one_rate(
    corpus: Corpus, cell: str, clip: str, rate: float, h: int, steps: int, seeds: tuple[int, ...]
) -> Found:
    """Where training ends with a learning rate: the mean, the standard deviation, the best and the
    worst of some runs; no mean if a run met a number that was not finite."""
    ends = []
    for seed in seeds:
        recipe = Recipe(float(rate), CLIPS[clip], n=32, T=16, seed=seed)
        with np.errstate(all="ignore"):
            trained = train(begin(stack(cell, corpus, 2, h), recipe), corpus, steps)
        end = trained.lately(STEPS_AN_EPOCH) if len(trained.losses) == steps else np.inf
        ends.append(end if np.isfinite(end) else np.inf)
    finite = bool(np.isfinite(ends).all())
    row = {"cell": cell, "clip": clip, "rate": rate, "perplexity": None, "±": None}
    if finite:
        row |= {"perplexity": float(np.mean(ends)), "±": float(np.std(ends, ddof=1))}
    # A chart's axis has to end somewhere, and what is worse than guessing is all one.
    shown = np.minimum(ends, 100.0)
    return row | {"shown": float(np.median(shown)), "low": min(shown), "high": max(shown)}


def one_start(
    corpus: Corpus, scheme: str, L: int, h: int, steps: int, seeds: tuple[int, ...]
) -> Found:
    """How stacks of LSTM layers train from an initialiser's draws, and how much of the first
    gradient reaches the first layer: means of some runs."""
    spec, found = stack("lstm", corpus, L, h), []
    for seed in seeds:
        params = initialise(spec, scheme, seed)
        trained = begin(spec, Recipe(8.0, 0.25, n=32, T=16, seed=seed), params=params)
        _, X, Y = next(endless(corpus, trained.recipe))
        grads = trained.model.loss_and_gradients(X, Y, zero_state(spec, 32, "float32")).gradients
        train(trained, corpus, steps)
        norms = (layer_norm(grads, layer) for layer in (1, L))
        found.append((trained.lately(STEPS_AN_EPOCH), *norms))
    end, first, top = np.mean(found, axis=0)
    return {
        "initialiser": scheme,
        "layers": L,
        "perplexity": end,
        "±": np.std([row[0] for row in found], ddof=1),
        "first layer's gradient": first,
        "top layer's gradient": top,
    }


def layer_norm(grads: dict, layer: int) -> float:
    squares = [
        float((g * g).sum()) for name, g in grads.items() if name.startswith(f"layer{layer}.")
    ]
    return sum(squares) ** 0.5


def gradient_norms(
    corpus: Corpus, h: int, steps: int, seeds: tuple[int, ...]
) -> tuple[list[Found], Found]:
    """The norm of every step's gradient before the clip, for each cell at a rate that trains: of
    one run; and in which share of the steps of some runs the clip acts."""
    found, values = [], {}
    for cell, rate in (("rnn", 1.0), ("gru", 4.0), ("lstm", 8.0)):
        runs = []
        for seed in seeds:
            recipe = Recipe(rate, 0.25, n=32, T=16, seed=seed)
            runs.append(train(begin(stack(cell, corpus, 2, h), recipe), corpus, steps).norms)
        found += [{"cell": cell, "step": k, "norm": v} for k, v in enumerate(runs[0], 1)]
        shares = [float(np.mean(np.array(norms) > 0.25)) for norms in runs]
        values |= {f"{cell}_clipped_least": min(shares), f"{cell}_clipped_most": max(shares)}
    return found, values


def through_time(corpus: Corpus, h: int = 64, T: int = 40) -> list[Found]:
    """How the gradient by H_T shrinks or grows on its way back to H_{T−k}: one layer of a vanilla
    RNN whose W_hh is scaled to a spectral radius, without and with its tanh (BPTT-3)."""
    X = one_hot(corpus.tokens[:T, None], corpus.q, "float64")
    rng = np.random.RandomState(1)
    W_xh = rng.standard_normal((corpus.q, h)) / 4
    random = rng.standard_normal((h, h))
    random /= np.abs(np.linalg.eigvals(random)).max()
    found = []
    for radius in (0.7, 1.0, 1.3):
        for phi in ("identity", "tanh"):
            W_hh, H, states = radius * random, np.zeros((1, h)), []
            for x in X:
                H = x @ W_xh + H @ W_hh
                H = np.tanh(H) if phi == "tanh" else H
                states.append(H)
            B = np.ones((1, h)) / h**0.5
            for back, H in enumerate(reversed(states)):
                name = f"radius {radius}, {phi}"
                found.append({"W_hh": name, "back": back, "norm": float(np.linalg.norm(B))})
                B = (B * (1 - H * H) if phi == "tanh" else B) @ W_hh.T
    return found


def solution_1(backend: str) -> None:
    """The plateau: the perplexity of who knows only how common each character is."""
    corpus = load_corpus()
    share = np.bincount(corpus.tokens, minlength=corpus.q) / len(corpus.tokens)
    share = share[share > 0]
    print(f"{np.exp(-(share * np.log(share)).sum()):.2f} of {len(share)} characters")


def solution_2(backend: str) -> None:
    """The first gradient of the lowest layer over that of the top one, by depth and draw."""
    corpus = load_corpus()
    for scheme in ("d2l", "pytorch"):
        shares = []
        for L in (1, 2, 3, 4):
            recipe = Recipe(1.0, NO_CLIP, n=8, T=8)
            spec = stack("lstm", corpus, L, 16)
            run = begin(spec, recipe, backend, "float64", initialise(spec, scheme, 1))
            _, X, Y = next(endless(corpus, recipe))
            grads = run.model.loss_and_gradients(X, Y, zero_state(spec, 8, "float64")).gradients
            shares.append(layer_norm(grads, 1) / layer_norm(grads, L))
        print(f"{scheme:8}", "  ".join(f"{share:.0e}" for share in shares))


def main(words: list[str] | None = None) -> int:
    return run("convergence", (solution_1, solution_2), measure, words)


if __name__ == "__main__":
    sys.exit(main())
