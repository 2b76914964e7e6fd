"""`/feed/stream`: the caller's feed and notifications as server-sent events (WHATWG HTML, 9.2)."""

import re
from collections.abc import Generator, Iterator
from typing import Any

import marshmallow as ma
from flask import Response, request

from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import container, session
from app.http.edge.fields import Text
from app.server.misbehaving_clients import drop_stalled
from app.services.live.hub import Connection, Hub, StreamItem
from app.services.people.sessions import digest
from repositories import meter

blp = Blueprint("stream", "Live events")
EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
LONGEST_ID = 1000
# Defined in `app/http/document/live_events.py`.
EVENT = {"$ref": "#/components/schemas/LiveEvent"}
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_BREAKS = re.compile(rb"[\r\n]+")
ABOUT = """Sends events about your feed and notifications as they happen (Server-Sent Events). `id` is the position in
the stream, `event` the kind (`post`, `gone`, `notification`, `resync`), `data` one line of JSON. A client that
reconnects with the last id gets all events since then, or one `resync` if some are no longer available: then read the
feed and the notifications again."""


class StreamQuery(ma.Schema):
    last_event_id = Text(load_default=None, validate=ma.validate.Length(max=LONGEST_ID))


class Events:
    """The body of a live stream. Only `close` frees its connection.

    Not a generator: `close` of a generator that was never started would run nothing.
    """

    def __init__(self, live: Hub, connection: Connection) -> None:
        self._live = live
        self._connection = connection
        self._lines = self._stream()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._lines)

    def close(self) -> None:
        self._live.release(self._connection)
        self._lines.close()

    def _stream(self) -> Generator[bytes, None, None]:
        """Yield the events, and a comment as a heartbeat when there are none.

        The first piece makes proxies forward the head, and has the id to resume from if no event follows.
        """
        with meter.running("streams"):
            yield f": quartet\nretry: {RETRY_MS}\nid: {self._connection.start}\n\n".encode()
            while (batch := self._connection.take(self._live.limits.heartbeat)) is not None:
                yield b"".join(_lines(item) for item in batch) or b":\n\n"


@blp.get("/feed/stream")
@private
@budget(sessions=1, cache=2)
@blp.doc(
    description=ABOUT,
    parameters=[
        {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string"},
            "description": "the last `id` received; an unknown id causes a `resync`",
        },
        {
            "name": "last_event_id",
            "in": "query",
            "schema": {"type": "string", "maxLength": LONGEST_ID, "pattern": Text.PATTERN},
            "description": "for clients that cannot send `Last-Event-ID`; ignored if that header is present",
        },
    ],
)
@blp.arguments(StreamQuery, location="query")
@blp.response(
    200, EVENT, content_type=EVENT_STREAM, description="these events, until either side closes the connection"
)
@blp.raises(503)
def stream_feed(query: dict[str, Any]) -> Response:
    """Stream your feed and notifications live."""
    if request.method == "HEAD":
        # An iterator and not bytes, so that there is no `Content-Length`, as in the answer to a GET.
        return Response(iter(()), content_type=EVENT_STREAM, headers=HEADERS)
    last_id = request.headers.get("Last-Event-ID", query["last_event_id"])
    token = request.headers["Authorization"].partition(" ")[2].strip()
    live = container().live.hub
    drop_stalled(container().settings.port)
    connection = live.open(session(), digest(token), last_id)
    return Response(Events(live, connection), content_type=EVENT_STREAM, headers=HEADERS)


def _lines(item: StreamItem) -> bytes:
    """Encode an event. A field is one line, so line breaks in `data` are replaced by spaces."""
    if item.event is None:
        return f"id: {item.id}\nevent: resync\ndata: {{}}\n\n".encode()
    name, data = item.event.name.encode(), _BREAKS.sub(b" ", item.event.data)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (item.id.encode(), name, data)
