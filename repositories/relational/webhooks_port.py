"""Receivers of webhooks. From the moment it is added each is also a sink of the event log, named `Webhook.sink`."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

_PREFIX = "webhook-"


def sink_of(webhook_id: UUID) -> str:
    return f"{_PREFIX}{webhook_id}"


def webhook_of(sink: str) -> str | None:
    """The id of the webhook whose sink this is; None for another sink."""
    return sink.removeprefix(_PREFIX) if sink.startswith(_PREFIX) else None


def series_of(sink: str) -> str:
    """The sink's name in metrics. All receivers of webhooks share one, since there may be any number of them."""
    return "webhooks" if webhook_of(sink) else sink


class Webhook(Struct, frozen=True):
    """A receiver of events. `types` has the types of the envelopes it gets, sorted; without any it gets all.

    Until `former_until` deliveries are also signed with the former secret. `revision` grows with every change, and
    whenever workers must start serving the sink anew.
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
        """The secrets that sign at `now`, newest first."""
        former = self.former_secret if self.former_until and now < self.former_until else None
        return (self.secret, former) if former else (self.secret,)


class WebhookReads(Protocol):
    @abstractmethod
    def all(self) -> list[Webhook]:
        """All webhooks by ascending id, which is the order of creation."""


class WebhookWrites(Protocol):
    @abstractmethod
    def add(self, webhook: Webhook) -> None:
        """Add a webhook. Its sink begins with the events logged from now on."""

    @abstractmethod
    def rotate(self, webhook_id: UUID, secret: str, *, former_until: datetime) -> None:
        """Set a new secret and keep the present one as the former one. Raises `NotFound`."""

    @abstractmethod
    def touch(self, webhook_id: UUID) -> None:
        """Increment the revision. Raises `NotFound`."""

    @abstractmethod
    def remove(self, webhook_id: UUID) -> None:
        """Remove the webhook, its sink and the sink's dead letters. Raises `NotFound`."""
