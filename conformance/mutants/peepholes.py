"""The LSTM's peepholes and the clip of its gates: at another place, in another order, or left out
(LSTM-8 to LSTM-11)."""

import itertools
from collections.abc import Callable

from common.parameters import Arrays
from common.spec import ModelSpec
from conformance.mutants.mapping import nothing, renamed, times
from conformance.mutants.mutant import Mutant
from conformance.mutants.projection import reversed_rows
from conformance.mutants.training import frozen_where, norm_of, over
from conformance.oracle.conventions import Conventions, Parameters, peep
from conformance.oracle.equations import Value, clamped, relu, tanh


def has_peepholes(spec: ModelSpec) -> bool:
    return spec.peepholes


def has_clip(spec: ModelSpec) -> bool:
    return spec.gate_clip is not None


def is_peephole(name: str) -> bool:
    return name.rpartition(".")[2].startswith("P_")


def is_other(name: str) -> bool:
    return not is_peephole(name)


def peepholes(change: Callable[[Value], Value], only: str = "ifo"):
    """Each of them changed before a layer reads it."""
    names = {f"P_{gate}" for gate in only}

    def read(spec: ModelSpec, layer: int, p: Parameters) -> Parameters:
        return {n: change(a) if n in names else a for n, a in p.items()}

    return read


def output_sees_the_past(gate: str, p: Parameters, before: Value, after: Value | None) -> Value:
    return peep(gate, p, before, None)


def through_tanh(gate: str, p: Parameters, before: Value, after: Value | None) -> Value:
    return peep(gate, p, tanh(before), None if after is None else tanh(after))


def cut(only: str):
    """C is seen as a constant."""

    def found(gate: str, p: Parameters, before: Value, after: Value | None) -> Value:
        C = before if after is None else after
        return (Value(C.data) if gate in only else C) * p[f"P_{gate}"]

    return found


def without_gradient(spec: ModelSpec, grads: Arrays) -> Arrays:
    return {n: 0 * a if is_peephole(n) else a for n, a in grads.items()}


def at(factor: float):
    return lambda a, kappa: clamped(a, factor * kappa)


def with_all_gradients(a: Value, kappa: float) -> Value:
    """What was clipped has the gradient of what was not."""
    return Value(clamped(a, kappa).data, ((a, lambda g: g),))


def from_above(a: Value, kappa: float) -> Value:
    """min(a, κ) = κ − max(κ − a, 0)"""
    return plus(kappa, times(-1, relu(plus(kappa, times(-1, a)))))


def from_below(a: Value, kappa: float) -> Value:
    return times(-1, from_above(times(-1, a), kappa))


def plus(number: float, a: Value) -> Value:
    return Value(a.data + a.data.dtype.type(number), ((a, lambda g: g),))


def softly(a: Value, kappa: float) -> Value:
    """κ tanh(a/κ)"""
    return times(kappa, tanh(times(1 / kappa, a)))


def _orders() -> list[Mutant]:
    """Gate g's peephole is read where ``order`` has another's: ONNX has them as i, o, f."""
    found = []
    for order in itertools.islice(itertools.permutations("ifo"), 1, None):
        read = renamed(**{f"P_{g}": f"P_{other}" for g, other in zip("ifo", order, strict=True)})
        taken = ",".join("ifo"[order.index(gate)] for gate in "ifo")
        found.append(
            _peep(
                f"peepholes read as {','.join(order)}",
                f"the peepholes i,f,o are taken for {taken}",
                read=(read,),
            )
        )
    return found


def _peep(name: str, says: str, forward: bool = True, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), has_peepholes, forward=forward)


def _clip(name: str, says: str, forward: bool = True, **choices) -> Mutant:
    return Mutant(name, says, Conventions(**choices), has_clip, forward=forward)


def places(*where: str) -> frozenset[str]:
    return frozenset(where)


PEEPHOLES = [
    *_orders(),
    _peep("peepholes ignored", "the gates do not see C", read=(peepholes(nothing),)),
    _peep("output gate's peephole dropped", "the output gate does not see C",
          read=(peepholes(nothing, "o"),)),
    _peep("output gate's peephole alone", "the input and forget gates do not see C",
          read=(peepholes(nothing, "if"),)),
    _peep("peepholes doubled", "the peepholes are added twice",
          read=(peepholes(lambda P: times(2, P)),)),
    _peep("peepholes negated", "the peepholes are subtracted",
          read=(peepholes(lambda P: times(-1, P)),)),
    _peep("peepholes reversed", "the units of the peepholes are in reverse order",
          read=(peepholes(reversed_rows),)),
    _peep("output gate sees C_{t−1}", "the output gate sees C_{t−1}, as the others do",
          peep=output_sees_the_past),
    _peep("input and forget gates see C_t", "the input and forget gates see the C_t that they "
          "would have made", again=True),
    _peep("gates see tanh(C)", "the gates see tanh(C)", peep=through_tanh),
    _peep("peepholes forgotten backward", "no gradient reaches C through the peepholes",
          forward=False, peep=cut("ifo")),
    _peep("output gate's peephole forgotten backward", "no gradient reaches C_t through the output "
          "gate's peephole", forward=False, peep=cut("o")),
    _peep("peepholes get no gradient", "the peepholes get no gradient", forward=False,
          gradients=(without_gradient,)),
    _peep("norm without the peepholes", "the peepholes are left out of the norm", forward=False,
          clip=norm_of(is_other)),
    _peep("clip without the peepholes", "the peepholes are left out of the clip", forward=False,
          clip=over(is_other)),
    _peep("peepholes frozen", "the peepholes are not updated", forward=False,
          descend=frozen_where(is_peephole)),
    _clip("gates not clipped", "nothing is clipped before σ and tanh", bounded=places()),
    _clip("clip after σ and tanh", "the gates are clipped after σ and tanh",
          bounded=places("σi", "σf", "σo", "σc")),
    _clip("clip of C instead", "C_t is clipped, and not the gates", bounded=places("C")),
    _clip("clip of C, too", "C_t is clipped, too", bounded=places(*"ifoc", "C")),
    _clip("candidate not clipped", "the candidate is not clipped", bounded=places(*"ifo")),
    _clip("candidate alone clipped", "the candidate alone is clipped", bounded=places("c")),
    _clip("output gate not clipped", "the output gate is not clipped", bounded=places(*"ifc")),
    _clip("clip before the biases", "the products are clipped before biases and peepholes are "
          "added", bounded=places(*(f"products {gate}" for gate in "ifoc"))),
    _clip("clip at κ/2", "the gates are clipped to ±κ/2", bound=at(0.5)),
    _clip("clip at 2κ", "the gates are clipped to ±2κ", bound=at(2)),
    _clip("clip 1 % too high", "the gates are clipped to ±1.01 κ", bound=at(1.01)),
    _clip("clip from above alone", "the gates are clipped from above alone", bound=from_above),
    _clip("clip from below alone", "the gates are clipped from below alone", bound=from_below),
    _clip("soft clip", "the gates are bounded as κ tanh(a/κ)", bound=softly),
    _clip("clipped gates have gradients", "what was clipped has a gradient, too", forward=False,
          bound=with_all_gradients),
]  # fmt: skip
