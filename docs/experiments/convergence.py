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
STEPS_AN_EPOCH = 19
"""Of the sample's 10,000 characters in minibatches of 32 × 16."""


@reference_only
def measure(short: bool) -> Found:
    corpus = load_corpus()
    steps, h, rates = (3, 8, (1, 64)) if short else (8 * STEPS_AN_EPOCH, 32, RATES)
    depths = (1, 2) if short else (1, 2, 4)
    swept = [
        one_rate(corpus, cell, clip, rate, h, steps)
        for cell in CELLS
        for clip in CLIPS
        for rate in rates
    ]
    starts = [one_start(corpus, scheme, L, h, steps) for scheme in INITIALISERS for L in depths]
    norms, values = gradient_norms(corpus, h, steps)
    tables = {
        "rates": swept,
        "starts": starts,
        "norms": norms,
        "through_time": through_time(corpus),
    }
    values |= {"steps": steps, "h": h}
    for cell in CELLS:
        for clip, name in zip(CLIPS, ("clipped", "free"), strict=True):
            ends = [r for r in swept if (r["cell"], r["clip"]) == (cell, clip) and r["perplexity"]]
            best = min(ends, key=lambda row: row["perplexity"])
            values |= {f"{cell}_{name}": best["perplexity"], f"{cell}_{name}_rate": best["rate"]}
    return {"values": values, "tables": tables}


def one_rate(corpus: Corpus, cell: str, clip: str, rate: float, h: int, steps: int) -> Found:
    """Where training ends with a learning rate; no perplexity where a number was not finite."""
    recipe = Recipe(float(rate), CLIPS[clip], n=32, T=16)
    with np.errstate(all="ignore"):
        trained = train(begin(stack(cell, corpus, 2, h), recipe), corpus, steps)
    end = trained.lately(STEPS_AN_EPOCH) if len(trained.losses) == steps else None
    end = end if end is not None and np.isfinite(end) else None
    # A chart's axis has to end somewhere, and what is worse than guessing is all one.
    shown = min(end, 100.0) if end else 100.0
    return {"cell": cell, "clip": clip, "rate": rate, "perplexity": end, "shown": shown}


def one_start(corpus: Corpus, scheme: str, L: int, h: int, steps: int) -> Found:
    """How a stack of LSTM layers trains from an initialiser's draw, and how much of the first
    gradient reaches the first layer."""
    spec = stack("lstm", corpus, L, h)
    params = initialise(spec, scheme, 1)
    trained = begin(spec, Recipe(8.0, 0.25, n=32, T=16), params=params)
    _, X, Y = next(endless(corpus, trained.recipe))
    grads = trained.model.loss_and_gradients(X, Y, zero_state(spec, 32, "float32")).gradients
    first, top = (layer_norm(grads, layer) for layer in (1, L))
    train(trained, corpus, steps)
    return {
        "initialiser": scheme,
        "layers": L,
        "perplexity": trained.lately(STEPS_AN_EPOCH),
        "first layer's gradient": first,
        "top layer's gradient": top,
    }


def layer_norm(grads: dict, layer: int) -> float:
    squares = [
        float((g * g).sum()) for name, g in grads.items() if name.startswith(f"layer{layer}.")
    ]
    return sum(squares) ** 0.5


def gradient_norms(corpus: Corpus, h: int, steps: int) -> tuple[list[Found], Found]:
    """The norm of every step's gradient before the clip, for each cell at a rate that trains."""
    found, values = [], {}
    for cell, rate in (("rnn", 1.0), ("gru", 4.0), ("lstm", 8.0)):
        recipe = Recipe(rate, 0.25, n=32, T=16)
        norms = train(begin(stack(cell, corpus, 2, h), recipe), corpus, steps).norms
        found += [{"cell": cell, "step": k, "norm": v} for k, v in enumerate(norms, 1)]
        values |= {
            f"{cell}_clipped_share": float(np.mean(np.array(norms) > 0.25)),
            f"{cell}_median_norm": float(np.median(norms)),
            f"{cell}_largest_norm": max(norms),
        }
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
