"""Pages about one reader: the home feed with the reason why each post is in it, and the reader's live events."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, render_template, request
from msgspec import Struct
from werkzeug.exceptions import BadRequest

from app.http.console import rendering
from app.http.console.away import asked
from app.http.console.signing_in import PATH
from app.http.console.views import blp, is_partial, page, to
from app.http.edge.deps import container
from app.services.feeds.page_context import Ways
from app.services.feeds.page_windows import Window
from repositories.hot.streams_port import KEPT, Position
from repositories.records.people import Account

PER_PAGE = 20
LONGEST = 200
WHY = {
    "timeline": ("pushed", "good", "in the feed store, written by its fan-out"),
    "top": ("pushed", "good", "in the cached top of the feed, updated by its fan-out"),
    "older": ("pulled", "calm", "below the low watermark: read from the documents, kept in the cached top"),
    "in_flight": ("in flight", "fair", "its fan-out is not complete, so it is read from the documents"),
    "author_pulled": ("pulled", "fair", "its author is pulled, or the follow is not back-filled yet"),
    "all_pulled": ("pulled", "calm", "the pushed timeline is incomplete here, so posts are read from the documents"),
}


class FeedRow(Struct, frozen=True):
    """A post of the page. `ways` are the reasons why it is there: label, colour class and explanation of each."""

    id: UUID
    title: str
    author: str
    created_at: datetime
    ways: list[tuple[str, str, str]]


@blp.get("/feed")
def feed() -> Response:
    """Show a home feed, built by the code that answers the reader. It does not count as activity of the reader."""
    name, before = _reader_name(), _id(request.args.get("before"))
    context: dict[str, Any] = {"reader_name": name, "found": None, "before": before, "account": None, "entries": []}
    if not name:
        return page("feed.html", "Feed", **context)
    reader = container().stores.relational.accounts.by_handle(name)
    if reader is None:
        return page("feed.html", "Feed", 404, **context)
    context |= _explained(reader, before)
    return page("feed.html", "Feed", **context)


@blp.get("/live/follow")
def follow() -> Response:
    """Show the events of the reader's live stream since the page was opened.

    Each request makes the reader a listener, since only listeners have a stream.
    """
    name, at = _reader_name(), request.args.get("at", "")
    reader = container().stores.relational.accounts.by_handle(name) if name else None
    if reader is None:
        return page("follow.html", "Live events of a reader", 404 if name else 200, reader_name=name, account=None)
    streams = container().stores.streams
    end = streams.listen(reader.id)
    if not at:
        return to(f"{PATH}/live/follow?reader={reader.handle}&at={end.epoch}.{end.number}")
    [delta] = streams.since([(reader.id, _position(at))], limit=KEPT)
    events = [(event.name, event.data.decode(errors="replace")) for event in reversed(delta.events)]
    context: dict[str, Any] = {"reader_name": name, "account": reader, "at": at, "events": events, "lost": delta.lost}
    if is_partial():
        text = render_template("followed.html", moment=rendering.moment(), **context)
        return Response(text, content_type="text/html; charset=utf-8")
    return page("follow.html", "Live events of a reader", **context)


def _explained(reader: Account, before: UUID | None) -> dict[str, Any]:
    feeds, window, ways = container().feeds, Window(PER_PAGE, before), Ways()
    look = feeds.timelines.look(reader.id, window, ways)
    found = container().pages.cards.home(reader.id, window, look)
    entries = []
    for post_id, card in zip(found.ids, found.items, strict=True):
        shown = json.loads(card.body)
        noted = ["older" if way == "top" and post_id < look.low_watermark else way for way in ways.of[post_id]]
        post, author = shown["post"], shown["author"]["handle"]
        at = datetime.fromisoformat(post["created_at"])
        entries.append(FeedRow(post_id, post["title"], author, at, [WHY[way] for way in noted]))
    pulled = container().stores.relational.accounts.get(look.state.pulled) if look.state.pulled else {}
    return {
        "account": reader,
        "found": found,
        "entries": entries,
        "state": look.state,
        "in_flight": len(look.in_flight.refs),
        "pulled": sorted(account.handle for account in pulled.values()),
        "fanouts": asked(container().stores.relational.fanouts.lag),
    }


def _reader_name() -> str:
    return request.args.get("reader", "").strip().removeprefix("@")[:LONGEST]


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise BadRequest("this is not a position in a feed") from None


def _position(text: str) -> Position:
    epoch, _, number = text.partition(".")
    if not (epoch.isalnum() and epoch.isascii() and number.isdecimal() and number.isascii() and len(text) < 60):
        raise BadRequest("this is not a position in a stream")
    return Position(epoch, int(number))
