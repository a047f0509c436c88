"""The test Hub: two servers on the loopback interface with one state, and a record of every request."""

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import RLock

from tests.hub.loopback.access import Access, made_up_token
from tests.hub.loopback.answers import Answer, Refusal
from tests.hub.loopback.catalogue import Catalogue
from tests.hub.loopback.faults import Fault, Faults
from tests.hub.loopback.records import Request, in_the_clear
from tests.hub.loopback.repository import Commit
from tests.hub.loopback.routes import HUB, STORAGE
from tests.hub.loopback.routing import Route, dispatch
from tests.hub.loopback.state import Call, HubState
from tests.hub.loopback.wire import Origin

logger = logging.getLogger(__name__)


class LoopbackHub:
    """A Hub on 127.0.0.1, as a context manager.

    Point a client at it in a child process, with `environment`, or within this one, with
    `HfApi(endpoint=hub.url, token=hub.token)`.

    Args:
        user: Name of the user.
        token: Write token of the user; random by default.

    Attributes:
        user: Name of the user.
        token: Write token of the user.
        requests: Every request received, in order, including faults and dropped connections.
        unhandled: The requests that this Hub does not implement or failed to handle.
    """

    def __init__(self, *, user: str = "user", token: str | None = None):
        self.user, self.token = user, token or made_up_token()
        self.requests: list[Request] = []
        self.unhandled: list[Request] = []
        self._state = HubState(Access(self.user, self.token), Catalogue(), key=secrets.token_bytes(32))
        self._faults = Faults()
        self._lock = RLock()  # one request is handled at a time; bodies are sent and received in parallel

    def __enter__(self) -> "LoopbackHub":
        self._hub = Origin(self._answers(HUB), self._faults, self.requests.append)
        self._storage = Origin(self._answers(STORAGE), self._faults, self.requests.append, storage=True)
        self._state.url, self._state.storage_url = self._hub.url, self._storage.url
        return self

    def __exit__(self, *error):
        self._hub.close()
        self._storage.close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; empty before the `with` block."""
        return self._state.url

    @property
    def uploaded(self) -> Iterator[bytes]:
        """The bodies of all requests and the files in them decoded from base64, to search for leaks.

        Bodies of broken connections are included as far as they arrived. The values of a Space's secrets, which are meant
        to be sent, are not.
        """
        for request in tuple(self.requests):
            if request.body:
                yield from in_the_clear(request.body)

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment variables with which a child process uses this Hub.

        Args:
            home: Folder for its cache.
        """
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(Path(home) / "hub"),
            "HF_MODULES_CACHE": str(Path(home) / "modules"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    @property
    def repositories(self) -> list[tuple[str, str]]:
        """The type and id of every repository."""
        return self._state.catalogue.names()

    def files(self, repo_id: str, *, repo_type: str = "model", revision: str = "main") -> dict[str, bytes]:
        """Return the content of every file of a revision by path.

        Raises:
            KeyError: There is no such repository.
            MissingRevision: There is no such revision.
        """
        commit = self._state.catalogue.get(repo_type, repo_id).repository.at(revision)
        return {path: blob.content for path, blob in commit.files.items()}

    def commits(self, repo_id: str, *, repo_type: str = "model", revision: str = "main") -> list[Commit]:
        """Return the commits of a revision, newest first; the last is the initial commit.

        Raises:
            KeyError: There is no such repository.
            MissingRevision: There is no such revision.
        """
        return list(self._state.catalogue.get(repo_type, repo_id).repository.history(revision))

    def add_token(self, user: str | None = None, *, role: str = "write") -> str:
        """Return a new token.

        Args:
            user: The user; by default that of the Hub.
            role: "write" or "read".
        """
        return self._state.access.add_token(user or self.user, role)

    def fail(
        self,
        method: str,
        path_pattern: str,
        *,
        status: int = 500,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        drop_after: int | None = None,
        drop_response_after: int | None = None,
        times: int = 1,
    ) -> Fault:
        """Make the next matching requests fail, to the Hub or to its storage (`/storage/...`).

        Args:
            method: `GET`, `POST`, ...; HEAD is separate from GET.
            path_pattern: Regular expression to find in the path, without the query.
            status: 400 to 599.
            message: `X-Error-Message`; by default the name of the status.
            headers: Additional headers.
            body: Body of the answer instead of JSON with the message.
            drop_after: Break the connection after this many bytes of the request's body, and do nothing.
            drop_response_after: Handle the request, and break the connection after this many bytes of the answer.
            times: How many requests fail.

        Returns:
            The fault; `happened` counts the requests that failed.

        Raises:
            ValueError: The status is not an error, or `times` is below 1.
        """
        fault = Fault(
            method, path_pattern, status, message, headers or {}, body, drop_after, drop_response_after, times
        )
        return self._faults.plan(fault)

    def _answers(self, routes: tuple[Route, ...]) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            try:
                with self._lock:
                    found = dispatch(routes, self._state, call)
            except Exception as error:  # an error in a thread would be lost
                logger.exception("%s %s", call.method, call.path)
                found, problem = None, Refusal(500, f"{type(error).__name__}: {error}")
            else:
                problem = Refusal(404, "This Hub does not implement this address")
            if found is None:
                found = problem.answer()
                self.unhandled.append(Request(call.method, call.path, found.status, call.body))
            return found

        return answer
