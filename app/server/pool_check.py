"""Checks whether the stores' servers accept as many connections as Quartet's pools may open."""

from collections import defaultdict
from collections.abc import Sequence

from repositories.pool_registry import Pool


def shortages(pools: Sequence[Pool], *, processes: int) -> list[str]:
    """One message per server that is too small for `processes` processes with these pools each."""
    by_server: dict[str, list[Pool]] = defaultdict(list)
    for pool in pools:
        by_server[pool.server].append(pool)
    return [line for some in by_server.values() for line in _shortage(some, processes)]


def _shortage(pools: Sequence[Pool], processes: int) -> list[str]:
    room, each = pools[0].room(), sum(pool.size + pool.beside for pool in pools)
    if room is None or processes * each <= room.connections:
        return []
    stores, wanted = ", ".join(dict.fromkeys(pool.store for pool in pools)), processes * each
    offered = f"the server takes {room.connections} ({room.because})"
    return [f"{stores}: {processes} processes with {each} connections each may open {wanted}, but {offered}"]
