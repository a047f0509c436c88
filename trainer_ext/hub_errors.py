"""Hub errors: what the Hub refuses and what the network breaks, as one line that says why and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from json import JSONDecodeError

from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of whichever httpx the client is built on
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from .errors import InputError, one_line

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
AGAIN = "nothing was lost here: the same command again finishes the job, and sends again only what is missing"
NO_PAYMENT = (
    "the Hub wants payment for this (402): a Gradio Space on cpu-basic hardware needs a PRO or Team account. Without one, "
    "--space-hardware zero-a10g may be free for you, or run the page here: python space/app.py RUN"
)


class HubError(RuntimeError):
    """The Hub or the network failed; the same call again may succeed."""


@contextlib.contextmanager
def in_plain_words(repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line.

    Args:
        repo_id: the repository that is read or written.

    Raises:
        InputError: what the caller must change: the token, its rights, the name, a setting.
        HubError: what may work the next time: the Hub's own errors, and the network.
    """
    try:
        yield
    except (InputError, HubError):  # said already
        raise
    except OfflineModeIsEnabled as error:
        raise InputError(f"{repo_id}: the Hub is switched off by HF_HUB_OFFLINE=1; unset it to publish.") from error
    except LocalTokenNotFoundError as error:
        raise InputError(f"{repo_id}: there is no access token; {LOGIN}.") from error
    except HFValidationError as error:
        raise InputError(f"{repo_id!r} is no name on the Hub ({one_line(error)}); write USER/NAME.") from error
    except HfHubHTTPError as error:
        raise _refusal(repo_id, error) from error
    except (HTTPError, OSError) as error:
        raise _lost(repo_id, error) from error
    except RuntimeError as error:  # what the client makes of a failed upload of one file
        cause = error.__cause__
        if not isinstance(cause, HTTPError | OSError):
            raise
        raise (_refusal(repo_id, cause) if isinstance(cause, HfHubHTTPError) else _lost(repo_id, cause)) from error
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:  # a proxy's page, or another Hub
        said = one_line(f"{type(error).__name__}: {error}")
        raise HubError(f"{repo_id}: the Hub's answer cannot be understood ({said}); {AGAIN}.") from error
    except ValueError as error:  # the Hub's answer to metadata that it does not take
        raise InputError(f"{repo_id}: {one_line(error, most=600)}") from error


# What the Hub answers, by status; `{reason}` are its own words.
_INPUT = {
    400: "the Hub does not take this: {reason}",
    401: f"the Hub does not know this access token (401); {LOGIN}.",
    402: f"{NO_PAYMENT}. ({{reason}})",
    403: "this token may not write there (403: {reason}); name your own account or one of your organisations, or use a "
    "token with the right to write.",
    404: "there is no such repository for this token (404); check the name, and that the token may see it.",
    409: "the Hub says that this is in conflict with what is there (409: {reason}); name another repository.",
    413: "the Hub finds this too large (413: {reason}).",
}
_OTHERS = {
    412: f"somebody else wrote there at the same moment (412); {AGAIN}.",
    429: f"the Hub asks for a pause (429: {{reason}}); {AGAIN}.",
}


def _lost(repo_id: str, error: Exception) -> HubError:
    reason = one_line(error) or type(error).__name__
    return HubError(f"{repo_id}: the connection to the Hub failed ({reason}); {AGAIN}.")


def _refusal(repo_id: str, error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    reason = one_line(error.server_message or error)
    if status in _INPUT:
        return InputError(f"{repo_id}: {_INPUT[status].format(reason=reason)}")
    words = _OTHERS.get(status, f"the Hub failed ({status}: {{reason}}); {AGAIN}.")
    return HubError(f"{repo_id}: {words.format(reason=reason)}")
