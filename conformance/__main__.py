# PYTHON_ARGCOMPLETE_OK
"""The command line: ``python -m conformance cases | record | train | judge | …``, see --help."""

import sys

import argcomplete

from common.errors import EXIT_BAD_INPUT, BadInput
from conformance.parser import COMMANDS, make_parser

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    argcomplete.autocomplete(parser)  # ends the process if it is a shell that asks
    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except BadInput as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        # A full disk, a folder that may not be written: whatever was there before is still there.
        print(f"{error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
