"""Bulk loading, for seeding. Its modules are imported only when something is loaded."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table

Rows = Sequence[dict[str, Any]]
Load = Callable[[Connection, Table, Rows], None]
