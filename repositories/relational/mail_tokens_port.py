"""Mailed tokens. Only their digests are stored. An account has at most one token for each purpose.

A token is valid for the address and the password that it was issued for: a change of either deletes the token in the
same transaction.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from repositories.records.people import Login

Purpose = Literal["reset", "verify"]


class MailTokenReads(Protocol):
    @abstractmethod
    def owner(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        """The token's account. None if it is unknown, of another purpose, replaced, taken or expired at `now`."""


class MailTokenWrites(Protocol):
    @abstractmethod
    def put(self, login: Login, purpose: Purpose, digest: bytes, *, expires_at: datetime) -> None:
        """Store a token, replacing the account's earlier one of this purpose.

        Raises `Stale` when the account's address or password is no longer that of `login`.
        """

    @abstractmethod
    def take(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        """As `owner`, and delete the token: of two concurrent calls only one gets the account."""

    @abstractmethod
    def sweep(self, *, before: datetime, limit: int) -> int:
        """Delete up to `limit` tokens that expired at `before` or earlier. Returns how many."""
