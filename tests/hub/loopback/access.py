"""Tokens: to whom they belong, and what they may do."""

import secrets
import string
from dataclasses import dataclass

from tests.hub.loopback.answers import Refusal

ROLES = ("read", "write")


def made_up_token() -> str:
    """Return a random token in the format of the Hub."""
    letters = string.ascii_letters + string.digits
    return "hf_" + "".join(secrets.choice(letters) for _ in range(34))


@dataclass(frozen=True)
class Account:
    """The user of a request, and the role (`read` or `write`) of the token."""

    user: str
    role: str


class Access:
    """The tokens that this Hub knows."""

    def __init__(self, user: str, token: str):
        self.tokens = {token: Account(user, "write")}

    def add_token(self, user: str, role: str = "write") -> str:
        """Return a new token; the user may be new too.

        Raises:
            ValueError: The role is unknown.
        """
        if role not in ROLES:
            raise ValueError(f"role is {role!r}; a token has one of {', '.join(ROLES)}")
        token = made_up_token()
        self.tokens[token] = Account(user, role)
        return token

    def account(self, authorization: str | None) -> Account | None:
        """Return the account of an `Authorization` header; None without a header.

        Raises:
            Refusal: 401, the token is unknown.
        """
        if authorization is None:
            return None
        try:
            return self.tokens[authorization.removeprefix("Bearer ")]
        except KeyError:
            raise Refusal(401, "Invalid credentials in Authorization header") from None

    def tokens_in(self, content: bytes) -> bool:
        """Return whether a file contains a valid token."""
        return any(token.encode() in content for token in self.tokens)


def signed_in(account: Account | None) -> Account:
    """Return the account; without one, refuse with 401."""
    if account is None:
        raise Refusal(401, "Invalid username or password.")
    return account


def writer(account: Account | None, owner: str) -> Account:
    """Return the account if it may write in this namespace; otherwise refuse with 401 or 403."""
    account = signed_in(account)
    if account.role != "write":
        raise Refusal(403, "Forbidden: you must use a write token to upload to a repository")
    if account.user != owner:
        raise Refusal(403, f"Forbidden: {account.user} has no write access to the namespace {owner}")
    return account
