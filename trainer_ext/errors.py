"""The exceptions of the package. Each message is one readable line that says what is wrong and what to do.

The command line prints the message without a traceback. Its exit status is 2 for `InputError` and 1 for the others.
"""


class InputError(ValueError):
    """Raised when something that the user gave cannot work: an option, a file, a model or a data set.

    The message names the value that was found and says how to correct it. In a script it is a `ValueError`.
    """


class Diverged(RuntimeError):
    """Raised when a training left NaN or infinite numbers where finite ones are needed: in weights, scores or logits."""


class CheckFailed(RuntimeError):
    """Raised when two forms of a model that must compute the same function do not, such as masked and shrunk."""


class ExportRefused(RuntimeError):
    """Raised when an exported file does not give the logits of its model. The file is not kept."""


class HubError(RuntimeError):
    """Raised when the Hub or the network fails. The same call may succeed later."""


class Busy(RuntimeError):
    """Raised when another process is working on the same run."""


def one_line(error: object, *, most: int = 200) -> str:
    """Return the message of an error from another library as one line.

    Args:
        error: the exception, or its message.
        most: length in characters at which the line is cut.
    """
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
