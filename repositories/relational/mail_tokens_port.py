"""Tokens that were mailed: found by their digest, which is all that is stored. An account has one for each purpose.

A token works for the address and the password that it was made for: a change of either ends it, in one transaction.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from repositories.records import Login

Purpose = Literal["reset", "verify"]


class MailTokenReads(Protocol):
    @abstractmethod
    def owner(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        """Whose token it is. None where it is unknown, of another purpose, replaced, taken, or `now` is its end."""


class MailTokenWrites(Protocol):
    @abstractmethod
    def put(self, login: Login, purpose: Purpose, digest: bytes, *, expires_at: datetime) -> None:
        """Store a token in the place of the account's earlier one of this purpose.

        Raises `Stale` when the account's address or password is not that of `login` any more.
        """

    @abstractmethod
    def take(self, digest: bytes, purpose: Purpose, *, now: datetime) -> UUID | None:
        """As `owner`, and the token is gone: of two who take it one gets it."""

    @abstractmethod
    def sweep(self, *, before: datetime, limit: int) -> int:
        """Forget tokens that have expired. Returns how many."""
