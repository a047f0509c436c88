"""The entry point of `trainer-ext`: run a command and turn errors into one line and an exit status.

The exit status is 0 (done), 1 (a check failed, or a run ended with an error), 2 (bad input) or 130 (interrupted).
"""

from __future__ import annotations

import errno
import sys

from ..errors import Busy, CheckFailed, Diverged, ExportRefused, HubError, InputError
from ..utils.distributed import check_one_process
from . import compress, push, sweep, tools  # noqa: F401  (each registers its commands)
from .app import UsageError, app, fail, usage_message

INTERRUPTED = 130


def main() -> None:
    """Run the command that the arguments of this process name; `--debug` shows the traceback of an error."""
    debug = "--debug" in sys.argv
    try:
        check_one_process()
        status = app(sys.argv[1:], prog_name="trainer-ext", standalone_mode=False)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        fail(*_explain(error))
    if status == INTERRUPTED:
        fail("interrupted; start the same command again to continue (compress with --resume)", INTERRUPTED)
    sys.exit(status)


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message and the exit status of an error."""
    if isinstance(error, UsageError):
        return usage_message(error), 2
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, Diverged | CheckFailed | ExportRefused | HubError | Busy):
        return str(error), 1
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # of any path that the user gave
        return f"the name of a file or folder is too long: {error.filename}", 2
    return f"{type(error).__name__}: {error} (--debug shows where)", 1


if __name__ == "__main__":
    main()
