"""Access: who a token belongs to, what it may do, and what the Hub says when it may not."""

import secrets
import string
from dataclasses import dataclass

from tests.hub.loopback.answers import Refusal

ROLES = ("read", "write")


def made_up_token() -> str:
    """A token of the Hub's form that was never valid anywhere."""
    letters = string.ascii_letters + string.digits
    return "hf_" + "".join(secrets.choice(letters) for _ in range(34))


@dataclass(frozen=True)
class Account:
    """The user behind a request, and the role (`read` or `write`) of the token that it came with."""

    user: str
    role: str


class Access:
    """The tokens that this Hub knows."""

    def __init__(self, user: str, token: str):
        self.tokens = {token: Account(user, "write")}

    def add_token(self, user: str, role: str = "write") -> str:
        """A new token of a user, who need not have been known.

        Raises:
            ValueError: for an unknown role.
        """
        if role not in ROLES:
            raise ValueError(f"role is {role!r}; a token has one of {', '.join(ROLES)}")
        token = made_up_token()
        self.tokens[token] = Account(user, role)
        return token

    def account(self, authorization: str | None) -> Account | None:
        """Who sent a request, by its `Authorization` header; None for a stranger.

        Raises:
            Refusal: 401 for a token that nobody has.
        """
        if authorization is None:
            return None
        try:
            return self.tokens[authorization.removeprefix("Bearer ")]
        except KeyError:
            raise Refusal(401, "Invalid credentials in Authorization header") from None

    def tokens_in(self, content: bytes) -> bool:
        """Whether a file has a valid token in it."""
        return any(token.encode() in content for token in self.tokens)


def signed_in(account: Account | None) -> Account:
    """The account; a stranger is refused with 401."""
    if account is None:
        raise Refusal(401, "Invalid username or password.")
    return account


def writer(account: Account | None, owner: str) -> Account:
    """The account if it may write in this namespace; otherwise 401 or 403."""
    account = signed_in(account)
    if account.role != "write":
        raise Refusal(403, "Forbidden: you must use a write token to upload to a repository")
    if account.user != owner:
        raise Refusal(403, f"Forbidden: {account.user} has no write access to the namespace {owner}")
    return account
