"""The audit of what is new reads every order and every transfer once, although several accounts lead to each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import Executable, select, update

from repositories.driver_statements import Direct, Values
from repositories.records.money import Finding
from repositories.relational.audit import once, orders, transfers
from repositories.relational.audit.whole import SqlAudit
from repositories.relational.schema.money_tables import transfers as transfer_rows
from repositories.relational.schema.order_tables import orders as order_rows
from repositories.relational.statement_runner import AnyRow, Runner
from repositories.relational.work import Work
from tests.contracts.money import without_triggers
from tests.contracts.transactions import engine_of, sql
from tests.shop import Shop
from tests.system.money.full_shop import fill

pytestmark = pytest.mark.parametrize("shop", ["embedded"], indirect=True)


class Counted(Runner):
    """Counts for which orders and transfers rows are read."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.orders, self.transfers = Counter[UUID](), Counter[UUID]()

    def rows(self, statement: Executable, values: Values) -> Sequence[AnyRow]:
        for some, counts in ((orders._SOME["orders"], self.orders), (transfers._SOME, self.transfers)):
            if statement is some:
                assert isinstance(values, dict)
                counts.update(values["ids"])
        return self._runner.rows(statement, values)

    def change(self, statement: Executable, values: Values) -> int:
        return self._runner.change(statement, values)


@contextmanager
def counted(shop: Shop) -> Iterator[tuple[SqlAudit, Counted]]:
    engine = engine_of(shop.system.container.stores.relational)
    with engine.connect() as connection:
        runner = Counted(Work(connection, Direct(engine), contextmanager(lambda: iter([None]))))

        @contextmanager
        def snapshot() -> Iterator[Runner]:
            yield runner

        yield SqlAudit(snapshot), runner


def test_everything_new_is_audited_once(shop: Shop) -> None:
    fill(shop)
    store = shop.system.container.stores.relational
    ids = [{row.id for row in sql(store, select(table.c.id))} for table in (order_rows, transfer_rows)]
    with counted(shop) as (audit, runner):
        assert [one for one in audit.advance(()) if isinstance(one, Finding)] == []
    assert [runner.orders, runner.transfers] == [Counter(some) for some in ids]


def test_a_finding_is_reported_once(shop: Shop) -> None:
    fill(shop)
    store = shop.system.container.stores.relational
    without_triggers(store)
    [[paid]] = sql(store, select(order_rows.c.id).where(order_rows.c.state == "paid").limit(1))
    sql(store, update(order_rows).where(order_rows.c.id == paid).values(version=99).returning(order_rows.c.id))
    with counted(shop) as (audit, _):
        found = Counter(one for one in audit.advance(()) if isinstance(one, Finding))
    assert {one.about for one in found} == {f"order {paid}"}
    assert set(found.values()) == {1}


def test_what_was_forgotten_is_audited_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "MOST_REMEMBERED", 3)
    fill(shop)
    with counted(shop) as (audit, runner):
        assert [one for one in audit.advance(()) if isinstance(one, Finding)] == []
    assert len(runner.orders) == len(sql(shop.system.container.stores.relational, select(order_rows.c.id)))
