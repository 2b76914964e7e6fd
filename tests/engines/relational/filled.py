"""Fills a database with enough rows for PostgreSQL to plan as in production."""

from collections.abc import Callable
from datetime import timedelta

import psycopg

from repositories.relational import Transaction
from tests.contracts.relational_store import opened


def fill(url: str, load: Callable[[Transaction], None], *further: str) -> None:
    """Load in one transaction, run further statements, and update the server's statistics."""
    with opened(url, timeout=timedelta(seconds=60)) as store, store.transaction() as unit:
        load(unit)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (*further, "VACUUM ANALYZE"):
            connection.execute(statement.encode())
