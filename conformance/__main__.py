# PYTHON_ARGCOMPLETE_OK
"""The command line: ``python -m conformance cases | record | train | judge | …``, see --help."""

import argparse
import io
import sys
import tempfile
import traceback

from common.errors import EXIT_BAD_INPUT, EXIT_INTERNAL, BadInput
from conformance.parser import find_command, make_parser
from conformance.progress import complain, let_go
from conformance.worker.lifetime import be_collected_seldom

try:
    import argcomplete
except ModuleNotFoundError:  # a machine that is lent as it is: nothing but a shell's Tab misses it
    argcomplete = None

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Carry out a command; returns its exit code, which README.md lists."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII alone
    words = sys.argv[1:] if arguments is None else arguments
    parser = make_parser(words[0] if words else None)
    if argcomplete:
        argcomplete.autocomplete(parser)  # ends the process if it is a shell that asks
    options = parser.parse_args(arguments)
    code = carry_out(options)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before
                stream.flush()
        except BrokenPipeError:
            let_go(stream)
        except OSError as error:  # a full disk
            let_go(stream)
            if code not in (EXIT_BAD_INPUT, EXIT_INTERNAL):
                complain(f"system: {error.strerror or error}")
                code = EXIT_BAD_INPUT
    return code


def carry_out(options: argparse.Namespace) -> int:
    """Run the command; whatever keeps it from a verdict is one line and an exit code."""
    try:
        return find_command(options.command).run(options)
    except BadInput as error:
        complain(str(error))
        return EXIT_BAD_INPUT
    except OSError as error:
        # A full disk, a folder that may not be written: whatever was there before is still there.
        complain(f"{error.filename or 'system'}: {error.strerror or error}")
        return EXIT_BAD_INPUT
    except MemoryError:
        complain("system: not enough memory")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        complain("interrupted; the same command goes on from here")
        return INTERRUPTED
    except Exception as error:
        complain(internal(error))
        return EXIT_INTERNAL


def internal(error: Exception) -> str:
    """What to say of a fault of the suite itself; the traceback goes to a file."""
    found = " ".join(f"{type(error).__name__}: {error}".split())
    try:
        handle, path = tempfile.mkstemp(prefix="conformance-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(" ".join(map(repr, sys.argv)) + "\n")
            traceback.print_exception(error, file=file)
    except OSError as problem:
        path = f"nowhere ({problem.strerror})"
    return (
        f"internal error: {found[:200]}; this is a fault of the suite, and no verdict: please "
        f"report it; the traceback is in {path}"
    )


if __name__ == "__main__":
    be_collected_seldom()
    sys.exit(main())
