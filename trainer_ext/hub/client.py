"""Hub: a staged folder becomes the state of a repository in one commit, or nothing changes there.

Hub errors: what the Hub refuses and what the network breaks, as one line that says why and what to do.
"""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of whichever httpx the client is built on
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..errors import HubError, InputError, one_line
from ..report.io import FILE_NAME
from .staging import CARD

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"
AGAIN = "nothing was lost here: the same command again finishes the job, and sends again only what is missing"
NO_PAYMENT = (
    "the Hub wants payment for this (402): a Gradio Space on cpu-basic hardware needs a PRO or Team account. Without one, "
    "--space-hardware zero-a10g may be free for you, or run the page here: python space/app.py RUN"
)


@contextlib.contextmanager
def explain_error(repo_id: str) -> Iterator[None]:
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


@dataclass(frozen=True)
class Remote:
    """What a repository holds before something is published there.

    Attributes:
        repo_id: its name, `user/name`.
        repo_type: `model` or `space`.
        exists: whether it is there, for this token.
        files: paths in it.
        card: the text of its README.md; None where it has none.
        private: whether strangers cannot see it; None where it does not exist.
    """

    repo_id: str
    repo_type: str = "model"
    exists: bool = False
    files: tuple[str, ...] = ()
    card: str | None = None
    private: bool | None = None


def check_account(api: HfApi, repo_id: str) -> None:
    """Learn before any work that the token will do.

    Raises:
        InputError: there is none, the Hub does not know it, or it may only read.
        HubError: the Hub cannot be reached.
    """
    with explain_error(repo_id):
        found = api.whoami()
    if found.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"{repo_id}: this access token may only read; {LOGIN}.")


def look(api: HfApi, repo_id: str, repo_type: str = "model") -> Remote:
    """What lies in a repository now.

    Raises:
        InputError, HubError: as :func:`trainer_ext.hub.client.explain_error` says.
    """
    with explain_error(repo_id):
        try:
            info = api.repo_info(repo_id, repo_type=repo_type)
        except RepositoryNotFoundError:
            return Remote(repo_id, repo_type)
        files = tuple(sibling.rfilename for sibling in info.siblings or ())
        card = None
        if CARD in files:
            path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=info.sha)
            card = Path(path).read_bytes().decode("utf-8")  # reading as text would change its line ends
        return Remote(repo_id, repo_type, True, files, card, info.private)


def refuse_foreign(remote: Remote) -> None:
    """Refuse to write over a model that no run was published as.

    Raises:
        InputError: the repository holds weights, and no report beside them.
    """
    weights = [name for name in remote.files if name.endswith((".safetensors", "pytorch_model.bin"))]
    if weights and FILE_NAME not in remote.files:
        raise InputError(
            f"{remote.repo_id} already holds a model ({weights[0]}) and no {FILE_NAME}, so it was not published by this "
            "package; name another repository, or pass --overwrite to replace it."
        )


def claim(api: HfApi, remote: Remote, *, private: bool | None = None, hardware: str | None = None) -> str:
    """Make a repository where there is none, so that a name, a right or a payment fails before anything is sent.

    Args:
        api: the client, with its token.
        remote: what :func:`look` found.
        private: who may see a repository that is made now; None leaves it to the account.
        hardware: of a Space; None leaves it as it is.

    Returns:
        Its address.
    """
    space = {"space_sdk": "gradio", "space_hardware": hardware} if remote.repo_type == "space" else {}
    with explain_error(remote.repo_id):
        url = api.create_repo(remote.repo_id, repo_type=remote.repo_type, private=private, exist_ok=True, **space)
        if hardware and remote.exists:
            api.request_space_hardware(remote.repo_id, hardware)
    return str(url)


def publish(api: HfApi, folder: Path, remote: Remote, *, gone: Iterable[str], message: str) -> None:
    """Make the main branch of a repository hold a folder; what nobody published from here stays as it is.

    Where nothing differs from what is there, no commit is made.

    Args:
        api: the client, with its token.
        folder: what goes up, whole.
        remote: a repository that there is.
        gone: paths of an earlier publication that go.
        message: of the commit.
    """
    with explain_error(remote.repo_id):
        api.upload_folder(
            repo_id=remote.repo_id,
            repo_type=remote.repo_type,
            folder_path=folder,
            commit_message=message,
            delete_patterns=[glob.escape(name) for name in gone] or None,
        )
