"""The whole audit of the ledger, stock and orders. Each method reads one snapshot, which traffic does not change.

The methods import the modules with the statements, since workers never audit.
"""

from collections.abc import Iterable, Iterator

from repositories.records.chain_heads import NO_PARTS, Head, PartsHead, StockHead
from repositories.records.money import Finding
from repositories.relational.money_port import Audit
from repositories.relational.statement_runner import Snapshot


class SqlAudit(Audit):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def ledger(self, anchored: Iterable[Head] = ()) -> Iterator[Finding]:
        from repositories.relational.audit.accounts import audit_accounts
        from repositories.relational.audit.transfers import audit_transfers

        with self._snapshot() as runner:
            yield from audit_accounts(runner, anchored)
            yield from audit_transfers(runner)

    def advance(
        self, anchored: Iterable[Head], stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS
    ) -> Iterator[Head | StockHead | Finding]:
        from repositories.relational.audit.increment import audit_since
        from repositories.relational.audit.once import Once
        from repositories.relational.audit.order_heads import heads_since
        from repositories.relational.audit.orders import audit_some_orders
        from repositories.relational.audit.receipts import receipts_since

        with self._snapshot() as runner:
            orders = Once(audit_some_orders, runner)
            yield from audit_since(runner, anchored, orders)
            yield from receipts_since(runner, stocked)
            yield from heads_since(runner, parts, orders)

    def stock(self, stocked: Iterable[StockHead] = (), parts: PartsHead = NO_PARTS) -> Iterator[Finding]:
        from repositories.relational.audit.order_heads import audit_heads
        from repositories.relational.audit.orders import audit_orders
        from repositories.relational.audit.stock import audit_stock

        with self._snapshot() as runner:
            yield from audit_orders(runner)
            yield from audit_heads(runner, parts)
            yield from audit_stock(runner, stocked)
