"""Cases of wider stacks: two directions, lengths, layers of different sizes, a projection, dropout,
peepholes, and gates that are clipped.

The main job has the fewest that tell the wrong conventions of these; the others are asked with
``--cases 'large-*'`` only, and the certificates need them.
"""

from dataclasses import replace

from common.spec import ModelSpec
from conformance.cases.case import FAMILIES, Case, make_spec

P = 2
"""How many numbers H is projected to."""


KAPPA = 0.375
"""To which gates are clipped: some of every gate's pre-activations are beyond it, most are not."""


def uneven(family: str, *sizes: int, **more: int) -> ModelSpec:
    spec = make_spec(family, 5, max(sizes), 4, len(sizes))
    return replace(spec, sizes=sizes, **more)


def projected(L: int, directions: int = 1) -> ModelSpec:
    return replace(make_spec("lstm", 5, 7, 4, L), p=P, directions=directions)


def _bidirectional() -> list[Case]:
    """Two layers of each family, and one and three of those that cost frameworks most."""
    sizes = [(family, 2) for family in FAMILIES] + [("lstm", 1), ("gru-after", 3)]
    asked = ("lstm-bidirectional-L1", "gru-after-bidirectional-L2")
    return [
        Case(name, make_spec(family, 5, 7, 4, L, directions=2), invariances=name in asked)
        for family, L in sizes
        for name in [f"{family}-bidirectional-L{L}"]
    ]


def _of_lengths() -> list[Case]:
    """Examples of 1 to T steps, in no order, and one minibatch in which none has T."""
    sizes = [
        ("lstm", 2, 1, (4, 6, 1)),
        ("lstm", 2, 2, (4, 6, 1)),
        ("lstm", 1, 2, (2, 5, 3)),
        ("gru-after", 2, 2, (3, 6, 2)),
        ("gru-before", 2, 2, (5, 1, 4)),
        ("rnn-tanh", 2, 2, (4, 6, 2)),
    ]
    return [
        Case(
            f"{family}-{'bidirectional-' * (directions == 2)}lengths-L{L}",
            make_spec(family, 5, 7, 4, L, directions),
            invariances=family in ("lstm", "gru-after") and L == 2,
            lengths=lengths,
        )
        for family, L, directions, lengths in sizes
    ]


def dropped(name: str, spec: ModelSpec, lengths: tuple[int, ...] = ()) -> Case:
    """A rate of which neither 1 − r nor its inverse is a power of two, nor r = 1 − r."""
    return Case(name, spec, lengths=lengths, dropout=0.4)


def both_ways(family: str, L: int) -> ModelSpec:
    return make_spec(family, 5, 7, 4, L, directions=2)


def peeping(spec: ModelSpec) -> ModelSpec:
    return replace(spec, peepholes=True)


def clipped(spec: ModelSpec) -> ModelSpec:
    return replace(spec, gate_clip=KAPPA)


def lstm(L: int) -> ModelSpec:
    return make_spec("lstm", 5, 7, 4, L)


WIDER = [
    *_bidirectional(),
    *_of_lengths(),
    Case("lstm-uneven-L3", uneven("lstm", 9, 2, 7), invariances=True),
    Case("gru-after-uneven-L2", uneven("gru-after", 7, 9)),
    Case("lstm-projected-L2", projected(2), invariances=True),
    Case("lstm-projected-bidirectional-L2", projected(2, directions=2)),
    Case("lstm-projected-uneven-L2", uneven("lstm", 7, 9, p=P)),
    dropped("lstm-dropout-bidirectional-L3", both_ways("lstm", 3)),
    Case("lstm-peepholes-clipped-L2", peeping(clipped(lstm(2))), invariances=True),
]

LARGE_WIDER = [
    Case("large-uneven-rnn-tanh-L3", uneven("rnn-tanh", 2, 9, 7)),
    Case("large-uneven-rnn-relu-L2", uneven("rnn-relu", 9, 7)),
    Case("large-uneven-gru-before-L2", uneven("gru-before", 9, 7)),
    Case("large-uneven-bidirectional-L2", uneven("gru-after", 7, 9, directions=2)),
    Case("large-projected-L1", projected(1)),
    Case("large-projected-L3", projected(3)),
    Case("large-projected-uneven-bidirectional-L2", uneven("lstm", 9, 7, p=P, directions=2)),
    dropped("large-dropout-lstm-L3", make_spec("lstm", 5, 7, 4, 3)),
    dropped("large-dropout-gru-after-bidirectional-L2", both_ways("gru-after", 2)),
    dropped("large-dropout-gru-before-bidirectional-L3", both_ways("gru-before", 3)),
    dropped("large-dropout-rnn-tanh-bidirectional-L3", both_ways("rnn-tanh", 3)),
    dropped("large-dropout-bidirectional-lengths-L3", both_ways("lstm", 3), (2, 6, 4)),
    dropped("large-dropout-lstm-L4", make_spec("lstm", 5, 7, 4, 4)),
    dropped("large-dropout-projected-L3", projected(3)),
    dropped("large-dropout-uneven-L3", uneven("lstm", 7, 4, 9)),
    Case("large-peepholes-L1", peeping(lstm(1))),
    Case("large-peepholes-L3", peeping(lstm(3))),
    Case("large-peepholes-projected-L2", peeping(projected(2))),
    Case(
        "large-peepholes-bidirectional-lengths-L2", peeping(both_ways("lstm", 2)), lengths=(4, 6, 2)
    ),
    Case("large-clipped-L1", clipped(lstm(1))),
    Case("large-clipped-bidirectional-L2", clipped(both_ways("lstm", 2))),
    Case("large-clipped-uneven-lengths-L2", clipped(uneven("lstm", 9, 7)), lengths=(3, 5, 6)),
    dropped("large-clipped-dropout-L3", clipped(lstm(3))),
    Case(
        "large-peepholes-clipped-bidirectional-lengths-L2",
        peeping(clipped(both_ways("lstm", 2))),
        lengths=(6, 2, 5),
    ),
]
