"""Redis's own statistics: `INFO`, `LATENCY` and the slow log, of each master."""

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from redis.exceptions import ResponseError

from repositories.errors import Unavailable
from repositories.hot.redis.cluster import masters_of
from repositories.hot.redis.link import RedisLink
from repositories.hot.redis.target import RedisTarget, target_of
from repositories.hot.redis.wire import Command
from repositories.observer_port import SECONDS, EngineObserver, Question, Subject, Unread, known

# Seconds: older slow commands and latency spikes are ignored.
_RECENT = 3600
_SLOWEST = 128


class RedisObserver(EngineObserver):
    """Has one connection to each master."""

    engine = "Redis"

    def __init__(self, url: str, role: str) -> None:
        self._target, self._role = target_of(url), role
        self.place = self._target.server
        self._links: dict[str, RedisLink] = {}

    def questions(self) -> Mapping[str, Question]:
        return {"INFO": self._servers, "LATENCY": self._latency, "SLOWLOG": self._slow}

    def close(self) -> None:
        for link in self._links.values():
            link.close()

    def _each(self) -> Iterator[tuple[str, RedisLink]]:
        if not self._links:
            timeout = timedelta(seconds=SECONDS)
            targets = masters_of(self._target, self._role, timeout) if self._target.nodes else [self._target]
            self._links = {one.server: self._link(one, timeout) for one in targets}
        yield from self._links.items()

    def _link(self, target: RedisTarget, timeout: timedelta) -> RedisLink:
        return RedisLink(target, role=self._role, timeout=timeout, pool=1)

    def _servers(self) -> Iterator[Subject]:
        for name, link in self._each():
            [reply] = link.exchange(("INFO",), again=True)
            found = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
            yield _server(name, found)
            yield from _replicas(found)
            for level, value, limit in (
                ("memory", "used_memory", "maxmemory"),
                ("connections", "connected_clients", "maxclients"),
            ):
                figures = known({"value": _number(found, value), "limit": _number(found, limit) or None})
                yield Subject("level", f"{level} of {name}", figures)

    def _latency(self) -> Iterator[Subject]:
        for name, link in self._each():
            for event, at, _latest, most in _allowed(link, ("LATENCY", "LATEST")):
                if time.time() - at < _RECENT:
                    yield Subject("spike", event.decode(), {"seconds": most / 1000}, {"server": name})
            if int(_allowed(link, ("CONFIG", "GET", "latency-monitor-threshold"))[1]) == 0:
                raise Unread("latency is not watched: CONFIG SET latency-monitor-threshold 100")

    def _slow(self) -> Iterator[Subject]:
        """Slow commands by name; their arguments are confidential."""
        for name, link in self._each():
            seconds: dict[str, list[float]] = {}
            for _, at, micros, arguments, *_ in _allowed(link, ("SLOWLOG", "GET", _SLOWEST)):
                if time.time() - at < _RECENT:
                    seconds.setdefault(arguments[0].decode(errors="replace").upper(), []).append(micros / 1e6)
            for command, taken in seconds.items():
                figures = {"times": float(len(taken)), "seconds": max(taken)}
                yield Subject("command", command, figures, {"server": name})


def _server(name: str, found: Mapping[str, str]) -> Subject:
    used, limit = _number(found, "used_memory") or 0, _number(found, "maxmemory") or 0
    clients, most = _number(found, "connected_clients") or 0, _number(found, "maxclients")
    hits, misses = _number(found, "keyspace_hits") or 0, _number(found, "keyspace_misses") or 0
    evicted, up = _number(found, "evicted_keys") or 0, _number(found, "uptime_in_seconds") or 0
    worked = (_number(found, "used_cpu_user") or 0) + (_number(found, "used_cpu_sys") or 0)
    figures = {
        "bytes": used,
        "limited": float(limit > 0),
        "bytes_limit": limit,
        "bytes_share": used / limit if limit else None,
        "evicted": evicted,
        "evicted_of_looked_up": evicted / max(hits + misses, 1),
        "hit_share": hits / max(hits + misses, 1),
        "clients": clients,
        "clients_share": clients / most if most else None,
        "rejected": _number(found, "rejected_connections"),
        "spread": _number(found, "mem_fragmentation_ratio"),
        "busy_share": worked / max(up, 1),
        "up_seconds": up,
    }
    words = {
        "policy": found.get("maxmemory_policy", ""),
        "log": "on" if found.get("aof_enabled") == "1" else "off",
        "log_writes": found.get("aof_last_write_status", "ok"),
        "snapshots": found.get("rdb_last_bgsave_status", "ok"),
    }
    return Subject("server", name, known(figures), words)


def _replicas(found: Mapping[str, str]) -> Iterator[Subject]:
    written = _number(found, "master_repl_offset") or 0
    for number in range(int(found.get("connected_slaves", "0"))):
        said = dict(part.split("=", 1) for part in found[f"slave{number}"].split(","))
        figures = {"behind_bytes": written - float(said["offset"]), "silent_seconds": float(said.get("lag", 0))}
        yield Subject("replica", f"{said['ip']}:{said['port']}", figures, {"state": said["state"]})


def _number(found: Mapping[str, str], name: str) -> float | None:
    return float(found[name]) if name in found else None


def _allowed(link: RedisLink, command: Command) -> Any:
    """The reply to a command. Raises `Unread` if the server refuses it, as hosted ones do."""
    try:
        return link.exchange(command, again=True)[0]
    except Unavailable as error:
        if isinstance(error.__cause__, ResponseError):
            text = f"{command[0]!s} is refused ({error.__cause__}): ACL SETUSER ... +{str(command[0]).lower()}"
            raise Unread(text) from error
        raise
