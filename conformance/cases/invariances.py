"""What must hold for one implementation alone, whatever is right.

An invariance runs the implementation again on a changed question. What comes out must equal
something in its own first answer, or, for an option that was switched, must not.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.parameters import Arrays, layer_parameters, parameter_shapes, prefix
from common.spec import ModelSpec
from conformance.cases.table import Case, Material

Ask = Callable[..., Arrays]
"""(spec, params, X, state), and lengths if the examples have some → O (T, n, q), and the last
state's H and C (D·L, n, h)."""


@dataclass(frozen=True)
class Invariance:
    """
    name:     how it is called in a record
    ask:      from the case and a way to run the implementation, to what it computed
    own:      from its first answer (O, H, C), to what that must equal, or differ from
    differs:  True if it must differ
    exact:    True if it must be equal to the bit
    spec:     the changed spec that the implementation must support; None if it is unchanged
    """

    name: str
    ask: Callable[[Ask], Arrays]
    own: Callable[[Arrays], Arrays]
    differs: bool = False
    spec: ModelSpec | None = None
    exact: bool = False

    @property
    def far(self) -> bool:
        """Whether it is that a far input is read, which half precision may round away."""
        return self.differs and self.spec is None


def invariances(case: Case, given: Material) -> list[Invariance]:
    """Those that apply to a case (with T ≥ 3 and n ≥ 2)."""
    in_time = _two_ways if case.spec.directions == 2 else _one_way
    return [
        *in_time(case, given),
        *(_of_lengths(case, given) if case.lengths else [_row(case, given)]),
        _permuted(case, given),
        _stacked(case, given),
        *_options(case, given),
    ]


def _one_way(case: Case, given: Material) -> list[Invariance]:
    # A sequence that is cut would leave examples without a step.
    return [*([] if case.lengths else [_split(case, given)]), *_causal(case, given)]


def _two_ways(case: Case, given: Material) -> list[Invariance]:
    return [_mirrored(case, given), _read_everywhere(case, given)]


def _split(case: Case, given: Material) -> Invariance:
    """T steps in one call equal two calls with the state carried over."""
    X, cut = given.X[0], case.T // 2

    def ask(run: Ask) -> Arrays:
        first = run(case.spec, given.params, X[:cut], given.state)
        state = {part: first[part] for part in given.state}
        second = run(case.spec, given.params, X[cut:], state)
        return second | {"O": np.concatenate([first["O"], second["O"]])}

    return Invariance("split", ask, lambda own: own)


def _row(case: Case, given: Material) -> Invariance:
    """A row of a batch equals that row alone."""
    row = slice(case.n - 1, case.n)
    state = {part: array[:, row] for part, array in given.state.items()}
    return Invariance(
        "row-alone",
        lambda run: run(case.spec, given.params, given.X[0][:, row], state),
        lambda own: {name: array[:, row] for name, array in own.items()},
    )


def _of_lengths(case: Case, given: Material) -> list[Invariance]:
    """What is behind an example's end changes nothing, not a bit; an example alone, cut at its end,
    gives the same; other lengths do not."""
    lengths, T = given.lengths_of(0), case.T
    if lengths is None:
        return []
    behind, X = np.arange(T)[:, None] >= lengths, given.X[0].copy()
    X[behind] = 1 - 3 * X[behind]
    row = int(np.argmax(np.where(lengths < T, lengths, 0)))
    end, own = int(lengths[row]), slice(row, row + 1)
    state = {part: array[:, own] for part, array in given.state.items()}
    question = case.spec, given.params
    whole = np.full(case.n, T)
    return [
        Invariance(
            "behind-the-end",
            lambda run: run(*question, X, given.state, lengths),
            lambda first: first,
            exact=True,
        ),
        Invariance(
            "alone-to-its-end",
            lambda run: run(*question, given.X[0][:end, own], state),
            lambda first: {n: a[:end, own] if n == "O" else a[:, own] for n, a in first.items()},
        ),
        Invariance(
            "lengths-read",
            lambda run: run(*question, given.X[0], given.state, whole),
            lambda first: first,
            differs=True,
        ),
    ]


def _lengths(given: Material, order: np.ndarray | None = None) -> list[np.ndarray]:
    """Of the first minibatch's examples, as one more thing to say, in another order perhaps."""
    found = given.lengths_of(0)
    return [] if found is None else [found if order is None else found[order]]


def _permuted(case: Case, given: Material) -> Invariance:
    """Permuting the batch permutes the outputs."""
    order = np.roll(np.arange(case.n), 1)
    state = {part: array[:, order] for part, array in given.state.items()}
    return Invariance(
        "permuted",
        lambda run: run(
            case.spec, given.params, given.X[0][:, order], state, *_lengths(given, order)
        ),
        lambda own: {name: array[:, order] for name, array in own.items()},
    )


def _causal(case: Case, given: Material) -> list[Invariance]:
    """Changing x_t changes nothing before t, and does change step t."""
    t = case.T // 2
    X = given.X[0].copy()
    X[t] = -X[t]

    @functools.cache
    def ask(run: Ask) -> np.ndarray:
        return run(case.spec, given.params, X, given.state, *_lengths(given))["O"]

    def at(O: np.ndarray) -> Arrays:
        return {"O": O[t : t + 1]}

    return [
        Invariance("causal", lambda run: {"O": ask(run)[:t]}, lambda own: {"O": own["O"][:t]}),
        Invariance("input-read", lambda run: at(ask(run)), lambda own: at(own["O"]), differs=True),
    ]


def _mirrored(case: Case, given: Material) -> Invariance:
    """Reversed inputs and exchanged directions give reversed outputs and exchanged states. Every
    example is reversed within its own steps."""
    spec, half = case.spec, np.arange(case.spec.rows) ^ 1
    lengths, t = given.lengths_of(0), np.arange(case.T)[:, None]
    ends = np.full(case.n, case.T) if lengths is None else lengths
    mirror = np.where(t < ends, ends - 1 - t, t)[..., None]
    halves = {layer: spec.size_of("H", layer) for layer in range(1, spec.L + 1)}
    top = given.params["output.W_hq"]
    params: Arrays = {"output.W_hq": np.roll(top, halves[spec.L], axis=0)}
    for layer, backward in spec.passes:
        for name, array in layer_parameters(given.params, layer, not backward).items():
            reads_both = layer > 1 and name.startswith("W_x")
            mirrored = np.roll(array, halves[layer - 1], axis=0) if reads_both else array
            params[f"{prefix(layer, backward)}{name}"] = mirrored
    params = {name: params.get(name, array) for name, array in given.params.items()}
    state = {part: array[half] for part, array in given.state.items()}

    def ask(run: Ask) -> Arrays:
        X = np.take_along_axis(given.X[0], mirror, axis=0)
        answer = run(spec, params, X, state, *_lengths(given))
        O = np.take_along_axis(answer["O"], mirror, axis=0)
        return {name: O if name == "O" else a[half] for name, a in answer.items()}

    return Invariance("mirrored", ask, lambda own: own)


def _read_everywhere(case: Case, given: Material) -> Invariance:
    """Changing x_T, or each example's last step, changes step 1."""
    X, lengths = given.X[0].copy(), given.lengths_of(0)
    last = (slice(-1, None) if lengths is None else lengths - 1), np.arange(case.n)
    X[last] = -X[last]
    return Invariance(
        "future-read",
        lambda run: {"O": run(case.spec, given.params, X, given.state, *_lengths(given))["O"][:1]},
        lambda own: {"O": own["O"][:1]},
        differs=True,
    )


def _stacked(case: Case, given: Material) -> Invariance:
    """L layers equal L one-layer models stacked. An identity as the output layer of a one-layer
    model shows its hidden states."""
    spec = case.spec

    def ask(run: Ask) -> Arrays:
        below, lasts = given.X[0], list[Arrays]()
        for layer in range(1, spec.L + 1):
            top = layer == spec.L
            one = spec.alone(layer)
            one = dataclasses.replace(one, q=spec.q if top else one.width)
            params = {
                f"{prefix(1, backward)}{name}": array
                for backward in spec.ways
                for name, array in layer_parameters(given.params, layer, backward).items()
            }
            params["output.W_hq"] = given.params["output.W_hq"] if top else np.eye(one.width)
            params["output.b_q"] = given.params["output.b_q"] if top else np.zeros(one.width)
            rows = slice(spec.row(layer), spec.row(layer) + spec.directions)
            state = {part: array[rows, :, : one.most(part)] for part, array in given.state.items()}
            answer = run(one, params, below, state, *_lengths(given))
            below = answer.pop("O").astype("float64")
            lasts.append(answer)
        states = {
            part: np.concatenate([_as_wide(last[part], whole) for last in lasts])
            for part, whole in given.state.items()
        }
        return {"O": below.astype(lasts[0]["H"].dtype), **states}

    return Invariance("stacked", ask, lambda own: own)


def _as_wide(rows: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The rows of a smaller layer as they lie in the state of a stack."""
    return np.pad(rows, ((0, 0), (0, 0), (0, whole.shape[-1] - rows.shape[-1])))


def _options(case: Case, given: Material) -> list[Invariance]:
    """Switching any option of the spec changes the result: one that changes nothing is ignored."""
    return [
        Invariance(
            f"option-{name}",
            lambda run, spec=spec, params=params, state=state: {
                "O": run(spec, params, given.X[0], state, *_lengths(given))["O"]
            },
            lambda own: {"O": own["O"]},
            differs=True,
            spec=spec,
        )
        for name, spec, params, state in _switched(case.spec, given)
    ]


def _switched(spec: ModelSpec, given: Material) -> list[tuple[str, ModelSpec, Arrays, Arrays]]:
    switched: list[tuple[str, ModelSpec, Arrays, Arrays]] = []
    for layer, activation in enumerate(spec.activations):
        other = "relu" if activation == "tanh" else "tanh"
        activations = (*spec.activations[:layer], other, *spec.activations[layer + 1 :])
        changed = dataclasses.replace(spec, activations=activations)
        switched.append((f"activation-{layer + 1}", changed, given.params, given.state))
    if spec.reset is not None:
        other = "before" if spec.reset == "after" else "after"
        changed = dataclasses.replace(spec, reset=other)
        switched.append(("reset", changed, _other_reset(changed, given.params), given.state))
    if spec.L > 1 and spec.even:  # otherwise the output layer's matrix fits no other layer
        changed = dataclasses.replace(spec, L=spec.L - 1, activations=spec.activations[:-1])
        params = {name: given.params[name] for name in parameter_shapes(changed)}
        state = {part: array[: -spec.directions] for part, array in given.state.items()}
        switched.append(("layers", changed, params, state))
    if spec.directions == 2:
        changed = dataclasses.replace(spec, directions=1)
        shapes = parameter_shapes(changed)
        params = {name: given.params[name][: shape[0]] for name, shape in shapes.items()}
        state = {part: array[::2] for part, array in given.state.items()}
        switched.append(("directions", changed, params, state))
    if spec.peepholes:
        changed = dataclasses.replace(spec, peepholes=False)
        params = {name: given.params[name] for name in parameter_shapes(changed)}
        switched.append(("peepholes", changed, params, given.state))
    if spec.gate_clip is not None:
        changed = dataclasses.replace(spec, gate_clip=None)
        switched.append(("gate-clip", changed, given.params, given.state))
    return switched


def _other_reset(changed: ModelSpec, params: Arrays) -> Arrays:
    """The same numbers for the other reset variant; one bias becomes two equal halves, or back."""
    other: Arrays = {}
    for name in parameter_shapes(changed):
        layer = name.rpartition(".")[0]
        if name in params:
            other[name] = params[name]
        elif name.endswith(".b_h"):
            other[name] = params[f"{layer}.b_xh"] + params[f"{layer}.b_hh"]
        else:
            other[name] = params[f"{layer}.b_h"] / 2
    return other
