"""The shape of data out of a file: which fields, and what in them."""

import math
from typing import Any, cast

from common.errors import BadInput

WORDS = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def check_shape(
    value: Any, wanted: Any, where: object, field: str = "", exactly: bool = False
) -> None:
    """BadInput, with the field at fault, unless the value is as wanted.

    wanted: a type of WORDS: float takes whole numbers too, and True is no number
            ``[wanted]``: a list of any number of such values
            ``{"name": wanted, …}``: an object with these fields, and perhaps others
            ``{str: wanted}``: an object of such values under any names
    exactly: there are no other fields; those whose name ends in ``?`` may be absent
    """
    if isinstance(wanted, list):
        check_shape(value, list, where, field)
        for place, inner in enumerate(value, start=1):
            check_shape(inner, wanted[0], where, f"{field} {place}".strip(), exactly)
    elif isinstance(wanted, dict):
        check_shape(value, dict, where, field)
        kinds = cast(dict[Any, Any], wanted)
        if str in kinds:
            kinds = dict.fromkeys(value, kinds[str])
        known = {name.removesuffix("?"): kind for name, kind in kinds.items()}
        for name in value:
            if exactly and name not in known:
                raise BadInput(where, f"{field}: {name}", "no such field", "it")
        for name, kind in known.items():
            inside = f"{field}: {name}" if field else str(name)
            if name in value:
                check_shape(value[name], kind, where, inside, exactly)
            elif f"{name}?" not in kinds:
                raise BadInput(where, inside, _words(kind), "none")
    elif not _is(value, wanted):
        raise BadInput(where, field, WORDS[wanted], repr(value))


def _is(value: Any, wanted: type) -> bool:
    if wanted is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is wanted


def _words(wanted: Any) -> str:
    kind = wanted if isinstance(wanted, type) else type(wanted)
    return WORDS[kind]
