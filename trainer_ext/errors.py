"""Errors: the one exception for what a user gave and what cannot work, and messages cut to one line."""


class InputError(ValueError):
    """What a user gave cannot work; the message is one readable line.

    The message says what is wrong, which value was found and the way out. The command line prints it without a
    traceback and exits with status 2; in a script it is a `ValueError` like any other.
    """


def one_line(error: object, *, most: int = 200) -> str:
    """The message of an error from elsewhere as one line of at most `most` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
