"""Reads docs/consistency.toml for tests, and lists all operations that it must have."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repositories.feeds import FeedStore
from repositories.hot import Cache, Limits, SessionStore, Streams, ViewCounts
from tests.system.plans import ports

TABLE = Path(__file__).parents[2] / "docs" / "consistency.toml"
SOURCE = tomllib.loads(TABLE.read_text())
ROWS: list[dict[str, Any]] = SOURCE["row"]
ASKS: Mapping[str, set[str]] = {one: set(row["asks"]) for row in ROWS for one in row["operations"]}
OTHERS: dict[str, type] = {
    "feeds": FeedStore,
    "sessions": SessionStore,
    "cache": Cache,
    "streams": Streams,
    "limits": Limits,
    "views": ViewCounts,
}
OTHER_METHODS = [method for name, port in OTHERS.items() for method in ports.methods_of(name, port)]
