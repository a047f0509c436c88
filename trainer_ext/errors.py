"""Errors: what a user gave and cannot work, a training that diverged, and messages cut to one line."""


class InputError(ValueError):
    """What a user gave cannot work; the message is one readable line.

    The message says what is wrong, which value was found and the way out. The command line prints it without a
    traceback and exits with status 2; in a script it is a `ValueError` like any other.
    """


class Diverged(RuntimeError):
    """A training left numbers that are NaN or infinite, where they cannot be used; the message is one readable line."""


def one_line(error: object, *, most: int = 200) -> str:
    """The message of an error from elsewhere as one line of at most `most` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


class CheckFailed(RuntimeError):
    """Two forms of a model that should be one do not compute the same function."""


class ExportRefused(RuntimeError):
    """An exported file does not answer as its model does, so it was not kept."""


class HubError(RuntimeError):
    """The Hub or the network failed; the same call again may succeed."""


class Busy(RuntimeError):
    """Another process works on this run."""
