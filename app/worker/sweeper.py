"""Periodic jobs, which the relay runs between its rounds.

They handle placed orders that are due, expired holds and reservations, unfinished writes of products; old idempotency
keys, reserved handles, mailed tokens, session endings, fan-out progress and logged events; readers who became dormant,
pulled authors who post less again, view counts, deferred work, and partitions of feeds. Every job is bounded and may
run in several relays at once. A job that fails with a `StoreError` does not affect the others.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from app.clock import Clock
from app.services.commands.idempotency import KEPT
from app.services.commands.retrying import Retry
from app.services.content.products import Products
from app.services.content.views import Views
from app.services.feeds.feed_activity import FeedActivity
from app.services.feeds.pulling import Pulling
from app.services.money.settlement import Settlement
from app.services.people.sessions import Sessions
from app.telemetry import ledger_alarms
from app.worker.deferred import DeferredWork
from repositories.errors import Inconsistent, StoreError
from repositories.feeds import FeedStore
from repositories.records.money import Created
from repositories.relational import RelationalStore

log = logging.getLogger(__name__)
EVERY = timedelta(seconds=1)
BATCH = 100
KEYS = 1000
# Longer than any request takes: a product write that began before is not running any more.
WRITTEN = timedelta(minutes=1)
PROGRESS_KEPT = timedelta(days=30)


class Sweeper:
    def __init__(
        self,
        relational: RelationalStore,
        feeds: FeedStore,
        sessions: Sessions,
        settlement: Settlement,
        products: Products,
        feed_activity: FeedActivity,
        pulling: Pulling,
        views: Views,
        deferred: DeferredWork,
        retry: Retry,
        clock: Clock,
        log_kept: timedelta | None = None,
    ) -> None:
        self._relational = relational
        self._feeds = feeds
        self._sessions = sessions
        self._settlement = settlement
        self._products = products
        self._feed_activity = feed_activity
        self._pulling = pulling
        self._views = views
        self._deferred = deferred
        self._retry = retry
        self._clock = clock
        self._log_kept = log_kept
        self._next: datetime | None = None

    def tick(self) -> None:
        """Sweep, unless the last sweep was less than the interval ago."""
        now = self._clock()
        if self._next is None or now >= self._next:
            self._next = now + EVERY
            self.sweep()

    def sweep(self) -> int:
        """Run every job once and return the number of items swept. Logs a `StoreError`; the next sweep tries again."""
        jobs = (
            self._stuck_orders,
            self._due_reservations,
            self._due_holds,
            self._begun_offers,
            self._old_keys,
            self._old_handles,
            self._old_mail_tokens,
            self._old_endings,
            self._sessions.end_again,
            self._old_fanouts,
            self._old_log,
            self._feed_activity.put_to_sleep,
            self._pulling.return_batch,
            self._views.flush,
            self._deferred.perform,
            self._partitions,
        )
        return sum(self._run_job(job, self._clock()) for job in jobs)

    # Whether orders, reservations and holds are due is decided by the database's clock.
    def _stuck_orders(self, _now: datetime) -> int:
        now = self._relational.now()
        return self._settle([order.id for order in self._relational.orders.stuck(now=now, limit=BATCH)])

    def _due_reservations(self, _now: datetime) -> int:
        now = self._relational.now()
        return self._settle(self._relational.stock.due_reservations(now=now, limit=BATCH))

    def _due_holds(self, _now: datetime) -> int:
        """Settle the orders of holds that are due, and expire due holds without an order."""
        now = self._relational.now()
        due = self._relational.ledger.due_holds(now=now, limit=BATCH)
        swept = self._settle(sorted({hold.order_id for hold in due if hold.order_id}))
        return swept + sum(self._run_job(self._expiry(hold.id), now) for hold in due if not hold.order_id)

    def _begun_offers(self, _now: datetime) -> int:
        """Finish product writes that began more than `WRITTEN` ago and whose outcome is unknown."""
        before = self._relational.now() - WRITTEN
        begun = self._relational.offers.begun(before=before, limit=BATCH)
        return sum(self._run_job(self._end_of_write(product_id), before) for product_id in begun)

    def _old_keys(self, _now: datetime) -> int:
        with self._relational.transaction() as tx:
            return tx.idempotency.sweep(before=tx.now() - KEPT, limit=KEYS)

    def _old_handles(self, now: datetime) -> int:
        with self._relational.transaction() as tx:
            return tx.accounts.end_reservations(before=now, limit=KEYS)

    def _old_endings(self, now: datetime) -> int:
        with self._relational.transaction() as tx:
            return tx.endings.sweep(before=now, limit=KEYS)

    def _old_mail_tokens(self, now: datetime) -> int:
        with self._relational.transaction() as tx:
            return tx.mail_tokens.sweep(before=now, limit=KEYS)

    def _old_fanouts(self, now: datetime) -> int:
        with self._relational.transaction() as tx:
            return tx.fanouts.sweep(finished_before=now - PROGRESS_KEPT, limit=KEYS)

    def _partitions(self, _now: datetime) -> int:
        return self._feeds.sweep()

    def _old_log(self, _now: datetime) -> int:
        """Delete logged events that every sink has sent. Without sinks no events are logged."""
        if self._log_kept is None:
            return 0
        with self._relational.transaction() as tx:
            return tx.event_log.sweep(kept=self._log_kept, limit=KEYS)

    def _settle(self, orders: list[UUID]) -> int:
        return sum(self._run_job(self._due_settlement(order_id), self._clock()) for order_id in orders)

    def _due_settlement(self, order_id: UUID) -> Callable[[datetime], int]:
        def settle(_now: datetime) -> int:
            self._settlement.settle(order_id)
            return 1

        return settle

    def _end_of_write(self, product_id: UUID) -> Callable[[datetime], int]:
        def end(_now: datetime) -> int:
            self._products.end_write(product_id)
            return 1

        return end

    def _expiry(self, hold_id: UUID) -> Callable[[datetime], int]:
        def expire(_now: datetime) -> int:
            with self._relational.transaction() as tx:
                return isinstance(tx.ledger.expire(uuid5(hold_id, "expire"), hold_id, at=tx.now()), Created)

        return expire

    def _run_job(self, job: Callable[[datetime], int], now: datetime) -> int:
        try:
            return self._retry(lambda: job(now))
        except StoreError as error:
            if isinstance(error, Inconsistent):
                ledger_alarms.raised("sweep", error)
            log.warning("not swept: %s: %s", type(error).__name__, error)
            return 0
