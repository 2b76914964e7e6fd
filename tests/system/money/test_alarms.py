"""States that only an alteration of the money tables can cause raise an alarm, and no answer that suggests a retry."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Executable, delete, update

from app.services.money.orders import GRACE
from repositories.relational.embedded import errors as embedded
from repositories.relational.embedded.store import EmbeddedRelational
from repositories.relational.postgres import errors as postgres
from repositories.relational.schema.money_tables import ledger_accounts
from repositories.relational.schema.tables import metadata, stock
from tests.contracts.transactions import engine_of, sql
from tests.shop import Shop, euros
from tests.system.money.test_alterations import altering

Deed = Callable[[Shop, str], Any]
_person: ColumnElement[bool] = ~ledger_accounts.c.may_overdraw

ALTERED: dict[str, tuple[Executable, Deed]] = {
    "accounts are gone": (
        delete(ledger_accounts).where(_person),
        lambda shop, _: shop.buyer.rich(1),
    ),
    "nothing is held": (
        update(ledger_accounts).where(_person).values(held=0),
        lambda shop, order: shop.act(order, "cancel"),
    ),
    "nothing is reserved": (
        update(stock).values(reserved=0),
        lambda shop, order: shop.act(order, "cancel"),
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_inconsistency_is_answered_with_500_and_raises_an_alarm(
    shop: Shop, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    statement, deed = ALTERED[name]
    order, before = shop.placed(), alarms(shop)
    alter(shop, statement)
    with pytest.raises(AssertionError, match="books_inconsistent"):
        deed(shop, order)
    assert alarms(shop) == before + 1
    assert any(one.levelname == "CRITICAL" for one in caplog.records)
    assert shop.audit()


def test_a_sweep_raises_the_alarm_too(shop: Shop) -> None:
    shop.placed()
    before = alarms(shop)
    alter(shop, update(ledger_accounts).where(_person).values(held=0))
    shop.after(GRACE)
    assert alarms(shop) > before
    assert shop.buyer.pay("/wallet/transfers", {"to": "seller", "amount": euros(1)})


def test_the_tables_have_every_listed_invariant(shop: Shop) -> None:
    """They are names of constraints, or conditions and unique columns in the form of SQLite's messages."""
    store = shop.system.container.stores.relational
    if isinstance(store, EmbeddedRelational):
        made = " ".join(str(text) for (text,) in sql(store, "SELECT sql FROM sqlite_master")).replace('"', "")
        conditions = {one for one in embedded._INVARIANTS if "." not in one}
        assert {one for one in conditions if f"({one})" not in made} == set()
        columns = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
        assert {one for key in embedded._INVARIANTS - conditions for one in key.split(", ")} <= columns
    else:
        names = sql(store, "SELECT conname FROM pg_constraint UNION SELECT relname FROM pg_class")
        assert {name for (name,) in names} >= postgres._INVARIANTS


def alter(shop: Shop, statement: Executable) -> None:
    store = shop.system.container.stores.relational
    with altering(store) as connection, connection.begin():
        connection.execute(statement)
    assert sql(store, "SELECT 1")
    engine_of(store).dispose()


def alarms(shop: Shop) -> float:
    text = shop.system.app.test_client().get("/metrics").get_data(as_text=True)
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("quartet_alarms_total"))
