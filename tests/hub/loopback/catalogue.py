"""All repositories of the Hub, and who may see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hub.loopback.access import Account
from tests.hub.loopback.answers import Refusal
from tests.hub.loopback.repository import Blob, Repository, Taken


@dataclass(frozen=True)
class Kind:
    """A type of repository: its name, and the prefixes of its addresses in the API and elsewhere."""

    name: str
    api: str
    prefix: str


KINDS = {kind.name: kind for kind in (Kind("model", "models", ""), Kind("dataset", "datasets", "datasets/"))}
KINDS["space"] = Kind("space", "spaces", "spaces/")


@dataclass
class Space:
    """The settings of a Space. Only the names of secrets are stored."""

    sdk: str
    hardware: str = "cpu-basic"
    sleep_seconds: int | None = None
    stage: str = "NO_APP_FILE"
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Hosted:
    """A repository on the Hub. `large` is its storage of large files by SHA-256."""

    kind: Kind
    id: str
    repository: Repository
    private: bool = False
    space: Space | None = None
    large: dict[str, Blob] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    @property
    def path(self) -> str:
        """Its path below the address of the Hub."""
        return f"{self.kind.prefix}{self.id}"


class Catalogue:
    """All repositories, by type and id."""

    def __init__(self):
        self._hosted: dict[tuple[str, str], Hosted] = {}

    def add(
        self, kind: Kind, repo_id: str, files: Mapping[str, Blob], *, private: bool, space: Space | None
    ) -> Hosted:
        """Create a repository; raises `Taken`."""
        if (kind.name, repo_id) in self._hosted:
            raise Taken(f"You already created this {kind.name} repo")
        hosted = self._hosted[kind.name, repo_id] = Hosted(kind, repo_id, Repository(files), private, space)
        return hosted

    def find(self, kind: Kind, repo_id: str, account: Account | None) -> Hosted:
        """Return a repository that this account may see.

        Raises:
            Refusal: There is none, or it is private and belongs to somebody else: 404, or 401 without a token.
        """
        hosted = self._hosted.get((kind.name, repo_id))
        user = account.user if account else None
        if hosted is None or (hosted.private and user != hosted.owner):
            status, message = (404, "Repository not found") if account else (401, "Invalid username or password.")
            raise Refusal(status, message, code="RepoNotFound")
        return hosted

    def get(self, repo_type: str, repo_id: str) -> Hosted:
        """Return a repository.

        Raises:
            KeyError: There is none; the message names the existing ones.
        """
        try:
            return self._hosted[repo_type, repo_id]
        except KeyError:
            raise KeyError(f"no {repo_type} {repo_id!r} here; there are {sorted(self._hosted)}") from None

    def names(self) -> list[tuple[str, str]]:
        """Return type and id of every repository."""
        return sorted(self._hosted)

    def remove(self, hosted: Hosted):
        """Delete a repository."""
        del self._hosted[hosted.kind.name, hosted.id]
