"""The one error for bad input, and the exit codes that every command keeps to."""

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_BAD_INPUT = 2
EXIT_INTERNAL = 3
"""A fault of the suite itself: never a verdict, and never the user's."""

EXIT_INCOMPLETE = 4
"""Nothing is wrong, and yet something that is there was compared with nothing: no PASS."""


LONGEST = 400
"""Characters of what was found: a hostile file must not fill the terminal."""


class BadInput(Exception):
    """Something that was given cannot be used.

    where:    the file, option or spec that is at fault
    field:    the tensor, key or option inside it; may be empty
    expected: what would have been right
    found:    what is there

    It prints as one line, ``where: field: expected …, found …``; a command that meets it shows that
    line, writes nothing and exits with code 2.
    """

    def __init__(self, where: object, field: str, expected: str, found: object) -> None:
        found = str(found)
        found = found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"
        self.where, self.field, self.expected, self.found = str(where), field, expected, found
        place = f"{where}: {field}" if field else f"{where}"
        super().__init__(printable(f"{place}: expected {expected}, found {found}"))


def printable(text: str) -> str:
    """The text in one line: control characters from a hostile file must not reach a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
