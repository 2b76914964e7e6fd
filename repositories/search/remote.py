"""HTTP client of the search service: `GET /search?q=&kind=&before=&limit=` answers `{"items": [{"id", "kind"}]}`."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from msgspec import Struct

from repositories.address import Address
from repositories.deadline import at_most
from repositories.errors import Unavailable
from repositories.http_client.exchange import HttpConnection
from repositories.http_client.origin import Origin
from repositories.meter import asked
from repositories.search.port import ROLE, Found, Kind, SearchIndex

_PORTS = {"http": 80, "https": 443}
_MOST_BODY = 256 * 1024


class _Items(Struct):
    items: list[Found]


class RemoteSearch(SearchIndex):
    """Thread-safe: each call uses a connection exclusively, and then returns it for reuse."""

    def __init__(self, address: Address, *, timeout: timedelta) -> None:
        (host,) = address.hosts
        self._origin = Origin(address.scheme, host.name, host.port or _PORTS[address.scheme])
        self._path = quote(f"/{address.path}".rstrip("/")) + "/search"
        self._seconds = timeout.total_seconds()
        self._idle: deque[HttpConnection] = deque()

    def find(self, query: str, kind: Kind | None, *, before: UUID | None, limit: int) -> Sequence[Found]:
        parts = {"q": query, "kind": kind or "", "before": str(before or ""), "limit": str(limit)}
        with asked(ROLE, "find"):
            try:
                return self._request(f"{self._path}?{urlencode(parts)}", time.monotonic() + at_most(self._seconds))
            except (OSError, msgspec.MsgspecError) as error:
                raise Unavailable(ROLE, f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _request(self, target: str, until: float) -> list[Found]:
        connection = self._idle.pop() if self._idle else HttpConnection(self._origin, most_body=_MOST_BODY)
        connection.send("GET", target, (), b"", until)
        answer = connection.receive(until)
        self._idle.append(connection)
        if answer.status != 200:
            raise Unavailable(ROLE, f"the service answers {answer.status}")
        return msgspec.json.decode(answer.body, type=_Items).items
