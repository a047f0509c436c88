"""Talk to the Hub: read a repository, create it, upload a folder in one commit, and explain errors in one line."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the httpx version that the client uses
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..errors import HubError, InputError, one_line
from ..report.run_directory import FILE_NAME
from .staging import CARD

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"
RETRY = "nothing was lost: repeat the same command, which uploads only what is missing"
NO_PAYMENT = (
    "the Hub requires a payment (402): a Gradio Space on cpu-basic hardware needs a PRO or Team account. Without one, "
    "--space-hardware zero-a10g may be free for you, or run the page on this machine: python space/app.py RUN"
)
# The message for each HTTP status; `{reason}` is what the Hub said. The user must change something ...
_USER_ERRORS = {
    400: "the Hub does not accept this: {reason}",
    401: f"the Hub does not know this access token (401); {LOGIN}.",
    402: f"{NO_PAYMENT}. ({{reason}})",
    403: "this token may not write there (403: {reason}); use your own account or one of your organizations, or a token "
    "with write access.",
    404: "this token cannot see such a repository (404); check the name and the rights of the token.",
    409: "the Hub reports a conflict with what is there (409: {reason}); name another repository.",
    413: "this is too large for the Hub (413: {reason}).",
}
# ... or the same call may succeed later.
_HUB_ERRORS = {
    412: f"somebody else changed the repository at the same time (412); {RETRY}.",
    429: f"the Hub asks for fewer requests (429: {{reason}}); {RETRY}.",
}


@contextlib.contextmanager
def explain_error(repo_id: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub into one-line messages.

    Args:
        repo_id: The repository that is read or written.

    Raises:
        InputError: The user must change something: the token, its rights, the name or a setting.
        HubError: The Hub or the network failed, and the call can be repeated.
    """
    try:
        yield
    except (InputError, HubError):
        raise
    except OfflineModeIsEnabled as error:
        raise InputError(
            f"{repo_id}: HF_HUB_OFFLINE=1 forbids connections to the Hub; unset it to publish."
        ) from error
    except LocalTokenNotFoundError as error:
        raise InputError(f"{repo_id}: there is no access token; {LOGIN}.") from error
    except HFValidationError as error:
        raise InputError(
            f"{repo_id!r} is not a valid name on the Hub ({one_line(error)}); write USER/NAME."
        ) from error
    except HfHubHTTPError as error:
        raise _explain_status(repo_id, error) from error
    except (HTTPError, OSError) as error:
        raise _connection_failed(repo_id, error) from error
    except RuntimeError as error:  # raised by the client if the upload of one file failed
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise _explain_status(repo_id, cause) from error
        if isinstance(cause, HTTPError | OSError):
            raise _connection_failed(repo_id, cause) from error
        raise
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:  # the answer of a proxy, for example
        what = one_line(f"{type(error).__name__}: {error}")
        raise HubError(f"{repo_id}: the answer of the Hub cannot be understood ({what}); {RETRY}.") from error
    except ValueError as error:  # raised by the client if the Hub rejects the metadata of a card
        raise InputError(f"{repo_id}: {one_line(error, most=600)}") from error


def _connection_failed(repo_id: str, error: Exception) -> HubError:
    reason = one_line(error) or type(error).__name__
    return HubError(f"{repo_id}: the connection to the Hub failed ({reason}); {RETRY}.")


def _explain_status(repo_id: str, error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    reason = one_line(error.server_message or error)
    if status in _USER_ERRORS:
        return InputError(f"{repo_id}: {_USER_ERRORS[status].format(reason=reason)}")
    message = _HUB_ERRORS.get(status, f"the Hub failed ({status}: {{reason}}); {RETRY}.")
    return HubError(f"{repo_id}: {message.format(reason=reason)}")


@dataclass(frozen=True)
class Remote:
    """The state of a repository before a publication.

    Attributes:
        repo_id: `user/name`.
        repo_type: `model` or `space`.
        exists: Whether the token can see it.
        files: The paths in it.
        card: The text of its README.md, None if it has none.
        private: Whether it is private, None if it does not exist.
    """

    repo_id: str
    repo_type: str = "model"
    exists: bool = False
    files: tuple[str, ...] = ()
    card: str | None = None
    private: bool | None = None


def check_account(api: HfApi, repo_id: str) -> None:
    """Check the access token before any work.

    Raises:
        InputError: There is no token, the Hub does not know it, or it is read-only.
        HubError: The Hub cannot be reached.
    """
    with explain_error(repo_id):
        account = api.whoami()
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"{repo_id}: this access token is read-only; {LOGIN}.")


def look(api: HfApi, repo_id: str, repo_type: str = "model") -> Remote:
    """Return the state of a repository.

    Raises:
        InputError: As :func:`explain_error`.
        HubError: As :func:`explain_error`.
    """
    with explain_error(repo_id):
        try:
            info: Any = api.repo_info(repo_id, repo_type=repo_type)  # a different class for each type of repository
        except RepositoryNotFoundError:
            return Remote(repo_id, repo_type)
        files = tuple(sibling.rfilename for sibling in info.siblings or ())
        card = None
        if CARD in files:
            path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=info.sha)
            card = Path(path).read_bytes().decode("utf-8")  # read_text would change the line ends
        return Remote(repo_id, repo_type, True, files, card, info.private)


def refuse_foreign(remote: Remote) -> None:
    """Refuse to overwrite a model that was not published by this package.

    Raises:
        InputError: The repository holds weights but no report.
    """
    weights = [name for name in remote.files if name.endswith((".safetensors", "pytorch_model.bin"))]
    if weights and FILE_NAME not in remote.files:
        raise InputError(
            f"{remote.repo_id} already holds a model ({weights[0]}) without {FILE_NAME}, so it was not published by this "
            "package; name another repository, or pass --overwrite to replace it."
        )


def claim(api: HfApi, remote: Remote, *, private: bool | None = None, hardware: str | None = None) -> str:
    """Create a repository if there is none, so that a missing right or payment is found before anything is uploaded.

    Args:
        api: The client, with its token.
        remote: The repository, as :func:`look` found it.
        private: Whether a new repository is private; None leaves it to the account.
        hardware: Hardware of a Space; None leaves it as it is.

    Returns:
        The address of the repository.
    """
    space: dict[str, Any] = {"space_sdk": "gradio", "space_hardware": hardware} if remote.repo_type == "space" else {}
    with explain_error(remote.repo_id):
        url = api.create_repo(remote.repo_id, repo_type=remote.repo_type, private=private, exist_ok=True, **space)
        if remote.exists and space.get("space_hardware"):
            api.request_space_hardware(remote.repo_id, space["space_hardware"])
    return str(url)


def publish(api: HfApi, folder: Path, remote: Remote, *, gone: Iterable[str], message: str) -> None:
    """Upload a folder to the main branch of a repository; other files there stay as they are.

    If nothing differs, no commit is made.

    Args:
        api: The client, with its token.
        folder: The folder; all of it is uploaded.
        remote: An existing repository.
        gone: Paths in the repository to delete.
        message: Commit message.
    """
    with explain_error(remote.repo_id):
        api.upload_folder(
            repo_id=remote.repo_id,
            repo_type=remote.repo_type,
            folder_path=folder,
            commit_message=message,
            delete_patterns=[glob.escape(name) for name in gone] or None,
        )
