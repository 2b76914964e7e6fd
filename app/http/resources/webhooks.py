"""`/operator/webhooks`: administration of the receivers of webhooks. Their manual is `docs/webhooks.md`."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from app.envelopes import name_of
from app.http.edge import answers
from app.http.edge.blueprint import Blueprint
from app.http.edge.deps import container, cursors
from app.http.edge.fields import Instant, JsonBoolean, Text
from app.http.edge.operator import OPERATOR, operator
from app.http.edge.paging import PageQuery
from app.services.pages.fragments import encode, moment
from app.services.webhooks.webhooks import ServedWebhook
from repositories.relational.webhooks_port import Webhook

blp = Blueprint("webhooks", "Webhooks", OPERATOR)
_TYPES = 100


class WebhookDraftSchema(ma.Schema):
    url = Text(required=True, validate=ma.validate.Length(1, 2000))
    types = ma.fields.List(Text(), load_default=(), validate=ma.validate.Length(max=_TYPES))


class WebhookStateSchema(ma.Schema):
    enabled = JsonBoolean(required=True)


class ReplaySchema(ma.Schema):
    class Meta:
        empty = True

    since = Instant(load_default=None)


@blp.post("/webhooks")
@operator
@blp.arguments(WebhookDraftSchema)
def add_webhook(wanted: dict[str, Any]) -> Response:
    """Add a receiver of events, of all types if `types` is empty. Only this response contains the secret."""
    made = container().webhooks.add(wanted["url"], wanted["types"])
    answer = answers.created(encode(_own(made) | {"secret": made.secret}), f"{OPERATOR}/webhooks/{made.id}")
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@blp.get("/webhooks")
@operator
def list_webhooks() -> Response:
    return answers.page((encode(_item(one)) for one in container().webhooks.all()), None)


@blp.get("/webhooks/<uuid:webhook_id>")
@operator
def get_webhook(webhook_id: UUID) -> Response:
    return answers.plain(_item(container().webhooks.one(webhook_id)))


@blp.delete("/webhooks/<uuid:webhook_id>")
@operator
def remove_webhook(webhook_id: UUID) -> Response:
    container().webhooks.remove(webhook_id)
    return answers.nothing()


@blp.put("/webhooks/<uuid:webhook_id>/state")
@operator
@blp.arguments(WebhookStateSchema)
def switch_webhook(wanted: dict[str, Any], webhook_id: UUID) -> Response:
    """Enable or disable a receiver."""
    return answers.plain(_item(container().webhooks.switch(webhook_id, on=wanted["enabled"])))


@blp.post("/webhooks/<uuid:webhook_id>/secret")
@operator
def rotate_webhook(webhook_id: UUID) -> Response:
    """Give a receiver a new secret. Posts are signed with the previous one too until `former_until`."""
    made = container().webhooks.rotate(webhook_id)
    answer = answers.plain(_own(made) | {"secret": made.secret})
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


@blp.post("/webhooks/<uuid:webhook_id>/replay")
@operator
@blp.arguments(ReplaySchema)
def replay_webhook(wanted: dict[str, Any], webhook_id: UUID) -> Response:
    """Send again all events logged at `since` or later, in order; without `since`, each dead letter once."""
    return answers.plain({"events": container().webhooks.replay(webhook_id, wanted["since"])})


@blp.get("/webhooks/<uuid:webhook_id>/dead-letters")
@operator
@blp.arguments(PageQuery, location="query")
def list_dead_letters(query: dict[str, Any], webhook_id: UUID) -> Response:
    """List the events that a receiver did not accept, in order."""
    scope, limit, cursor = f"dead-letters:{webhook_id}", query["limit"], query["cursor"]
    after = int(cursors().read(scope, cursor)[0]) if cursor else 0
    found = container().webhooks.dead_letters(webhook_id, after=after, limit=limit + 1)
    onward = cursors().onward(scope, found, limit, lambda last: [last.logged.position])
    items = (
        {
            "event_id": dead.logged.event.id,
            "type": name_of(dead.logged.event.type),
            "subject": dead.logged.event.aggregate,
            "reason": dead.reason,
            "dead_lettered_at": moment(dead.dead_lettered_at),
        }
        for dead in found[:limit]
    )
    return answers.page(map(encode, items), onward)


def _own(webhook: Webhook) -> dict[str, Any]:
    until = webhook.former_until
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": webhook.types,
        "created_at": moment(webhook.created_at),
        "former_until": moment(until) if until else None,
    }


def _item(served: ServedWebhook) -> dict[str, Any]:
    state = served.state
    return _own(served.webhook) | {
        "enabled": state.disabled_at is None,
        "waiting": state.waiting,
        "oldest": moment(state.oldest) if state.oldest else None,
        "dead_lettered": state.dead_lettered,
        "failing_since": moment(state.failing_since) if state.failing_since else None,
        "reason": state.reason,
    }
