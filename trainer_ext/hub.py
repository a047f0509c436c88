"""Hub: a staged folder becomes the state of a repository in one commit, or nothing changes there."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from .errors import InputError
from .hub_errors import LOGIN, in_plain_words
from .publication import CARD
from .report import FILE_NAME


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
    with in_plain_words(repo_id):
        found = api.whoami()
    if found.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"{repo_id}: this access token may only read; {LOGIN}.")


def look(api: HfApi, repo_id: str, repo_type: str = "model") -> Remote:
    """What lies in a repository now.

    Raises:
        InputError, HubError: as :func:`trainer_ext.hub_errors.in_plain_words` says.
    """
    with in_plain_words(repo_id):
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
    with in_plain_words(remote.repo_id):
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
    with in_plain_words(remote.repo_id):
        api.upload_folder(
            repo_id=remote.repo_id,
            repo_type=remote.repo_type,
            folder_path=folder,
            commit_message=message,
            delete_patterns=[glob.escape(name) for name in gone] or None,
        )
