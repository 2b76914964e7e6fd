"""The write ports of one transaction."""

import functools
from datetime import datetime

from sqlalchemy import Executable

from repositories.records.events import Event
from repositories.relational.audit.counters import SqlCounterWrites
from repositories.relational.bulk import Load
from repositories.relational.deferred import SqlDeferredWrites
from repositories.relational.event_log import SqlEventLogWrites
from repositories.relational.feeds.fanout_writes import SqlFanoutWrites
from repositories.relational.feeds.feed_activity import SqlFeedActivityWrites
from repositories.relational.levels import SqlLevelWrites
from repositories.relational.money.idempotency import SqlIdempotencyWrites
from repositories.relational.money.ledger_writes import SqlLedgerWrites
from repositories.relational.money.offers import SqlOfferWrites
from repositories.relational.money.order_chain import Heads
from repositories.relational.money.orders import SqlOrderWrites
from repositories.relational.money.payments import SqlOpenPaymentWrites, SqlSandboxWrites
from repositories.relational.money.refunds import SqlRefundWrites
from repositories.relational.money.shipments import SqlShipmentWrites
from repositories.relational.money.stock_writes import SqlStockWrites
from repositories.relational.people.accounts import SqlAccountWrites
from repositories.relational.people.graph import SqlGraphWrites
from repositories.relational.people.likes import SqlLikeWrites
from repositories.relational.people.mail_tokens import SqlMailTokenWrites
from repositories.relational.people.session_endings import SqlEndingWrites
from repositories.relational.port import BulkWrites, Transaction
from repositories.relational.sql_store import NOW
from repositories.relational.webhooks import SqlWebhookWrites
from repositories.relational.work import Work


class SqlTransaction(Transaction):
    def __init__(self, work: Work, *, emit: Executable, load: Load, patience: int = 0) -> None:
        """`patience`: how many milliseconds a statement waits for a row lock, if the engine has such a limit."""
        self.accounts = SqlAccountWrites(work)
        self.graph = SqlGraphWrites(work)
        self.likes = SqlLikeWrites(work)
        self.feed_activity = SqlFeedActivityWrites(work)
        self.fanouts = SqlFanoutWrites(work)
        self.counters = SqlCounterWrites(work)
        self.stock = SqlStockWrites(work)
        self.offers = SqlOfferWrites(work)
        heads: Heads = {}
        self.orders = SqlOrderWrites(work, heads)
        self.refunds = SqlRefundWrites(work)
        self.shipments = SqlShipmentWrites(work)
        self.ledger = SqlLedgerWrites(work, heads)
        self.open_payments = SqlOpenPaymentWrites(work)
        self.sandbox = SqlSandboxWrites(work)
        self.idempotency = SqlIdempotencyWrites(work, patience)
        self.deferred = SqlDeferredWrites(work)
        self.event_log = SqlEventLogWrites(work)
        self.levels = SqlLevelWrites(work)
        self.mail_tokens = SqlMailTokenWrites(work)
        self.endings = SqlEndingWrites(work)
        self.webhooks = SqlWebhookWrites(work)
        self._work = work
        self._load = load
        self._emit = emit

    @functools.cached_property
    def bulk(self) -> BulkWrites:  # type: ignore[override]  # it is only read
        from repositories.relational.bulk.people import SqlBulk

        return SqlBulk(self._work, self._load)

    def now(self) -> datetime:
        if self._work.seen is None:
            self._work.seen = self._work.rows(NOW, {})[0].now
        return self._work.seen

    def emit(self, *events: Event) -> None:
        """Write the events, due at once by the database's clock."""
        rows = [{name: getattr(event, name) for name in event.__struct_fields__} | {"attempts": 0} for event in events]
        if rows:
            self._work.queue(self._emit, rows)
