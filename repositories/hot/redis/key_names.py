"""The names of a server's keys that begin with a prefix.

A cursor of SCAN belongs to the process that returned it: another one orders keys by another secret. A scan that went on
with it after a restart or a failover would skip keys and report no error, so it begins again (see findings/).
"""

import re
from collections.abc import Iterator
from typing import Final

from repositories.hot.redis.link import RedisLink

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")


def names_of(link: RedisLink, prefix: str, *, count: int) -> Iterator[list[bytes]]:
    """The names, in batches of about `count`. Each that exists during the whole scan comes at least once."""
    cursor, process = b"0", b""
    while True:
        scan = ("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", count)
        # Sent together, so that the process that answers one answers the other.
        [(cursor, names), about] = link.exchange(scan, ("INFO", "server"), again=True)
        if names:
            yield names
        found = _RUN_ID.search(about)
        before, process = process, found[1] if found else b""
        if before not in (b"", process):
            cursor = b"0"
        elif cursor == b"0":
            return
