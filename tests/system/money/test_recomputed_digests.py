"""Every kind of alteration by somebody who recomputes all digests, hash chains and balances, audited with an anchor."""

import itertools
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import IntegrityError

from app.doctor.ledger import audited
from app.services.money.anchors import Anchor
from repositories.driver_statements import Direct
from repositories.records.money import Finding
from repositories.relational.audit.whole import SqlAudit
from repositories.relational.work import Work
from tests.contracts.money import without_triggers
from tests.shop import Shop
from tests.system.money.alterations import Alteration, Book, Row
from tests.system.money.full_shop import fill
from tests.system.money.recomputing import recompute_everything
from tests.system.money.test_alterations import NO_BOOKS, altering

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]


def test_alterations_with_all_hashes_recomputed_are_found(shop: Shop) -> None:
    fill(shop)
    without_triggers(shop.system.container.stores.relational)
    anchor = shop.system.container.money.anchors.make()
    tried, missed = Counter[str](), set[str]()
    with altering(shop.system.container.stores.relational) as connection:
        book = Book(connection, set(NO_BOOKS))
        connection.rollback()
        for one in book.everything():
            if not tried[one.kind] and (found := _findings(connection, book, one, anchor)) is not None:
                tried[one.kind] += 1
                if not found:
                    missed.add(one.kind)
    assert missed == set()
    for table in book.tables:
        assert any(kind.startswith(f"{table.name}.") for kind in tried), table.name


def _rows(connection: Connection, table: Table) -> list[Row]:
    return [dict(row._mapping) for row in connection.execute(select(table))]


def _keyed(table: Table, rows: list[Row]) -> dict[Any, Row]:
    """The rows by primary key, since PostgreSQL returns rewritten rows in another order."""
    return {tuple(row[key.name] for key in table.primary_key.columns): row for row in rows}


def _findings(connection: Connection, book: Book, alteration: Alteration, anchor: Anchor) -> list[Finding] | None:
    """The audit's first finding. None if the rows cannot be made consistent, or recomputing undoes the alteration."""
    with connection.begin() as transaction:
        try:
            for statement in alteration.statements:
                connection.execute(statement)
            recompute_everything(connection)
            if all(
                _keyed(table, _rows(connection, table)) == _keyed(table, book.all[table.name]) for table in book.tables
            ):
                return None
            audit = SqlAudit(lambda: nullcontext(Work(connection, Direct(connection.engine), nullcontext)))
            return list(itertools.islice(audited(audit, anchor, whole=True), 1))
        except (IntegrityError, KeyError):
            return None
        finally:
            transaction.rollback()
