"""The state of a Hub, as its endpoints see it, and a request, as they get it."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.hub.loopback.access import Access, Account, writer
from tests.hub.loopback.catalogue import KINDS, Catalogue, Hosted, Kind

_KIND_OF_ADDRESS = {kind.api: kind for kind in KINDS.values()}


@dataclass(frozen=True)
class Call:
    """A request on its way to an endpoint.

    Attributes:
        method: `GET`, `POST`, ...
        path: without the query, as it came.
        query: values by name.
        headers: by name, in lower case.
        body: whole.
        account: who sent it; None for a stranger.
        arguments: what the variables of the route's pattern stand for.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    account: Account | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The type of the repository that the path is about; paths of models need not say so."""
        return _KIND_OF_ADDRESS.get(self.path.removeprefix("/api").split("/")[1], KINDS["model"])

    @property
    def json(self) -> Any:
        """The body, from JSON; an empty one is {}."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query is set."""
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")


@dataclass
class HubState:
    """Accounts and repositories, and where the Hub and its storage of large files are reached.

    `key` signs addresses of the storage, which asks for no token.
    """

    access: Access
    catalogue: Catalogue
    key: bytes
    url: str = ""
    storage_url: str = ""

    def visible(self, call: Call) -> Hosted:
        """The repository that the path names, if the caller may see it."""
        return self.catalogue.find(call.kind, call.arguments["repo"], call.account)

    def writable(self, call: Call) -> Hosted:
        """The same, if the caller may also write to it."""
        hosted = self.visible(call)
        writer(call.account, hosted.owner)
        return hosted

    def signature(self, method: str, path: str) -> str:
        """What allows one method on one path of the storage."""
        return hmac.new(self.key, f"{method} {path}".encode(), "sha256").hexdigest()

    def storage_address(self, method: str, hosted: Hosted, sha256: str) -> str:
        """Where a large file is put to or taken from, signed."""
        path = f"/storage/{hosted.kind.name}/{hosted.id}/{sha256}"
        return f"{self.storage_url}{path}?signature={self.signature(method, path)}"
