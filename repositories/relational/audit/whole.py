"""The audit of everything that money is. Each part is read in one snapshot, which traffic does not change."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from repositories.money_records import Finding, Head
from repositories.relational.audit.accounts import audit_accounts
from repositories.relational.audit.increment import audit_since
from repositories.relational.audit.orders import audit_orders
from repositories.relational.audit.stock import audit_stock
from repositories.relational.audit.transfers import audit_transfers
from repositories.relational.money_port import Audit
from repositories.relational.statement_runner import Runner

Snapshot = Callable[[], AbstractContextManager[Runner]]


class SqlAudit(Audit):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def ledger(self, anchored: Iterable[Head] = ()) -> Iterator[Finding]:
        with self._snapshot() as runner:
            yield from audit_accounts(runner, anchored)
            yield from audit_transfers(runner)

    def advance(self, anchored: Iterable[Head]) -> Iterator[Head | Finding]:
        with self._snapshot() as runner:
            yield from audit_since(runner, anchored)

    def stock(self) -> Iterator[Finding]:
        with self._snapshot() as runner:
            yield from audit_orders(runner)
            yield from audit_stock(runner)
