"""The command line: thin commands over the library, one table each, exit status 0, 1 (check failed) or 2 (bad input)."""

from __future__ import annotations

import sys

from . import demo_command, publish_commands, run_commands, sweep_command, tool_commands  # noqa: F401  (each registers)
from .cli_ground import app, fail
from .errors import Diverged, InputError
from .sharding import check_one_process


def main() -> None:
    """Run a command; bad input becomes one line and exit status 2."""
    debug = "--debug" in sys.argv
    try:
        check_one_process()
        app()
    except InputError as error:
        if debug:
            raise
        fail(error, 2)
    except Diverged as error:
        if debug:
            raise
        fail(error, 1)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where it was, compress with --resume", 130)
    except Exception as error:
        if debug:
            raise
        fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)


if __name__ == "__main__":
    main()
