"""Manages receivers of webhooks: adds, changes and removes them, and replays events. The relay sends to them."""

import base64
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from app.envelopes import TYPES
from app.errors import Missing, RuleBroken, Unprocessable, WebhooksOff
from app.services.commands.kit import Kit
from repositories.address import BadAddress
from repositories.relational import RelationalStore
from repositories.relational.event_log_port import SinkDeadLetter, SinkState
from repositories.relational.webhooks_port import Webhook
from repositories.sinks import Inside, webhook_target

# Receivers at most: each takes a thread in every relay.
MOST = 50
_SECRET_BYTES = 32


class WebhookRules(Struct, frozen=True):
    """`overlap` is how long a replaced secret still signs, beside the new one."""

    on: bool
    inside: Inside
    overlap: timedelta


class ServedWebhook(Struct, frozen=True):
    webhook: Webhook
    state: SinkState


class Webhooks:
    def __init__(self, relational: RelationalStore, kit: Kit, rules: WebhookRules) -> None:
        self._relational = relational
        self._kit = kit
        self._rules = rules

    def all(self) -> list[ServedWebhook]:
        """All receivers, in the order in which they were added."""
        states = {state.sink: state for state in self._relational.event_log.states()}
        return [ServedWebhook(one, states[one.sink]) for one in self._relational.webhooks.all() if one.sink in states]

    def one(self, webhook_id: UUID) -> ServedWebhook:
        """Raises `Missing`."""
        found = next((one for one in self.all() if one.webhook.id == webhook_id), None)
        if found is None:
            raise Missing("there is no such webhook")
        return found

    def add(self, url: str, types: Collection[str]) -> Webhook:
        """Raises `Unprocessable`, `RuleBroken` and `WebhooksOff`."""
        if not self._rules.on:
            raise WebhooksOff
        unknown = sorted(set(types) - TYPES)
        if unknown:
            raise Unprocessable("the body is invalid", {"/types": f"there are no events {', '.join(unknown)}"})
        try:
            webhook_target(url, self._rules.inside)
        except BadAddress as error:
            raise Unprocessable("the body is invalid", {"/url": str(error)}) from error
        if len(self._relational.webhooks.all()) >= MOST:
            raise RuleBroken(f"there are {MOST} webhooks; remove one", code="webhooks_full")
        made = Webhook(self._kit.ids(), url, tuple(sorted(set(types))), _secret(), self._kit.clock())
        with self._relational.transaction() as tx:
            tx.webhooks.add(made)
        return made

    def rotate(self, webhook_id: UUID) -> Webhook:
        """Give the receiver a new secret. Both secrets sign until `former_until`. Raises `NotFound`."""
        secret, until = _secret(), self._kit.clock() + self._rules.overlap
        with self._relational.transaction() as tx:
            tx.webhooks.rotate(webhook_id, secret, former_until=until)
        return self.one(webhook_id).webhook

    def switch(self, webhook_id: UUID, *, on: bool) -> ServedWebhook:
        """Enable or disable. An enabled receiver continues where it stopped, if the log still has that event.

        Raises `Missing`.
        """
        sink = self.one(webhook_id).webhook.sink
        with self._relational.transaction() as tx:
            tx.event_log.switch(sink, on=on)
            tx.webhooks.touch(webhook_id)
        return self.one(webhook_id)

    def remove(self, webhook_id: UUID) -> None:
        """Raises `NotFound`."""
        with self._relational.transaction() as tx:
            tx.webhooks.remove(webhook_id)

    def replay(self, webhook_id: UUID, since: datetime | None) -> int:
        """Send again all events logged since `since`, or the dead letters if it is None.

        Returns how many are sent again. Raises `Missing`.
        """
        sink, count = self.one(webhook_id).webhook.sink, 0
        with self._relational.transaction() as tx:
            if since is None:
                count = tx.event_log.retry(sink)
            else:
                tx.event_log.rewind(sink, since=since)
            tx.webhooks.touch(webhook_id)
        return self.one(webhook_id).state.waiting if since else count

    def dead_letters(self, webhook_id: UUID, *, after: int, limit: int) -> list[SinkDeadLetter]:
        """Raises `Missing`."""
        return self._relational.event_log.dead_letters(self.one(webhook_id).webhook.sink, after=after, limit=limit)


def _secret() -> str:
    """A new secret in the form of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
