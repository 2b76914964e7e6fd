"""Who is sent webhooks. Each is a sink of the event log as well, by its `sink`, from the moment it is added."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

_PREFIX = "webhook-"


def sink_of(webhook_id: UUID) -> str:
    return f"{_PREFIX}{webhook_id}"


def series_of(sink: str) -> str:
    """How metrics call a sink. There may be any number of receivers of webhooks, which are one together."""
    return "webhooks" if sink.startswith(_PREFIX) else sink


class Webhook(Struct, frozen=True):
    """Gets the events of these types, or all of them. `types` are those of the envelope, in order.

    Until `former_until` the former secret signs as well. `revision` grows with every change, and wherever its sink is
    to be served anew.
    """

    id: UUID
    url: str
    types: tuple[str, ...]
    secret: str
    created_at: datetime
    former_secret: str | None = None
    former_until: datetime | None = None
    revision: int = 0

    @property
    def sink(self) -> str:
        return sink_of(self.id)

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Those that sign, the newest first."""
        former = self.former_secret if self.former_until and now < self.former_until else None
        return (self.secret, former) if former else (self.secret,)


class WebhookReads(Protocol):
    @abstractmethod
    def all(self) -> list[Webhook]:
        """By ascending id, which is the order in which they were made."""


class WebhookWrites(Protocol):
    @abstractmethod
    def add(self, webhook: Webhook) -> None:
        """Its sink begins with what is logged from now on."""

    @abstractmethod
    def rotate(self, webhook_id: UUID, secret: str, *, former_until: datetime) -> None:
        """What was the secret is the former one. Raises `NotFound`."""

    @abstractmethod
    def touch(self, webhook_id: UUID) -> None:
        """A new revision. Raises `NotFound`."""

    @abstractmethod
    def remove(self, webhook_id: UUID) -> None:
        """With its sink and that one's dead letters. Raises `NotFound`."""
