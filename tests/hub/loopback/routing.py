"""Routing: rows of method, pattern and handler, and what becomes of the errors of a handler."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import unquote

from tests.hub.loopback.answers import Answer, Refusal
from tests.hub.loopback.repository import MissingEntry, MissingRevision, Outdated, Taken
from tests.hub.loopback.state import Call, HubState

# What a variable of a pattern may stand for; everything else is one part of the path.
_VARIABLES = {
    "kind": "models|datasets|spaces",
    "prefix": "(?!api/)(?:datasets/|spaces/)?",
    "repo": "[^/]+(?:/[^/]+)?",
    "path": ".+",
}
REFUSED = {
    MissingRevision: (404, "RevisionNotFound"),
    MissingEntry: (404, "EntryNotFound"),
    Taken: (409, None),
    Outdated: (412, None),
}


@dataclass(frozen=True)
class Route:
    """Requests of a method whose path matches the pattern go to the handler. `{name}` in a pattern is a variable."""

    method: str
    pattern: str
    handler: Callable[[HubState, Call], Answer]

    @cached_property
    def expression(self) -> re.Pattern:
        """The pattern as a regular expression."""
        parts = re.split(r"\{(\w+)\}", self.pattern)  # text and names by turns
        text = [re.escape(part) for part in parts[::2]]
        groups = [f"(?P<{name}>{_VARIABLES.get(name, '[^/]+')})" for name in parts[1::2]]
        return re.compile("".join(a + b for a, b in zip(text, [*groups, ""], strict=True)))


def dispatch(routes: Iterable[Route], state: HubState, call: Call) -> Answer | None:
    """The answer of the first route that fits, or None if none does.

    HEAD is asked of the routes of GET; whoever sends the answer leaves the body out.
    """
    method = "GET" if call.method == "HEAD" else call.method
    for route in routes:
        match = route.expression.fullmatch(call.path)
        if match is None or route.method != method:
            continue
        arguments = {name: unquote(value) for name, value in match.groupdict().items()}
        try:
            account = state.access.account(call.headers.get("authorization"))
            return route.handler(state, replace(call, account=account, arguments=arguments))
        except Refusal as refusal:
            return refusal.answer()
        except tuple(REFUSED) as error:
            status, code = REFUSED[type(error)]
            return Refusal(status, str(error), code=code).answer()
    return None
