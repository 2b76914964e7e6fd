"""The usual components, each in place of a custom one."""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.http.edge import access_log
from repositories import meter
from repositories.errors import Unavailable
from repositories.hot import Held
from repositories.hot.redis.link import RedisLink
from repositories.hot.redis.read_leases import Near
from repositories.hot.redis.wire import Command, Wire

Log = Callable[[str, str, str, int, float], None]


class WithoutLeases(Near):
    """No read leases: every read asks Redis, and writers never wait."""

    def get(self, key: str, ask: Callable[[bool], Held | None]) -> Held | None:  # noqa: ARG002  the signature of `Near`
        return ask(False)

    def outwait(self) -> None: ...


class ClientLink(RedisLink):
    """A link by redis-py's client with its own pool and pipelines, without retries."""

    def __init__(self, own: Any, url: str) -> None:
        self._role = own._role  # noqa: SLF001
        seconds = own._timeout  # noqa: SLF001
        client: Any = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=own.size,
                timeout=seconds,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        )
        for load in own._loads:  # noqa: SLF001
            client.execute_command(*load)
        self._client = client

    def exchange(self, *commands: Command, again: bool) -> list[Any]:  # noqa: ARG002  it does not retry
        try:
            with meter.asked(self._role, str(commands[0][0])):
                if len(commands) == 1:
                    return [self._client.execute_command(*commands[0])]
                line = self._client.pipeline(transaction=False)
                for command in commands:
                    line.execute_command(*command)
                return list(line.execute())
        except RedisError as error:
            raise Unavailable(self._role, str(error)) from error

    def close(self) -> None:
        self._client.close()


class ConnectionWire(Wire):
    """redis-py's `Connection` in our pool. It has a timeout per operation instead of a deadline."""

    def __init__(self, own: Wire) -> None:
        vars(self).update(vars(own))

    def talk(self, commands: Sequence[Command], deadline: float) -> list[Any]:  # noqa: ARG002  the signature of `Wire`
        line: Any = self._opened
        line.send_packed_command(line.pack_commands(commands))
        return [line.read_response(disable_decoding=True) for _ in commands]


def by_client(store: Any, url: str) -> None:
    store._link = ClientLink(store._link, url)  # noqa: SLF001


def by_connection(store: Any, _url: str) -> None:
    link = store._link  # noqa: SLF001
    link._all[:] = [ConnectionWire(wire) for wire in link._all]  # noqa: SLF001
    link._idle.clear()  # noqa: SLF001
    link._idle.extend(link._all)  # noqa: SLF001


class Access:
    """Logs the access line of each answer by the logger chosen for this thread's request."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._own = access_log.log_request
        self._stdlib = structlog.get_logger(access_log.NAME)
        self._bytes: Any = structlog.wrap_logger(
            structlog.BytesLogger(sys.stderr.buffer),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=_encoded),
            ],
            cache_logger_on_first_use=True,
        )

    def install(self) -> None:
        access_log.log_request = self

    def choose(self, how: str) -> None:
        self._mine.how = how

    def __call__(self, request_id: str, method: str, route: str, status: int, seconds: float) -> None:
        log = {"stdlib": self._stdlib, "bytes": self._bytes}.get(self._mine.how)
        if log is None:
            self._own(request_id, method, route, status, seconds)
            return
        structlog.contextvars.bind_contextvars(request_id=request_id)
        log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _encoded(line: object, **_: object) -> bytes:
    return msgspec.json.encode(line)
