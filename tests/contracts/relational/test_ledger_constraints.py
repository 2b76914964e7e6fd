"""The contract of the ledger: what the database refuses."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Insert, Table, delete, insert, literal, select, update
from sqlalchemy.exc import SQLAlchemyError

from repositories.errors import Inconsistent
from repositories.records.money import Transfer
from repositories.relational import RelationalStore
from repositories.relational.money import balance_writes
from repositories.relational.schema.columns import ID
from repositories.relational.schema.money_tables import entries, ledger_accounts, transfers
from tests.contracts.money import balances, held, wallet
from tests.contracts.relational.ledger_steps import pay
from tests.contracts.transactions import LARGEST, do, sql


class TestDatabaseConstraints:
    """The database itself enforces the rules, so they hold for statements that bypass the application too."""

    @pytest.mark.parametrize("table", [transfers, entries])
    def test_rows_cannot_be_changed_or_deleted(self, store: RelationalStore, table: Table) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        paid = pay(store, ada, bob, 4)
        mine = (transfers.c.id if table is transfers else entries.c.transfer_id) == paid.id
        for statement in (update(table).where(mine).values(amount=table.c.amount + 1), delete(table).where(mine)):
            with pytest.raises(SQLAlchemyError, match="append-only"):
                sql(store, statement)
        names = [column.name for column in table.c]
        with pytest.raises(SQLAlchemyError):
            sql(store, insert(table).prefix_with("OR REPLACE").from_select(names, select(table).where(mine)))
        with pytest.raises(SQLAlchemyError):
            sql(store, f"TRUNCATE {table.name}")
        assert sum(entry.amount for entry in store.ledger.entries(bob, "EUR", limit=9)) == 4

    def test_a_transfer_needs_both_entries(self, store: RelationalStore) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        paid = pay(store, ada, bob, 4)
        new, copy = copied_transfer(paid)
        legs = [copied_entry(paid, new, owner) for owner in (ada, bob)]
        for statements in ([copy], [copy, legs[0]], [copy, legs[1]]):
            with pytest.raises(SQLAlchemyError):
                sql(store, *statements)
        sql(store, copy, *legs)

    @pytest.mark.parametrize("amount", [-5, 4, -8, -3])
    def test_entries_must_match_their_transfer(self, store: RelationalStore, amount: int) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        paid = pay(store, ada, bob, 4)
        new, copy = copied_transfer(paid)
        with pytest.raises(SQLAlchemyError, match="no leg"):
            sql(store, copy, copied_entry(paid, new, ada, amount), copied_entry(paid, new, bob))
        with pytest.raises(SQLAlchemyError):
            sql(store, copied_entry(paid, paid.id, ada))

    @pytest.mark.parametrize(
        "change",
        [{"posted": 59}, {"held": 101}, {"held": -1}, {"posted": -1, "held": 0}, {"posted": -LARGEST - 1, "held": 0}],
    )
    def test_balances_have_checks(self, store: RelationalStore, change: dict[str, int]) -> None:
        ada, bob = wallet(store, 100), wallet(store)
        do(store, lambda unit: unit.ledger.hold(held(ada, bob, 60)))
        with pytest.raises(SQLAlchemyError):
            sql(store, update(ledger_accounts).where(ledger_accounts.c.owner == ada).values(**change))

    def test_without_the_condition_the_check_holds(
        self, store: RelationalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada, bob = wallet(store, 10), wallet(store)
        loose = balance_writes._MOVE.where()
        loose._where_criteria = tuple(part for part in loose._where_criteria if "may_overdraw" not in str(part))
        assert len(loose._where_criteria) == len(balance_writes._MOVE._where_criteria) - 1
        monkeypatch.setattr(balance_writes, "_MOVE", loose)
        with pytest.raises(Inconsistent):
            pay(store, ada, bob, 11)
        assert balances(store, ada) == {"EUR": (10, 0)}


def copied_transfer(one: Transfer) -> tuple[UUID, Insert]:
    """The new id, and a statement that copies the transfer under it."""
    new = uuid4()
    columns = [literal(new, ID) if column.name == "id" else column for column in transfers.c]
    source = select(*columns).where(transfers.c.id == one.id)
    return new, insert(transfers).from_select([column.name for column in transfers.c], source)


def copied_entry(one: Transfer, new: UUID, owner: UUID, amount: int | None = None) -> Insert:
    """A statement that copies an entry of the transfer for a new one."""
    others: dict[str, Any] = {"sequence": entries.c.sequence + 100, "transfer_id": literal(new, ID)}
    if amount is not None:
        others["amount"] = literal(amount)
    source = select(*(others.get(column.name, column) for column in entries.c))
    mine = source.where(entries.c.transfer_id == one.id, entries.c.owner == owner)
    return insert(entries).from_select([column.name for column in entries.c], mine)
