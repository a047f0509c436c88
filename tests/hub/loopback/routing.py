"""Routes from method and path to a handler, and the answers to the errors that handlers raise."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import unquote

from tests.hub.loopback.answers import Answer, Refusal
from tests.hub.loopback.repository import MissingEntry, MissingRevision, Outdated, Taken
from tests.hub.loopback.state import Call, HubState

# The values of a variable in a pattern; any other variable is one part of the path.
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
    """A handler for a method and a pattern of paths; `{name}` in a pattern is a variable."""

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
    """Return the answer of the first route that matches, or None. HEAD uses the routes of GET."""
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
