"""Plans of SQL statements without their values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Executable

from repositories.slow_statements import Explained


def explained(connection: Connection, statement: Executable) -> Explained:
    compiled: Any = statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]  # every constant statement has it
    text, driver = str(compiled), connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        # Imported here: it needs the driver.
        from repositories.postgres.explaining import explained_by_postgres

        return explained_by_postgres(driver, text)
    order = compiled.positiontup
    return explained_by_sqlite(driver, text, dict.fromkeys(compiled.params) if order is None else (None,) * len(order))


def explained_by_sqlite(connection: Any, text: str, values: Mapping[str, None] | tuple[None, ...]) -> Explained:
    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    return Explained(text, "\n".join(row[3] for row in rows))
