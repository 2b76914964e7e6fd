"""Bulk loading, for the seed. Its modules are imported by whoever loads."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table

Rows = Sequence[dict[str, Any]]
Load = Callable[[Connection, Table, Rows], None]
