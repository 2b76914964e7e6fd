"""Stock that is cached: every transaction tells which products' units it has changed."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from repositories.money_records import Stock
from repositories.records import Event
from repositories.relational.orders_port import StockWrites
from repositories.relational.port import Relational, Transaction


class StockWatch(Relational):
    """Pattern: decorator. All is `inner`'s; after a transaction that touched stock, `changed` is told of the products.

    That is also so when it was rolled back, for its outcome may be unknown. Whoever changes stock, now or in future,
    goes through a transaction, so none of them has to remember the cache.
    """

    def __init__(self, inner: Relational, changed: Callable[[Collection[UUID]], None]) -> None:
        self.inner = inner
        self._changed = changed
        self.accounts = inner.accounts
        self.graph = inner.graph
        self.likes = inner.likes
        self.feed_activity = inner.feed_activity
        self.fanouts = inner.fanouts
        self.stock = inner.stock
        self.orders = inner.orders
        self.ledger = inner.ledger
        self.audit = inner.audit
        self.counters = inner.counters
        self.outbox = inner.outbox

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        touched: set[UUID] = set()
        try:
            with self.inner.transaction() as tx:
                yield _Watched(tx, touched)
        finally:
            if touched:
                self._changed(touched)

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        return self.inner.migrate(dry_run=dry_run)

    def ping(self) -> None:
        self.inner.ping()

    def close(self) -> None:
        self.inner.close()


class _Watched(Transaction):
    def __init__(self, inner: Transaction, touched: set[UUID]) -> None:
        self.inner = inner
        self.accounts = inner.accounts
        self.graph = inner.graph
        self.likes = inner.likes
        self.feed_activity = inner.feed_activity
        self.fanouts = inner.fanouts
        self.counters = inner.counters
        self.orders = inner.orders
        self.ledger = inner.ledger
        self.idempotency = inner.idempotency
        self.bulk = inner.bulk
        self.stock: StockWrites = _WatchedStock(inner.stock, touched)

    def emit(self, event: Event) -> None:
        self.inner.emit(event)


class _WatchedStock(StockWrites):
    def __init__(self, inner: StockWrites, touched: set[UUID]) -> None:
        self.inner = inner
        self._touched = touched

    def put(self, product_id: UUID, on_hand: int, *, if_version: int | None = None) -> Stock:
        self._touched.add(product_id)
        return self.inner.put(product_id, on_hand, if_version=if_version)

    def clear(self, product_id: UUID) -> None:
        self._touched.add(product_id)
        self.inner.clear(product_id)

    def reserve(self, order_id: UUID, units: Mapping[UUID, int], *, expires_at: datetime) -> None:
        self._touched.update(units)
        self.inner.reserve(order_id, units, expires_at=expires_at)

    def commit(self, order_id: UUID, *, at: datetime) -> dict[UUID, int]:
        sold = self.inner.commit(order_id, at=at)
        self._touched.update(sold)
        return sold

    def release(self, order_id: UUID) -> dict[UUID, int]:
        freed = self.inner.release(order_id)
        self._touched.update(freed)
        return freed

    def return_sold(self, order_id: UUID, units: Mapping[UUID, int] | None = None) -> dict[UUID, int]:
        back = self.inner.return_sold(order_id, units)
        self._touched.update(back)
        return back
