"""The reads that both adapters share."""

from datetime import datetime

from sqlalchemy import select

from repositories.relational.audit.counters import SqlCounterReads
from repositories.relational.audit.whole import SqlAudit
from repositories.relational.deferred import SqlDeferredReads
from repositories.relational.event_log import SqlEventLog
from repositories.relational.feeds.fanouts import SqlFanoutReads
from repositories.relational.feeds.feed_activity import SqlFeedActivityReads
from repositories.relational.levels import SqlLevelReads
from repositories.relational.money.ledger import SqlLedgerReads
from repositories.relational.money.offers import SqlOfferReads
from repositories.relational.money.orders import SqlOrderReads
from repositories.relational.money.payments import SqlPaymentReads, SqlSandboxReads
from repositories.relational.money.refunds import SqlRefundReads
from repositories.relational.money.shipments import SqlShipmentReads
from repositories.relational.money.stock import SqlStockReads
from repositories.relational.outbox import RelationalOutbox
from repositories.relational.people.accounts import SqlAccountReads
from repositories.relational.people.graph import SqlGraphReads
from repositories.relational.people.likes import SqlLikeReads
from repositories.relational.people.mail_tokens import SqlMailTokenReads
from repositories.relational.people.session_endings import SqlEndingReads
from repositories.relational.port import RelationalStore
from repositories.relational.schema.functions import database_time
from repositories.relational.statement_runner import Runner, Snapshot
from repositories.relational.webhooks import SqlWebhookReads

NOW = select(database_time().label("now"))


class SqlRelational(RelationalStore):
    """Reads and the outbox. `runner` is in autocommit mode; a `snapshot` shows what was committed before it began."""

    def __init__(self, runner: Runner, snapshot: Snapshot) -> None:
        self.accounts = SqlAccountReads(runner)
        self.graph = SqlGraphReads(runner)
        self.likes = SqlLikeReads(runner)
        self.feed_activity = SqlFeedActivityReads(runner)
        self.fanouts = SqlFanoutReads(runner)
        self.stock = SqlStockReads(runner)
        self.offers = SqlOfferReads(runner)
        self.orders = SqlOrderReads(runner)
        self.refunds = SqlRefundReads(runner)
        self.shipments = SqlShipmentReads(runner)
        self.ledger = SqlLedgerReads(runner)
        self.payments = SqlPaymentReads(runner)
        self.sandbox = SqlSandboxReads(runner)
        self.audit = SqlAudit(snapshot)
        self.counters = SqlCounterReads(runner)
        self.deferred = SqlDeferredReads(runner)
        self.event_log = SqlEventLog(runner)
        self.levels = SqlLevelReads(runner)
        self.mail_tokens = SqlMailTokenReads(runner)
        self.endings = SqlEndingReads(runner)
        self.webhooks = SqlWebhookReads(runner)
        self.outbox = RelationalOutbox(runner)
        self._runner = runner

    def now(self) -> datetime:
        at: datetime = self._runner.rows(NOW, {})[0].now
        return at
