"""The records of idempotency keys: the key of a request, its stored answer, and the results of a claim."""

from datetime import timedelta
from uuid import UUID

from msgspec import Struct


class RequestKey(Struct, frozen=True):
    """An idempotency key with its scope, which is the account, and the route with its method."""

    account_id: UUID
    route: str
    key: str


class Answer(Struct, frozen=True):
    """A stored answer, replayed byte by byte."""

    status: int
    headers: dict[str, str]
    body: bytes


class Granted(Struct, frozen=True):
    """The claim is granted. `taken_over`: an earlier claim's lease had ended."""

    lease: UUID
    taken_over: bool = False


class InFlight(Struct, frozen=True):
    """Another request holds the claim, for at most `left`; None if that is not known."""

    left: timedelta | None = None


class Mismatch(Struct, frozen=True):
    """The key was used with another body."""
