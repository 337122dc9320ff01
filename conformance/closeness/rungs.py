"""The rungs of the ladder, and which of them somebody answers."""

from common.errors import BadInput

RUNGS = ("weights", "outputs", "loss", "gradients", "clip", "steps", "invariances")
"""The ladder, from the bottom up; the invariances stand beside it."""

_RUNG_OF = {
    "weights": "weights",
    "forward": "outputs",
    "trace": "outputs",
    "loss": "loss",
    "gradients": "gradients",
    "clip": "clip",
    "step-1": "steps",
    "step-K": "steps",
    "invariance": "invariances",
}

WHOLE = ""
"""In the place of a rung: the whole ladder is answered."""


def rung_of(tensor: str) -> str:
    """The rung that a recorded tensor belongs to: ``gradients/layer1.W_xh`` to gradients."""
    return _RUNG_OF[tensor.split("/")[0]]


def has_rung(tensor: str) -> bool:
    """True; BadInput for a tensor of a record that is of no rung."""
    if tensor.split("/")[0] not in _RUNG_OF:
        raise BadInput("record", tensor, "a tensor of a known rung", tensor)
    return True


def answered_by(top: str) -> tuple[str, ...]:
    """The rungs up to one, of whoever answers a part of the ladder; the invariances are asked of
    the outputs, and so of everybody."""
    return RUNGS if top == WHOLE else (*RUNGS[: RUNGS.index(top) + 1], RUNGS[-1])
