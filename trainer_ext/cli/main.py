"""The command line: thin commands over the library, one table each, exit status 0, 1 (check failed) or 2 (bad input)."""

from __future__ import annotations

import errno
import sys

import typer

from ..errors import Diverged, InputError
from ..utils.distributed import check_one_process
from . import compress, demo, push, sweep, tools  # noqa: F401  (each registers)
from .app import app, fail

# What typer raises for words that a command does not take; it has no public name in all versions of typer.
_UsageError = typer.BadParameter.__base__
INTERRUPTED = 130


def main() -> None:
    """Run a command; bad input becomes one line and exit status 2."""
    debug = "--debug" in sys.argv
    try:
        check_one_process()
        status = app(sys.argv[1:] or ["--help"], prog_name="trainer-ext", standalone_mode=False)
    except _UsageError as error:
        if debug:
            raise
        fail(_usage(error), 2)
    except InputError as error:
        if debug:
            raise
        fail(error, 2)
    except Diverged as error:
        if debug:
            raise
        fail(error, 1)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # wherever a name is first looked up
            fail(f"the name of a file or folder is too long: {error.filename}", 2)
        fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)
    if status == INTERRUPTED:
        fail("interrupted; the same command goes on where it was, compress with --resume", INTERRUPTED)
    sys.exit(status)


def _usage(error) -> str:
    """What is wrong with the words of a command, the value of the option among it, and where they are explained."""
    options = getattr(getattr(error, "param", None), "opts", ())
    given = [value for word, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True) if word in options]
    got = f", got {given[-1]!r}" if given else ""
    command = error.ctx.command_path if error.ctx else "trainer-ext"
    return f"{error.format_message().rstrip('.')}{got}; see `{command} --help`."


if __name__ == "__main__":
    main()
