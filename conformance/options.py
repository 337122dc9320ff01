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
    code.

    about:    in a few words, for the list of commands     does: the same in sentences
    examples: the words after ``program()``     more: what its help ends with
    quiet:    whether it shows progress, which ``--quiet`` turns off
    """

    name: str
    about: str
    does: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: tuple[str, ...]
    more: str = ""
    quiet: bool = True


class Help(argparse.RawDescriptionHelpFormatter):
    """Says of every option what it is if it is not given. What is not simply its value says so
    itself, in its help."""

    def _get_help_string(self, action: argparse.Action) -> str:
        about = action.help or ""
        takes_a_value = action.option_strings and action.nargs != 0 and not action.required
        if not takes_a_value or "default" in about:
            return about
        found = action.default
        if isinstance(found, list):
            found = " ".join(map(str, found))
        shown = "none" if found in (None, "") else str(found).replace("%", "%%")
        return f"{about} (default: {shown})".lstrip()

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Lines as they stand, but what is one line is made as narrow as the terminal."""
        how = argparse.RawDescriptionHelpFormatter if "\n" in text else argparse.HelpFormatter
        return how._fill_text(self, text, width, indent)


def program() -> str:
    """What starts the suite again: the installed command, if that is how it was started."""
    return INSTALLED if Path(sys.argv[0]).stem == INSTALLED else "python -m conformance"


def add_reading(parser: argparse.ArgumentParser) -> None:
    """What a framework's file of weights may not tell."""
    add = parser.add_argument
    add("--layout", default="", metavar="NAME",
        help="whose names and shapes the weights have, where the file does not tell")  # fmt: skip
    add("--prefix", nargs="+", default=[], metavar="NAME",
        help="which network of the file; several are a stack, from the bottom up")  # fmt: skip
    add("--option", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="an option that the framework's layer has in your code")  # fmt: skip


LARGEST_COUNT = 999_999_999

MOST = 10_000
"""Of what is started, made or listed one by one: cases, members, threads, workers."""


def count(value: str) -> int:
    """A whole number of at least 0."""
    return _whole(value, 0, LARGEST_COUNT)


def few(value: str) -> int:
    """A whole number from 0 up to MOST."""
    return _whole(value, 0, MOST)


def positive(value: str) -> int:
    """A whole number from 1 up to MOST."""
    return _whole(value, 1, MOST)


def _whole(value: str, least: int, most: int) -> int:
    # The length comes first: Python does not read a number of 5,000 digits.
    if value.isdecimal() and len(value) <= 20 and least <= (number := int(value)) <= most:
        return number
    expected = f"a whole number from {least} to {most}"
    raise argparse.ArgumentTypeError(f"expected {expected}, found {value[:40]!r}")


def seconds(value: str) -> float:
    """A time, up to a day."""
    try:
        if 0 < (number := float(value)) <= LONGEST_LIMIT:
            return number
    except ValueError:
        pass
    expected = f"a number above 0 and up to {LONGEST_LIMIT:g}"
    raise argparse.ArgumentTypeError(f"expected {expected}, found {value!r}")
