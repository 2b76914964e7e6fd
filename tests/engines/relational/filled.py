"""A database with so many rows that PostgreSQL plans as it would in earnest."""

from collections.abc import Callable
from datetime import timedelta

import psycopg

from repositories.relational import Transaction
from tests.contracts.relational_store import opened


def fill(url: str, load: Callable[[Transaction], None], *further: str) -> None:
    """Load in one transaction, run further statements, and let the server count what is there."""
    with opened(url, timeout=timedelta(seconds=60)) as store, store.transaction() as unit:
        load(unit)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (*further, "VACUUM ANALYZE"):
            connection.execute(statement.encode())
