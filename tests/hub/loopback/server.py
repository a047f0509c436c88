"""The Hub itself: two addresses on the loopback interface, one state behind them, and a record of what came."""

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
    """A Hub on 127.0.0.1 over real HTTP, in memory; a context manager.

    Point a client at it in a child process, with `environment`, or within this one, with
    `HfApi(endpoint=hub.url, token=hub.token)`.

    Args:
        user: whose Hub it is.
        token: the user's, with the right to write; by default one made up at random.

    Attributes:
        user: as given.
        token: as given, or made up.
        requests: everything received, in order; faults and dropped connections too.
        unhandled: those of them that this Hub does not know, or that it failed at.
    """

    def __init__(self, *, user: str = "user", token: str | None = None):
        self.user, self.token = user, token or made_up_token()
        self.requests: list[Request] = []
        self.unhandled: list[Request] = []
        self._state = HubState(Access(self.user, self.token), Catalogue(), key=secrets.token_bytes(32))
        self._faults = Faults()
        self._lock = RLock()  # one request after the other; their bodies come and go side by side

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
        """Every byte that came in the body of a request, for a search for what should not have come.

        Whole bodies, and what lies in them as base64; bodies of broken connections as far as they came. Only the
        values of a Space's secrets are left out: they are meant to be sent.
        """
        for request in tuple(self.requests):
            if request.body:
                yield from in_the_clear(request.body)

    def environment(self, home: Path) -> dict[str, str]:
        """What to lay over the environment of a child process, so that it speaks with this Hub only.

        Args:
            home: folder for its cache; a new one is an empty cache.
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
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    @property
    def repositories(self) -> list[tuple[str, str]]:
        """Type and id of everything that was made here."""
        return self._state.catalogue.names()

    def files(self, repo_id: str, *, repo_type: str = "model", revision: str = "main") -> dict[str, bytes]:
        """Content of every file of a revision, by path, whoever may see it.

        Raises:
            KeyError: if there is no such repository.
            MissingRevision: if it has no such revision.
        """
        commit = self._state.catalogue.get(repo_type, repo_id).repository.at(revision)
        return {path: blob.content for path, blob in commit.files.items()}

    def commits(self, repo_id: str, *, repo_type: str = "model", revision: str = "main") -> list[Commit]:
        """The commits of a revision, newest first; the last is the one that every repository begins with.

        Raises:
            KeyError: if there is no such repository.
            MissingRevision: if it has no such revision.
        """
        return list(self._state.catalogue.get(repo_type, repo_id).repository.history(revision))

    def add_token(self, user: str | None = None, *, role: str = "write") -> str:
        """A further token.

        Args:
            user: whose; by default the Hub's user. Another user has a namespace of their own.
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
        """Let the next requests of a kind fail; those of the storage of large files (`/storage/...`) too.

        Args:
            method: `GET`, `POST`, ...; HEAD is another one than GET.
            path_pattern: regular expression that is found in the path, without the query.
            status: 400 to 599.
            message: for people (`X-Error-Message`); by default the name of the status.
            headers: further ones.
            body: in place of JSON with the message.
            drop_after: break the connection after so many bytes of the request's body; nothing is carried out.
            drop_response_after: carry the request out, and break the connection after so many bytes of the answer.
            times: how often.

        Returns:
            The fault; its `happened` counts.

        Raises:
            ValueError: for a status that is no error, or `times` below 1.
        """
        plan = Fault(
            method, path_pattern, status, message, headers or {}, body, drop_after, drop_response_after, times
        )
        return self._faults.plan(plan)

    def _answers(self, routes: tuple[Route, ...]) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            try:
                with self._lock:
                    found = dispatch(routes, self._state, call)
            except Exception as error:  # whatever a handler did not expect is shown, not lost in a thread
                logger.exception("%s %s", call.method, call.path)
                found, problem = None, Refusal(500, f"{type(error).__name__}: {error}")
            else:
                problem = Refusal(404, "This Hub does not know this address")
            if found is None:
                found = problem.answer()
                self.unhandled.append(Request(call.method, call.path, found.status, call.body))
            return found

        return answer
