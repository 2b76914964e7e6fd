"""`/accounts/me/export`: everything that belongs to one's own account, as a stream of JSON lines.

It is read page by page while it is sent, so the memory it takes does not depend on its length. Like a live stream, it
holds a thread of the server, but no place of the gate (decision 9).
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from flask import Response

from app.container import Container
from app.errors import Overloaded
from app.http.edge.blueprint import Blueprint, budget, private
from app.http.edge.deps import container, session
from app.http.resources.notifications import notification_item
from app.http.resources.orders import order_body, seen
from app.http.resources.sessions import session_item
from app.http.resources.wallet import balance_item, entry_item
from app.server.misbehaving_clients import drop_stalled
from app.services.pages.fragments import assembled, comment_part, encode, moment, post_part, product_part
from repositories.records.content import Comment
from repositories.records.graph import Edge, TimeCursor
from repositories.records.orders import Order
from repositories.records.people import Session

blp = Blueprint("export", "Export of your own data")
T = TypeVar("T")
Read = Callable[[Any], Sequence[T]]
# JSON lines have no registered media type. Client generators treat every `text/` type as text.
LINES = "text/jsonl"
PAGE = 100
# Files that one process sends at once. Bounded, because each reads the stores as fast as its client receives.
MOST = 2
_places = threading.BoundedSemaphore(MOST)
ABOUT = """Download all data of your account as JSON lines.

Each line is `{"kind": KIND, "value": {...}}`; values have the same form as elsewhere in this API. The kinds, in this
order: `account`, `session`, `post`, `comment`, `like`, `following`, `follower`, `block`, `product`, `order` (as a
buyer, then as a seller), `balance`, `entry`, `notification`. The last line is of kind `end` and has the number of lines
before it; a stream without it is incomplete and must be requested again. Changes made during the export may or may not
be included. A server process sends at most two files (exports and CSV statements) at once and answers others with 503:
retry after `Retry-After` seconds."""


class Export:
    """The body of a download. It holds a place of `_places`, which its end or `close` frees, whichever comes first.

    `check` is called before every `often`th piece except the first; if it raises, the body is cut off. Not a generator:
    `close` of a generator that was never started would run nothing.
    """

    def __init__(self, pieces: Iterator[bytes], check: Callable[[], object], often: int) -> None:
        self._pieces = pieces
        self._check = check
        self._often = often
        self._sent = 0
        self._open = True

    def begin(self) -> None:
        """Read the first piece, before the head is sent.

        So a store that is away leads to an error answer instead of a truncated body.
        """
        self._pieces = itertools.chain([next(self)], self._pieces)
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._sent and self._sent % self._often == 0:
                self._check()
            self._sent += 1
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._open:
            self._open = False
            _places.release()


@blp.get("/accounts/me/export")
@private
@budget(relational=4, documents=1, sessions=1, cache=3)
@blp.doc(description=ABOUT)
@blp.response(200, {"type": "string"}, content_type=LINES, description="JSON lines; the last one is of kind `end`")
@blp.raises(503)
def export_account() -> Response:
    """Export your own data."""
    return download(_lines(container(), session()), LINES, "quartet-export.jsonl", often=PAGE)


def download(pieces: Iterator[bytes], content_type: str, name: str, *, often: int) -> Response:
    """Answer with a file that is read while it is sent, and cut off once its session has ended.

    `often` is the number of pieces between two checks of the session. Raises `Overloaded` if `MOST` files are being
    sent: exports and CSV statements share these places.
    """
    drop_stalled(container().settings.port)
    if not _places.acquire(blocking=False):
        raise Overloaded(f"this server process sends {MOST} files at once, exports and statements; ask again")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    current = session()
    body = Export(pieces, partial(container().people.sessions.device, current.account_id, current.id), often)
    body.begin()
    return Response(body, content_type=f"{content_type}; charset=utf-8", headers=headers)


def _lines(of: Container, current: Session) -> Iterator[bytes]:
    lines = 0
    for kind, value in _values(of, current):
        lines += 1
        yield b'{"kind":' + encode(kind) + b',"value":' + value + b"}\n"
    yield encode({"kind": "end", "value": {"lines": lines}}) + b"\n"


def _values(of: Container, current: Session) -> Iterator[tuple[str, bytes]]:
    me, relational, documents = current.account_id, of.stores.relational, of.stores.documents
    graph, orders = relational.graph, relational.orders
    yield "account", of.pages.cards.own(me, of.people.accounts.login(me)).body
    for device in of.people.sessions.devices(me):
        yield "session", session_item(device, current)
    for post in _walk(lambda last: documents.posts.page(before=last and last.id, limit=PAGE, author=me)):
        yield "post", post_part(post)
    for comment in _walk(lambda last: documents.comments.by_author(me, after=last and _comment_key(last), limit=PAGE)):
        yield "comment", assembled({"post_id": encode(comment.post_id), "comment": comment_part(comment)})
    for like in _walk(lambda last: relational.likes.of_account(me, after=last and last.post_id, limit=PAGE)):
        yield "like", encode({"post_id": like.post_id, "at": moment(like.at)})
    yield from _edges(of, "following", lambda last: graph.following(me, before=last, limit=PAGE))
    yield from _edges(of, "follower", lambda last: graph.followers(me, before=last, limit=PAGE))
    yield from _edges(of, "block", lambda last: graph.blocked(me, before=last, limit=PAGE))
    for product in _walk(lambda last: documents.products.of_seller(me, after=last and last.id, limit=PAGE)):
        yield "product", product_part(product)
    for order in _walk(lambda last: orders.of_buyer(me, before=last and _order_cursor(last), limit=PAGE)):
        yield "order", order_body(order)
    for order in _walk(lambda last: orders.of_seller(me, before=last and _order_cursor(last), limit=PAGE)):
        yield from (("order", order_body(part)) for part in seen(me, [order]))
    yield from _money(of, me)
    place, begun = None, False
    while place or not begun:
        found, begun = of.notifications.inbox.page(me, PAGE, place), True
        place = found.onward
        for shown in found.items:
            yield "notification", notification_item(shown)


def _money(of: Container, me: UUID) -> Iterator[tuple[str, bytes]]:
    balances = of.stores.relational.ledger.wallet(me)
    for balance in balances:
        yield "balance", balance_item(balance)
    for balance in balances:
        yield from _entries(of, me, balance.currency)


def _entries(of: Container, me: UUID, currency: str) -> Iterator[tuple[str, bytes]]:
    relational = of.stores.relational
    for page in _pages(lambda last: relational.ledger.entries(me, currency, before=last and last.sequence, limit=PAGE)):
        others = relational.accounts.get({entry.other for entry in page})
        for entry in page:
            yield "entry", entry_item(entry, currency, others.get(entry.other))


def _edges(of: Container, kind: str, read: Read[Edge]) -> Iterator[tuple[str, bytes]]:
    for page in _pages(read):
        people = of.stores.relational.accounts.get([edge.account_id for edge in page])
        for edge in page:
            who = people.get(edge.account_id)
            yield (
                kind,
                encode({"account_id": edge.account_id, "handle": who and who.handle, "since": moment(edge.since)}),
            )


def _walk(read: Read[T]) -> Iterator[T]:
    for page in _pages(read):
        yield from page


def _pages(read: Read[T]) -> Iterator[Sequence[T]]:
    """All pages of `read`, which takes the last item of the previous page, None for the first page."""
    last: T | None = None
    while page := read(last):
        yield page
        if len(page) < PAGE:
            return
        last = page[-1]


def _comment_key(comment: Comment) -> tuple[UUID, int]:
    return comment.post_id, comment.number


def _order_cursor(order: Order) -> TimeCursor:
    return TimeCursor(order.created_at, order.id)
