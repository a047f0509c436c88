"""One exception for what a user gave and what cannot work."""


class InputError(ValueError):
    """What a user gave cannot work; the message is one readable line.

    The message says what is wrong, which value was found and the way out. The command line prints it without a
    traceback and exits with status 2; in a script it is a `ValueError` like any other.
    """
