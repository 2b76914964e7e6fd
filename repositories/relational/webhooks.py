"""Webhooks as rows. Each has a row in `sinks` too."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Executable, bindparam, delete, func, insert, literal, select, update

from repositories.errors import NotFound
from repositories.relational.event_log import forget_sink
from repositories.relational.schema.columns import ID, TEXT, TIME
from repositories.relational.schema.functions import database_time
from repositories.relational.schema.tables import event_log, sinks, webhooks
from repositories.relational.statement_runner import RunnerBacked
from repositories.relational.webhooks_port import Webhook, WebhookReads, WebhookWrites, sink_of
from repositories.relational.work import WorkBacked

_its = webhooks.c.id == bindparam("its_id", type_=ID)
_next = webhooks.c.revision + 1
_ALL = select(*(webhooks.c[name] for name in Webhook.__struct_fields__)).order_by(webhooks.c.id)
_ADD = insert(webhooks).inline()
_end = select(
    bindparam("its_sink", type_=TEXT), func.coalesce(func.max(event_log.c.position), 0), database_time(), literal(0)
)
_ADD_SINK = insert(sinks).from_select(["name", "position", "due_at", "attempts"], _end).inline()
_ROTATE = (
    update(webhooks)
    .where(_its)
    .values(
        former_secret=webhooks.c.secret,
        secret=bindparam("new_secret", type_=TEXT),
        former_until=bindparam("until", type_=TIME),
        revision=_next,
    )
)
_TOUCH = update(webhooks).where(_its).values(revision=_next)
_REMOVE = delete(webhooks).where(_its)


class SqlWebhookReads(RunnerBacked, WebhookReads):
    def all(self) -> list[Webhook]:
        rows = self._runner.rows(_ALL, {})
        return [Webhook(one, url, tuple(types.split()), *rest) for one, url, types, *rest in rows]


class SqlWebhookWrites(WorkBacked, WebhookWrites):
    def add(self, webhook: Webhook) -> None:
        row = {name: getattr(webhook, name) for name in Webhook.__struct_fields__}
        self._work.change(_ADD, row | {"types": " ".join(webhook.types)})
        self._work.change(_ADD_SINK, {"its_sink": webhook.sink})

    def rotate(self, webhook_id: UUID, secret: str, *, former_until: datetime) -> None:
        self._change(_ROTATE, webhook_id, new_secret=secret, until=former_until)

    def touch(self, webhook_id: UUID) -> None:
        self._change(_TOUCH, webhook_id)

    def remove(self, webhook_id: UUID) -> None:
        self._change(_REMOVE, webhook_id)
        forget_sink(self._work, sink_of(webhook_id))

    def _change(self, statement: Executable, webhook_id: UUID, **values: object) -> None:
        if not self._work.change(statement, {"its_id": webhook_id, **values}):
            raise self._work.refused(NotFound(str(webhook_id)))
