"""What the rooms' commands are made of: a command, the numbers that options take, the name under
which the suite was started.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LONGEST_LIMIT = 86_400.0

INSTALLED = "deep-rnn"
"""The command of the installed suite; pyproject.toml names it."""


@dataclass(frozen=True)
class Command:
    """A command of a room: its arguments, and the function that carries it out and returns the exit
    code. examples: the words after ``program()``     more: what its help ends with
    quiet: whether it shows progress, which ``--quiet`` turns off
    """

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: tuple[str, ...]
    more: str = ""
    quiet: bool = True


def program() -> str:
    """What starts the suite again: the installed command, if that is how it was started."""
    return INSTALLED if Path(sys.argv[0]).stem == INSTALLED else "python -m conformance"


def count(value: str) -> int:
    """A whole number of at least 0."""
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {value!r}")
    return int(value)


def positive(value: str) -> int:
    """A whole number of at least 1."""
    if (number := count(value)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {value!r}")
    return number


def seconds(value: str) -> float:
    """A time, up to a day."""
    try:
        if 0 < (number := float(value)) <= LONGEST_LIMIT:
            return number
    except ValueError:
        pass
    expected = f"a number above 0 and up to {LONGEST_LIMIT:g}"
    raise argparse.ArgumentTypeError(f"expected {expected}, found {value!r}")
