"""Whether ``diagnose`` ever says "all right" of somebody's network that is not.

Every wrong convention of the catalogue that outputs can show is put into a network of every cell in
every layout. The weights are stored as that layout's framework would, the outputs are the oracle's,
which shares no code with the evaluator that answers.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from common.parameters import GATES, Arrays, initialise, layer_parameters, state_shapes
from common.spec import CELLS, Cell, ModelSpec
from conformance.calibrate.pool import spread
from conformance.closeness.compare import agreement, load_bounds
from conformance.diagnose.answer import Asked
from conformance.diagnose.command import diagnose
from conformance.models.frameworks import Settings, settings
from conformance.models.given import Given
from conformance.models.layouts import LAYOUTS
from conformance.models.network import Direction, Network
from conformance.models.reading import Loaded, read_network
from conformance.models.writing import write_network
from conformance.mutants import CATALOGUE, Mutant, applicable
from conformance.oracle.conventions import TRUTH, Conventions
from conformance.oracle.evaluation import forward
from conformance.progress import Progress

T, N, D, H, L = 5, 3, 4, 5, 3
SEED = 23
BOUND = load_bounds()["cpu"]["float64"]["outputs"]

OWN = {
    ("tf1", "lstm"): "forget bias 1 at run time",
    ("keras1", "lstm"): "hard sigmoid, slope 0.2",
    ("keras1", "gru"): "hard sigmoid, slope 0.2",
    ("keras2", "lstm"): "hard sigmoid, slope 0.2",
    ("keras2", "gru"): "hard sigmoid, slope 0.2",
}
"""What is no mutant but the rule in some frameworks."""


@dataclass(frozen=True)
class Trial:
    """A fault that was put in. right: whether the framework makes the same outputs here
    said: the verdict        passed: whether the exit code was 0"""

    layout: str
    cell: str
    fault: str
    right: bool
    said: str
    passed: bool

    @property
    def false(self) -> bool:
        """All right was said of what is not, or the reverse."""
        return self.passed and not self.right


def kinds() -> list[tuple[str, Cell, int]]:
    """Layout, cell, and biases of each gate: a GRU of Keras with two resets after, with one
    before."""
    found: list[tuple[str, Cell, int]] = []
    for layout, table in LAYOUTS.items():
        for cell in CELLS:
            if cell in table.order:
                found.append((layout, cell, 2))
                if cell == "gru" and layout in ("keras", "keras2"):
                    found.append((layout, cell, 1))
    return found


def trials(kind: tuple[str, Cell, int]) -> list[Trial]:
    """Every mutant of the forward pass, and the framework itself."""
    return list(_trials(*kind))


def _trials(layout: str, cell: Cell, biases: int) -> Iterator[Trial]:
    spec, params, loaded, usual = subject(layout, cell, biases)
    rng = np.random.RandomState(SEED)
    X = rng.standard_normal((T, N, D))
    state = {part: rng.standard_normal(shape) for part, shape in state_shapes(spec, N).items()}

    def outputs(conventions: Conventions) -> np.ndarray:
        with np.errstate(all="ignore"):
            return forward(conventions, spec, params, X, state)["forward/O"]

    own = next((m.conventions for m in CATALOGUE if m.name == OWN.get((layout, cell))), TRUTH)
    right = outputs(own)
    faults: list[tuple[str, Conventions]] = [("nothing", own), ("nothing, by the oracle", TRUTH)]
    faults += [(m.name, m.conventions) for m in applicable(spec) if shown(m)]
    for name, conventions in faults:
        made = outputs(conventions)
        same = agreement(made, right, BOUND, 1.0) is not None
        answer = asked(layout, loaded, usual, X, made, state)
        yield Trial(layout, cell, name, same, answer.verdict, answer.code == 0)


def shown(mutant: Mutant) -> bool:
    """Whether outputs can show it; what is given back as final states is not in the file."""
    return mutant.forward and mutant.conventions.changed() != {"reported"}


def subject(layout: str, cell: Cell, biases: int) -> tuple[ModelSpec, Arrays, Loaded, Settings]:
    """A spec that is the framework's own, its parameters, and the file of them, read again."""
    drawn = ModelSpec(
        cell, D, H, H, L, ("tanh",) * L if cell == "rnn" else (),
        "after" if cell == "gru" else None,
    )  # fmt: skip
    first = read_network(write_network(network(drawn, weights(drawn), biases), layout), layout, "")
    usual = settings(layout, first.network, {}, "")
    phi = usual.choices.activations.get("h", "tanh")
    reset = ("after" if usual.choices.reset == "after" else "before") if cell == "gru" else None
    spec = ModelSpec(cell, D, H, H, L, (phi,) * L if cell == "rnn" else (), reset)
    params = weights(spec)
    one = layout in ("flax", "tf1", "keras1") or biases == 1
    if spec.reset == "after" and one:
        params = {n: 0 * a if n.endswith("b_hh") else a for n, a in params.items()}
    loaded = read_network(write_network(network(spec, params, biases), layout), layout, "")
    return spec, params, loaded, usual


def weights(spec: ModelSpec) -> Arrays:
    """Random, but for the output layer: outputs are H."""
    params = initialise(spec, "uniform", SEED)
    return params | {"output.W_hq": np.eye(spec.h), "output.b_q": np.zeros(spec.h)}


def network(spec: ModelSpec, params: Arrays, biases: int) -> Network:
    layers = []
    for layer in range(1, spec.L + 1):
        p, gates = layer_parameters(params, layer), GATES[spec.cell]
        W, U = (np.hstack([p[f"W_{side}{g}"] for g in gates]) for side in "xh")
        b_x = np.concatenate([p[f"b_{g}"] if f"b_{g}" in p else p["b_xh"] for g in gates])
        none = np.zeros(spec.h)
        b_h = np.concatenate([none if f"b_{g}" in p else p["b_hh"] for g in gates])
        layers.append((Direction(W, U, b_x, b_h),))
    return Network(spec.cell, tuple(layers), None, biases)


def asked(
    layout: str, loaded: Loaded, usual: Settings, X: np.ndarray, outputs: np.ndarray, state: Arrays
):
    """The answer of ``diagnose`` to these outputs, as the layout's framework orders the axes."""
    if usual.axis == "batch":
        X, outputs = X.swapaxes(0, 1), outputs.swapaxes(0, 1)
    given = Given(X, outputs, state, None, "float64", ())
    question = Asked(layout, {}, loaded, BOUND.error)
    return diagnose(question, given, usual, BOUND, Progress(quiet=True))


@dataclass(frozen=True)
class OwnScore:
    """All trials, and what follows from them."""

    trials: list[Trial]

    @property
    def false(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.false]

    @property
    def missed(self) -> list[Trial]:
        """What the framework computes, and yet was not called all right."""
        return [t for t in self.trials if t.fault == "nothing" and not t.passed]

    @property
    def holds(self) -> bool:
        return bool(self.trials) and not self.false and not self.missed

    def lines(self) -> list[str]:
        wrong = [trial for trial in self.trials if not trial.right]
        named = sum(trial.said in ("wrong", "another option") for trial in wrong)
        return [
            f"somebody's own networks: {len(wrong)} wrong ones in {len(LAYOUTS)} layouts, "
            f'{named} named, false "all right": {len(self.false)}',
        ]

    def markdown(self) -> str:
        lines = [
            "\n## Somebody's own network\n",
            "The same wrong conventions, those that outputs show, in a network of three layers",
            "stored in every layout that `diagnose` reads, and asked of `diagnose`. *Named* are",
            "those of which it gives conventions, or another option of the framework, that",
            "reproduce all outputs. A false *all right* would be an exit code 0 for outputs that",
            "the framework does not make.\n",
            "| layout | wrong networks | named | not named | false all right |",
            "|---|---|---|---|---|",
        ]
        for layout in LAYOUTS:
            mine = [t for t in self.trials if t.layout == layout and not t.right]
            said = Counter(t.said in ("wrong", "another option") for t in mine)
            false = sum(t.false for t in mine)
            lines.append(f"| {layout} | {len(mine)} | {said[True]} | {said[False]} | {false} |")
        left = Counter(t.fault for t in self.trials if not t.right and t.said == "unknown")
        if left:
            said = ", ".join(f"*{name}* ({count})" for name, count in left.items())
            lines.append(f"\nNot named in so many layouts: {said}.")
        return "\n".join(lines) + "\n"


def measure_own(progress: Progress, workers: int = 1) -> OwnScore:
    found = spread(trials, kinds(), "own networks", progress, workers)
    return OwnScore([trial for some in found for trial in some])
