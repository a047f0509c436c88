"""The state of the Hub, and a request to it, as the endpoints receive them."""

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
    """A request to an endpoint.

    Attributes:
        method: `GET`, `POST`, ...
        path: without the query.
        query: values by name.
        headers: by name, in lower case.
        body: whole.
        account: who sent it; None without a token.
        arguments: values of the variables in the pattern of the route.
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
        """The type of the repository in the path; a path without a type is that of a model."""
        return _KIND_OF_ADDRESS.get(self.path.removeprefix("/api").split("/")[1], KINDS["model"])

    @property
    def json(self) -> Any:
        """The body parsed as JSON; {} if it is empty."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Return whether a parameter of the query is set."""
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")


@dataclass
class HubState:
    """Accounts, repositories, and the addresses of the Hub and of its storage of large files.

    `key` signs addresses of the storage, which asks for no token.
    """

    access: Access
    catalogue: Catalogue
    key: bytes
    url: str = ""
    storage_url: str = ""

    def visible(self, call: Call) -> Hosted:
        """Return the repository in the path, if the caller may see it."""
        return self.catalogue.find(call.kind, call.arguments["repo"], call.account)

    def writable(self, call: Call) -> Hosted:
        """Return the repository in the path, if the caller may write to it."""
        hosted = self.visible(call)
        writer(call.account, hosted.owner)
        return hosted

    def signature(self, method: str, path: str) -> str:
        """Return the signature that allows one method on one path of the storage."""
        return hmac.new(self.key, f"{method} {path}".encode(), "sha256").hexdigest()

    def storage_address(self, method: str, hosted: Hosted, sha256: str) -> str:
        """Return the signed address of a large file."""
        path = f"/storage/{hosted.kind.name}/{hosted.id}/{sha256}"
        return f"{self.storage_url}{path}?signature={self.signature(method, path)}"
